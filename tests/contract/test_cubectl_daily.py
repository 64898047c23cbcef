"""Verbs of every day against the real API server: words, codes and sentences are kubectl's."""

import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.tls_api import Cluster, Said, a_cluster

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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
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
    ],
)
async def test_what_cannot_be_done_is_told(
    cluster: Cluster, words: tuple[str, ...], code: int, said: str
) -> None:
    told = await cluster.cubectl(words[0], *words[1:])
    assert (told.code, said in told.err) == (code, True), told


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
