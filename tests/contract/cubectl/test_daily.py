"""Verbs of every day against the real API server: words, codes and sentences are kubectl's."""

import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.api.tls import Cluster, Said, a_cluster

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: main, image: "web:1", ports: [{containerPort: 8080}]}
        - {name: side, image: "side:1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b-map, labels: {size: "10"}}
data: {key: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a-map, labels: {size: "9"}}
data: {key: two}
"""

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: a}]}\n"

IMPOSSIBLE = (
    (("patch", "cm", "b-map"), 2, "must specify --patch or --patch-file"),
    (("patch", "cm", "b-map", "-p", "[]"), 2, "must be an object"),
    (("patch", "cm", "b-map", "-p", "{"), 2, "unable to parse"),
    (("patch", "cm", "b-map", "--type", "json", "-p", "{}"), 2, "must be a list of operations"),
    (("patch", "cm", "-p", "{}"), 2, "name which objects"),
    (("patch", "cm", "no", "-p", "{}"), 1, 'configmaps "no" not found'),
    (("expose", "cm", "a-map", "--port", "80"), 1, "couldn't find a selector"),
    (("expose", "deploy"), 2, "name one object"),
    (("get", "cm", "-o", "jsonpath={.a"), 2, "unclosed action"),
    (("get", "cm", "-o", "custom-columns=NAME"), 2, "expected <header>:<json-path-expr>"),
    (("get", "cm", "-o", "xml"), 2, "'xml' is none of wide"),
    (("get", "cm", "--sort-by", "{.a[}"), 2, "unrecognized character"),
    (("get", "--raw", "nodes"), 2, "must be a path"),
    (("get", "--raw", "/api/v1/none"), 1, "not find"),
    (("edit", "cm"), 2, "name which objects"),
    (("events", "--for", "pod"), 2, "KIND/NAME"),
    (("events", "--types", "Bad"), 2, "must be Normal or Warning"),
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as made:
        await made.ok("apply -f -", stdin=DEPLOYMENT)
        yield made


async def test_patches_of_all_three_kinds(cluster: Cluster) -> None:
    strategic = {
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:2"}]}}}
    }
    said = await cluster.ok("patch deploy/web -p", json.dumps(strategic))
    assert said == "deployment.apps/web patched\n"
    images = "{.spec.template.spec.containers[*].image}"
    assert await cluster.ok("get deploy web -o", f"jsonpath={images}") == "web:1 side:2"
    said = await cluster.ok("patch deploy/web -p", json.dumps(strategic))
    assert said == "deployment.apps/web patched (no change)\n"
    await cluster.ok("patch cm b-map --type merge -p", "data: {key: null, other: new}")
    assert json.loads(await cluster.ok("get cm b-map -o jsonpath={.data}")) == {"other": "new"}
    steps = [{"op": "replace", "path": "/data/other", "value": "newer"}]
    await cluster.ok("patch cm b-map --type json -p", json.dumps(steps))
    assert await cluster.ok("get cm b-map -o jsonpath={.data.other}") == "newer"
    said = await cluster.ok("patch cm b-map --dry-run -p", '{"data":{"other":"dry"}}')
    assert said == "configmap/b-map patched (dry run)\n"
    assert await cluster.ok("get cm b-map -o jsonpath={.data.other}") == "newer"


async def test_what_cannot_be_done_is_told_and_not_done(cluster: Cluster) -> None:
    before = await cluster.ok("get cm,deploy,svc -o json")
    for words, code, said in IMPOSSIBLE:
        told = await cluster.cubectl(words[0], *words[1:])
        assert (told.code, said in told.err) == (code, True), (words, told)

    assert await cluster.ok("get cm,deploy,svc -o json") == before


async def test_a_deployment_is_autoscaled(cluster: Cluster) -> None:
    said = await cluster.ok("autoscale deploy web --min 2 --max 5 --cpu-percent 60")
    assert said == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    made = json.loads(await cluster.ok("get hpa web -o json"))["spec"]
    target = made["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert (made["minReplicas"], made["maxReplicas"]) == (2, 5)
    (metric,) = made["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    await cluster.ok("autoscale deploy/web --max 3 --name other")
    usual = json.loads(await cluster.ok("get hpa other -o json"))["spec"]
    assert usual["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert usual["minReplicas"] == 1
    for line, code, why in (
        ("autoscale deploy web", 2, "--max=MAXPODS is required"),
        ("autoscale deploy web --max 2 --min 3", 2, "larger or equal to --min"),
        ("autoscale deploy --max 2", 2, "name one workload"),
        ("autoscale cm a-map --max 2", 2, "have no replicas"),
        ("autoscale deploy nobody --max 2", 1, "not found"),
        ("autoscale deploy web --max 2", 1, "already exists"),
    ):
        told = await cluster.cubectl(line)
        assert (told.code, why in told.err) == (code, True), told.err


async def test_variables_and_resources_are_set_and_taken_away(cluster: Cluster) -> None:
    async def containers() -> dict[str, Any]:
        tree = json.loads(await cluster.ok("get deploy web -o json"))
        return {one["name"]: one for one in tree["spec"]["template"]["spec"]["containers"]}

    said = await cluster.ok("set env deploy/web A=1 B=x=y")
    assert said == "deployment.apps/web env updated\n"
    pairs = [{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}]
    assert [one["env"] for one in (await containers()).values()] == [pairs, pairs]
    assert await cluster.ok("set env deploy web A=1") == ""
    await cluster.ok("set env deploy web -c side A- B=2 C=3")
    env = {name: one.get("env") for name, one in (await containers()).items()}
    assert env["main"] == pairs
    assert env["side"] == [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]

    said = await cluster.ok("set resources deploy web -c main --limits cpu=1,memory=64Mi")
    assert said == "deployment.apps/web resource requirements updated\n"
    await cluster.ok("set resources deploy web -c main --limits cpu=2 --requests cpu=500m")
    found = await containers()
    assert found["main"]["resources"] == {
        "limits": {"cpu": "2", "memory": "64Mi"}, "requests": {"cpu": "500m"},
    }  # fmt: skip
    assert not found["side"].get("resources")
    for line, code, why in (
        ("set env deploy web", 2, "at least one update is required"),
        ("set env deploy web =x", 2, "write KEY=VALUE"),
        ("set env deploy web -c none A=1", 1, 'unable to find container named "none"'),
        ("set env cm a-map A=1", 1, "unable to find container"),
        ("set resources deploy web", 2, "--limits, --requests"),
        ("set resources deploy web --limits cpu", 2, "write amounts as"),
        ("set resources deploy web --limits cpu=many", 1, "quantity"),
    ):
        told = await cluster.cubectl(line)
        assert (told.code, why in told.err) == (code, True), told.err


async def test_a_pod_is_run(cluster: Cluster) -> None:
    line = "run box --image web:1 --env A=1 --port 80 --restart Never -- one two"
    assert await cluster.ok(line) == "pod/box created\n"
    pod = json.loads(await cluster.ok("get pod box -o json"))
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == {"run": "box"}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert container["args"] == ["one", "two"]
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert container["ports"][0]["containerPort"] == 80
    await cluster.ok("run other --image web:1 -l app=x,tier=y --command -- sleep 9")
    pod = json.loads(await cluster.ok("get pod other -o json"))
    assert pod["metadata"]["labels"] == {"app": "x", "tier": "y"}
    assert pod["spec"]["containers"][0]["command"] == ["sleep", "9"]
    assert await cluster.ok("run third --image web:1 --dry-run") == "pod/third created (dry run)\n"
    for line, code, why in (
        ("run third", 2, "--image"),
        ("run third --image web:1 --env A", 2, "write KEY=VALUE"),
        ("run third --image web:1 --rm", 2, "--rm should only be used for attached"),
        ("run third --image web:1 -t", 2, "-i/--stdin is required"),
        ("run third --image web:1 -i --dry-run", 2, "--dry-run makes no container"),
        ("run box --image web:1", 1, "already exists"),
    ):
        told = await cluster.cubectl(line)
        assert (told.code, why in told.err) == (code, True), told.err


async def test_fields_are_explained(cluster: Cluster) -> None:
    told = await cluster.ok("explain deploy.spec.template.spec.containers")
    lines = told.splitlines()
    assert lines[:3] == ["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1"]
    assert "FIELD: containers <[]Container>" in lines
    assert "  image\t<string> -required-" in lines
    assert "    enum: Always, IfNotPresent, Never" in lines
    assert "  volumeMounts\t<[]VolumeMount>" in lines
    assert "<no description>" not in told
    limits = await cluster.ok("explain pod.spec.containers.resources.limits")
    assert "FIELD: limits <map[string]Quantity>" in limits
    assert "FIELDS:" not in limits
    deep = (await cluster.ok("explain rs --recursive")).splitlines()
    assert "containerPort\t<integer> -required-" in [line.strip() for line in deep]
    for line, code, why in (
        ("explain pod.spec.imgae", 1, 'field "imgae" does not exist'),
        ("explain pod.spec.hostname.x", 1, 'field "x" does not exist'),
        ("explain pod..spec", 2, "write KIND.FIELD"),
        ("explain pots", 2, "there is no kind"),
    ):
        said = await cluster.cubectl(line)
        assert (said.code, why in said.err) == (code, True), said.err


async def test_a_node_is_tainted_and_untainted(cluster: Cluster) -> None:
    async def taints() -> list[tuple[str, str, str]]:
        tree = json.loads(await cluster.ok("get node n7 -o json"))
        found = tree["spec"].get("taints") or []
        return [(one["key"], one.get("value", ""), one["effect"]) for one in found]

    await cluster.ok("create -f -", stdin="apiVersion: v1\nkind: Node\nmetadata: {name: n7}\n")
    said = await cluster.ok("taint nodes n7 gpu=a:NoSchedule old:NoExecute")
    assert said == "node/n7 tainted\n"
    assert await taints() == [("gpu", "a", "NoSchedule"), ("old", "", "NoExecute")]
    for line, code, why in (
        ("taint nodes n7 gpu=b:NoSchedule", 1, "n7 already has gpu taint(s) with same effect(s)"),
        ("taint nodes n7 none-", 1, 'taint "none" not found'),
        ("taint nodes n7 gpu:NoExecute-", 1, 'taint "gpu:NoExecute" not found'),
        ("taint nodes n7 gpu=b:Never", 2, "is no taint"),
        ("taint nodes n7", 2, "at least one taint update is required"),
        ("taint pods n7 a:NoExecute", 2, "only nodes are tainted"),
        ("taint nodes a:NoExecute", 2, "name nodes, or choose them by -l, or --all"),
        ("taint nodes n9 a:NoExecute", 1, "not found"),
    ):
        told = await cluster.cubectl(line)
        assert (told.code, why in told.err) == (code, True), told.err
    assert await taints() == [("gpu", "a", "NoSchedule"), ("old", "", "NoExecute")]
    assert await cluster.ok("taint node n7 gpu=b:NoSchedule --overwrite --dry-run") == (
        "node/n7 modified (dry run)\n"
    )
    assert await cluster.ok("taint no n7 gpu=b:NoSchedule old- --overwrite") == "node/n7 modified\n"
    assert await taints() == [("gpu", "b", "NoSchedule")]
    assert await cluster.ok("taint nodes --all gpu:NoSchedule-") == "node/n7 untainted\n"
    assert await taints() == []


async def test_what_apply_would_change_is_told_and_not_done(cluster: Cluster) -> None:
    same = await cluster.cubectl("diff -f -", stdin=DEPLOYMENT)
    assert (same.code, same.out, same.err) == (0, "", "")
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3").replace("name: a-map", "name: c-map")

    told = await cluster.cubectl("diff -f -", stdin=changed)

    assert told.code == 1
    lines = told.out.splitlines()
    assert "--- LIVE/deployment.apps/web" in lines
    assert "+++ MERGED/configmap/c-map" in lines
    assert "-  replicas: 2" in lines
    assert "+  replicas: 3" in lines
    assert not any("resourceVersion" in line or "last-applied" in line for line in lines)
    assert await cluster.ok("get deploy web -o jsonpath={.spec.replicas}") == "2"
    assert (await cluster.cubectl("get cm c-map")).code == 1
    wrong = await cluster.cubectl("diff -n nowhere -f -", stdin=POD)
    assert (wrong.code, "not found" in wrong.err) == (2, True)


async def test_a_deployment_is_exposed(cluster: Cluster) -> None:
    assert await cluster.ok("expose deploy web") == "service/web exposed\n"
    spec = json.loads(await cluster.ok("get svc web -o json"))["spec"]
    assert spec["selector"] == {"app": "web"}
    (port,) = spec["ports"]
    assert (port["port"], port["targetPort"], port["protocol"]) == (8080, 8080, "TCP")
    line = "expose deployment web --name other --port 80 --target-port http --type NodePort"
    assert await cluster.ok(line) == "service/other exposed\n"
    spec = json.loads(await cluster.ok("get svc other -o json"))["spec"]
    assert (spec["ports"][0]["targetPort"], spec["type"]) == ("http", "NodePort")
    told = await cluster.cubectl("expose deploy web")
    assert (told.code, "already exists" in told.err) == (1, True)


async def test_lists_by_template_by_column_and_in_order(cluster: Cluster) -> None:
    names = await cluster.ok("get cm -o", 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}')
    assert names == "a-map\nb-map\n"
    line = "get cm --sort-by=.metadata.labels.size -o custom-columns=NAME:.metadata.name,X:.data.no"
    assert await cluster.ok(line) == "NAME    X\nb-map   <none>\na-map   <none>\n"
    assert (await cluster.ok(f"{line} --no-headers")).startswith("b-map")
    rows = (await cluster.ok("get cm --sort-by {.data.key}")).splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "b-map", "a-map"]
    rows = (await cluster.ok("get cm --sort-by {.metadata.name} -o name")).split()
    assert rows == ["configmap/a-map", "configmap/b-map"]


async def test_the_cluster_tells_of_itself(cluster: Cluster) -> None:
    rows = [row.split() for row in (await cluster.ok("api-resources")).splitlines()]
    assert rows[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["pods", "po", "v1", "true", "Pod"] in rows
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
    names = (await cluster.ok("api-resources -o name --namespaced false --api-group", "")).split()
    assert {"nodes", "namespaces"} <= set(names)
    assert "pods" not in names
    assert (
        "deployments.apps" in (await cluster.ok("api-resources -o name --verbs list,watch")).split()
    )
    versions = (await cluster.ok("api-versions")).split()
    assert versions == sorted(versions)
    assert {"v1", "apps/v1", "discovery.k8s.io/v1"} <= set(versions)
    said = await cluster.ok("cluster-info")
    assert said == f"Kubernetes control plane is running at https://127.0.0.1:{cluster.port}\n"
    assert (
        json.loads(await cluster.ok("get --raw /api/v1/namespaces/default"))["kind"] == "Namespace"
    )


async def test_events_are_of_one_object_and_the_newest_is_last(cluster: Cluster) -> None:
    for at, name in enumerate(("web-1", "web-0", "web-1")):
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"e{at}", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": name},
            "reason": f"Reason{at}",
            "message": "said",
            "type": "Warning" if at else "Normal",
            "firstTimestamp": f"2026-01-01T00:00:0{9 - at}Z",
            "lastTimestamp": f"2026-01-01T00:00:0{9 - at}Z",
        }
        await cluster.ok("create -f -", stdin=json.dumps(event))
    said = await cluster.ok("events --for pod/web-1")
    assert [word for word in said.split() if word.startswith("Reason")] == ["Reason2", "Reason0"]
    said = await cluster.ok("events --types Warning --no-headers")
    assert [word for word in said.split() if word.startswith("Reason")] == ["Reason2", "Reason1"]


async def edited(cluster: Cluster, code: str, line: str) -> Said:
    """Run `cubectl edit` with an editor that runs code on `text`, the file's."""
    editor = cluster.folder / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport sys\nfile = sys.argv[1]\ntext = open(file).read()\n"
        f"{code}\nopen(file, 'w').write(text)\n"
    )
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    run = "import os, sys\nfrom cubectl.cli import main\n"
    run += f"os.environ['KUBE_EDITOR'] = {str(editor)!r}\nsys.exit(main(sys.argv[1:]))"
    return await cluster.python(run, *line.split())


async def test_an_object_is_edited(cluster: Cluster) -> None:
    said = await edited(cluster, "text = text.replace('one', 'edited')", "edit cm b-map")
    assert (said.code, said.out, said.err) == (0, "configmap/b-map edited\n", "")
    assert await cluster.ok("get cm b-map -o jsonpath={.data.key}") == "edited"
    for code in ("pass", "text = ''"):
        said = await edited(cluster, code, "edit cm/b-map")
        assert (said.code, said.out) == (0, "Edit cancelled, no changes made.\n")


async def test_an_edit_that_is_refused_is_kept(cluster: Cluster) -> None:
    for code, why in (
        ("text = text.replace('name: b-map', 'name: c-map')", "c-map"),
        ("text = text.replace('data:', 'dtaa:')", "dtaa"),
        ("text += '\\n{'", "b-map"),
    ):
        said = await edited(cluster, code, "edit cm b-map")
        assert (said.code, why in said.err) == (1, True), said
        kept = Path(said.err.rpartition('stored to "')[2].rstrip('"\n'))
        assert kept.read_text().startswith("# Please edit the object below.")
        kept.unlink()
    said = await edited(cluster, "sys.exit(3)", "edit cm b-map")
    assert (said.code, "problem with the editor" in said.err) == (1, True)


async def test_a_level_of_pods_is_set_by_a_label_and_its_warnings_are_printed(
    cluster: Cluster,
) -> None:
    label = "pod-security.kubernetes.io/enforce"
    await cluster.ok(f"label ns default {label}=restricted")
    refused = await cluster.cubectl("apply -f -", stdin=POD)
    assert refused.code == 1
    assert 'pods "p" is forbidden: violates PodSecurity "restricted:latest": allow' in refused.err
    warned = await cluster.cubectl("create deployment more --image a:1")
    assert (warned.code, warned.out) == (0, "deployment.apps/more created\n")
    told = (
        'cubectl: warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation'
    )
    assert warned.err.startswith(told)
    assert warned.err.count("\n") == 1


async def test_access_is_given_by_words(cluster: Cluster) -> None:
    await cluster.ok("create role reader --verb get,list --resource po,deploy,pods/log")
    await cluster.ok("create rolebinding read --role reader --serviceaccount default:robot")
    rules = json.loads(await cluster.ok("get role reader -o jsonpath={.rules}"))
    assert [(one["apiGroups"], one["resources"]) for one in rules] == [
        ([""], ["pods", "pods/log"]),
        (["apps"], ["deployments"]),
    ]
    keyless = await cluster.cubectl("create token default")
    assert (keyless.code, "signs no tokens" in keyless.err) == (1, True)
