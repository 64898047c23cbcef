"""cubectl as people run it: a process, TLS, and the real API server on the other end."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.api.tls import DEADLINE_S, ROOT, Cluster, a_cluster, a_silent_server
from tests.unit.cubectl.test_cubectl_process import MODULES_MAX, SLOW_TO_IMPORT

TOUR = ROOT / "examples" / "tour"
WEB = str(TOUR / "3-replicas.yaml")
POD = str(ROOT / "examples" / "pod.yaml")
WEB_TEXT, POD_TEXT = Path(WEB).read_text(), Path(POD).read_text()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as running:
        yield running


async def versions_in(cluster: Cluster) -> dict[str, str]:
    """Return the resourceVersion of everything that the tour makes."""
    tree = json.loads(await cluster.ok("get rs,po,svc,dns -o json"))
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for one in tree["items"]
    }


async def test_the_tour_is_applied_and_applied_again_without_a_write(cluster: Cluster) -> None:
    made = (await cluster.ok(f"apply -f {TOUR}")).splitlines()
    before = await versions_in(cluster)
    again = (await cluster.ok(f"apply -f {TOUR}")).splitlines()

    assert {line.split()[-1] for line in made} == {"created"}
    assert {line.split()[-1] for line in again} == {"unchanged"}
    assert len(made) == len(again) == len(before) - 1  # and the service `kubernetes`
    assert await versions_in(cluster) == before


async def test_the_server_applies_and_names_whose_a_field_is(cluster: Cluster) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1'}\n"
    apply = "apply --server-side -f -"
    assert await cluster.ok(apply, stdin=text) == "configmap/m serverside-applied\n"

    other = text.replace("'1'", "'2'")
    refused = await cluster.cubectl(f"{apply} --field-manager=ben", stdin=other)
    assert refused.code == 1
    told = 'Apply failed with 1 conflict: conflict with "cubectl" using v1: .data.a'
    assert told in refused.err

    forced = f"{apply} --field-manager=ben --force-conflicts"
    await cluster.ok(f"{forced} --dry-run", stdin=other)
    assert await cluster.ok("get cm m -o jsonpath={.data.a}") == "1"
    await cluster.ok(forced, stdin=other)
    assert await cluster.ok("get cm m -o jsonpath={.data.a}") == "2"

    assert "managedFields" not in await cluster.ok("get cm m -o yaml")
    assert "manager: ben" in await cluster.ok("get cm m -o yaml --show-managed-fields")

    misused = await cluster.cubectl("apply --force-conflicts -f -", stdin=text)
    assert "go with --server-side" in misused.err


async def test_every_example_is_accepted_by_the_server(cluster: Cluster) -> None:
    said = await cluster.ok(f"apply --dry-run -f {ROOT / 'examples'}")

    assert {line.rpartition(" created")[2] for line in said.splitlines()} == {" (dry run)"}


async def test_apply_leaves_a_scaled_replicaset_scaled(cluster: Cluster) -> None:
    text = WEB_TEXT.replace("  replicas: 2\n", "")
    await cluster.ok("apply -f -", stdin=text)
    await cluster.ok("scale rs/web --replicas=4")

    changed = text.replace("memory: 64Mi", "memory: 128Mi")
    said = await cluster.ok("apply -f -", stdin=changed)

    assert said.splitlines()[0] == "replicaset.apps/web configured"
    tree = json.loads(await cluster.ok("get rs web -o json"))
    assert tree["spec"]["replicas"] == 4
    (container,) = tree["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "128Mi"


async def test_apply_takes_over_what_create_made(cluster: Cluster) -> None:
    await cluster.ok(f"create -f {WEB}")

    said = await cluster.ok(f"apply -f {WEB}")

    # Only the note of what was applied is new.
    assert {line.split()[-1] for line in said.splitlines()} == {"configured"}
    assert "configured" not in await cluster.ok(f"apply -f {WEB}")


async def test_replace_puts_what_a_file_says_and_merges_nothing(cluster: Cluster) -> None:
    refused = await cluster.cubectl(f"replace -f {WEB}")
    assert (refused.code, "not found" in refused.err) == (1, True)
    await cluster.ok(f"create -f {WEB}")
    await cluster.ok("label rs web tier=x")
    uid = json.loads(await cluster.ok("get rs web -o json"))["metadata"]["uid"]
    assert "replaced (dry run)" in await cluster.ok(f"replace -f {WEB} --dry-run")
    assert json.loads(await cluster.ok("get rs web -o json"))["metadata"]["labels"]["tier"] == "x"

    said = await cluster.ok(f"replace -f {WEB}")

    assert "replicaset.apps/web replaced" in said
    metadata = json.loads(await cluster.ok("get rs web -o json"))["metadata"]
    assert (metadata["uid"], "tier" in metadata.get("labels", {})) == (uid, False)


async def test_replace_by_force_makes_another_incarnation(cluster: Cluster) -> None:
    await cluster.ok("create -f -", stdin=POD_TEXT)
    before = json.loads(await cluster.ok("get pods -o json"))["items"][0]
    changed = json.dumps({**before, "spec": {**before["spec"], "nodeSelector": {"a": "b"}}})
    refused = await cluster.cubectl("replace -f -", stdin=changed)
    assert (refused.code, "spec" in refused.err) == (1, True)

    said = await cluster.ok("replace --force -f -", stdin=changed)

    after = json.loads(await cluster.ok("get pods -o json"))["items"][0]
    assert "replaced" in said
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["nodeSelector"] == {"a": "b"}


async def test_one_refused_document_stops_all_of_them(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {WEB}")
    # What may not change is known to the server alone.
    text = WEB_TEXT.replace("app: tour-web", "app: other").replace("svc-", "new-")

    said = await cluster.cubectl("apply -f -", stdin=text)

    assert (said.code, said.out) == (1, "")
    first, last = said.err.splitlines()
    assert first.startswith("cubectl: stdin:")
    assert "spec.selector: Forbidden: is immutable" in first
    assert last == "cubectl: nothing was applied: 1 refused"
    assert "new-" not in await cluster.ok("get svc")


async def test_get_watch_shows_changes_until_interrupted(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {POD}")
    process = await cluster.start("get pods -w --show-labels")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        first = [(await process.stdout.readline()).decode() for _ in range(2)]
        await cluster.ok("label pod web tier=front")
        changed = (await process.stdout.readline()).decode()

    said = await cluster.interrupted(process)

    assert first[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "LABELS"]
    assert first[1].split()[-1] == "app=web"
    assert changed.split()[-1] == "app=web,tier=front"
    assert (said.code, said.err) == (130, "")


async def test_delete_waits_until_it_is_gone(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {POD}")

    assert await cluster.ok("delete pod web") == 'pod "web" deleted\n'
    assert (await cluster.cubectl("get pod web")).err == 'cubectl: pods "web" not found\n'
    assert (await cluster.cubectl("delete pod web")).code == 1
    assert await cluster.ok("delete pod web --ignore-not-found") == ""


async def test_delete_with_the_wrong_uid_deletes_nothing(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {POD}")

    said = await cluster.cubectl("delete pod web --uid someone-else")

    assert said.code == 1
    assert said.out == ""
    assert await cluster.ok("get pods -o name") == "pod/web\n"


async def test_wait_returns_when_it_happens(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {POD}")
    process = await cluster.start("wait pod/web --for=delete --timeout=60s")
    await cluster.ok("delete pod web")

    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()

    assert (out, err, process.returncode) == (b"pod/web deleted\n", b"", 0)
    late = await cluster.cubectl("wait ns/default --for=condition=Ready --timeout=1s")
    assert late.err == "cubectl: namespace/default: not met condition Ready after 1s\n"


async def test_logs_come_from_the_kubelet_of_the_node(cluster: Cluster) -> None:
    await cluster.ok("create -f -", stdin="apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n")
    bound = POD_TEXT.replace("spec:\n", "spec:\n  nodeName: n1\n")
    await cluster.ok("apply -f -", stdin=bound)

    said = await cluster.ok("logs web -c web --tail=3 -f")

    assert said.startswith("n1 /containerLogs/default/web/web ")
    assert "tailLines=3" in said
    refused = await cluster.cubectl("logs web -c other")
    assert refused.code == 1
    assert refused.err.count("\n") == 1


async def test_describe_and_namespaces(cluster: Cluster) -> None:
    await cluster.ok(
        "create -f -", stdin="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    )
    await cluster.ok(f"apply -n shop -f {WEB}")

    assert (await cluster.ok("describe svc svc-1 -n shop")).startswith("Name:           svc-1\n")
    everywhere = await cluster.ok("get svc -A")
    assert [line.split()[:2] for line in everywhere.splitlines()] == [
        ["NAMESPACE", "NAME"],
        ["default", "kubernetes"],
        ["shop", "svc-1"],
        ["shop", "svc-2"],
    ]


async def test_names_and_kinds_in_any_form(cluster: Cluster) -> None:
    await cluster.ok(f"apply -f {WEB}")
    for line in ("get rs", "get ReplicaSet", "get replicasets.apps", "get RS/web", "get all"):
        assert "replicaset.apps/web\n" in await cluster.ok(f"{line} -o name")


async def test_many_objects_of_one_file_are_made_and_listed(cluster: Cluster) -> None:
    many = "---\n".join(POD_TEXT.replace("name: web\n", f"name: web-{n}\n", 1) for n in range(30))
    await cluster.ok("create -f -", stdin=many)

    found = (await cluster.ok("get pods -o name")).splitlines()

    assert len(found) == 30


@pytest.mark.parametrize(
    ("config", "told"),
    [("stranger", "its certificate is not trusted"), ("nobody", "show a client certificate")],
)
async def test_who_is_not_trusted_is_told_why_in_one_line(
    cluster: Cluster, config: str, told: str
) -> None:
    said = await cluster.cubectl("get pods", config=config)

    assert said.code == 1
    assert said.err.count("\n") == 1
    assert told in said.err


async def test_a_write_that_gets_no_answer_is_told_as_a_doubt(tmp_path: Path) -> None:
    async with a_silent_server(tmp_path) as cluster:
        said = await cluster.cubectl("scale rs/web --replicas=3")
        asked = await cluster.cubectl("get pods")

    assert said.err.startswith("cubectl: no answer from https://127.0.0.1:")
    assert said.err.endswith("; the change may have happened, look before you repeat\n")
    assert "may have happened" not in asked.err
    assert (said.code, asked.code) == (1, 1)


async def test_version_tells_both(cluster: Cluster) -> None:
    client, server = (await cluster.ok("version")).splitlines()

    assert client.startswith("Client: ")
    assert server.startswith("Server: ")


COUNTED = """
import sys
old = set(sys.modules)
from cubectl.cli import main
code = main(sys.argv[1:])
print(*sorted(set(sys.modules) - old), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("line", ["get pods", "get pods web -o json", "label pod web a=b"])
async def test_a_simple_verb_loads_no_model_and_little_else(cluster: Cluster, line: str) -> None:
    """What it loads is what a person waits for; counted, for seconds depend on machines."""
    await cluster.ok(f"apply -f {POD}")
    loaded: list[str] = []
    for _ in range(2):  # the second knows the kinds already
        said = await cluster.python(COUNTED, *line.split())
        assert said.code == 0, said
        loaded = said.err.split()

    assert len(loaded) <= MODULES_MAX
    slow = {*SLOW_TO_IMPORT, "cubernetes.api.meta", "cubernetes.api.registry"}
    assert slow.isdisjoint(loaded)


async def test_kinds_are_asked_for_once_in_a_while(cluster: Cluster) -> None:
    await cluster.ok("get ns")
    (kept,) = (cluster.folder / ".kube" / "cache" / "cubectl").iterdir()
    before = kept.read_bytes()

    await cluster.ok("get ns")
    assert kept.read_bytes() == before
    said = await cluster.cubectl("get nonsense")

    assert said.code == 2
    assert said.err.startswith("cubectl: there is no kind 'nonsense': namespaces/ns")
    assert kept.read_bytes() != before  # asked once more, for one that came since


CLASS = """\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: urgent}
value: 7
"""
URGENT = "apiVersion: v1\nkind: Pod\nmetadata: {name: urgent-pod}\nspec: {containers: [{name: a, \
image: a}], priorityClassName: urgent}\n"


@pytest.mark.parametrize("verb", ["apply", "create"])
async def test_a_pod_and_the_class_that_it_names_come_with_one_file(
    cluster: Cluster, verb: str
) -> None:
    early = await cluster.cubectl(f"{verb} -f -", stdin=f"{URGENT}---\n{CLASS}")
    other = CLASS.replace("urgent", "not-urgent")
    without = await cluster.cubectl(f"{verb} -f -", stdin=f"{other}---\n{URGENT}")

    said = await cluster.ok(f"{verb} -f -", stdin=f"{CLASS}---\n{URGENT}")

    for refused in (early, without):
        assert (refused.code, refused.out) == (1, "")
        assert "no PriorityClass with name urgent was found" in refused.err
    assert said == "priorityclass.scheduling.k8s.io/urgent created\npod/urgent-pod created\n"
    pod = json.loads(await cluster.ok("get pod urgent-pod -o json"))
    assert pod["spec"]["priority"] == 7
