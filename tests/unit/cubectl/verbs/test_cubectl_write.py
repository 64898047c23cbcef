"""The verbs that change something: what they send, what they say, and when they do neither."""

import json
from pathlib import Path
from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.errors import Forbidden
from cubernetes.api.patches.threeway import LAST_APPLIED
from tests.given import a_namespace, a_pod, a_replicaset, a_service
from tests.unit.cubectl.tinyserver import SERVICE, TinyServer, run

RS = "/apis/apps/v1/namespaces/default/replicasets/web"
PODS = "/api/v1/namespaces/default/pods"
REPLICASET = """\
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: cubernetes/web:1
          resources:
            limits: {cpu: 0.5}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(f"{REPLICASET}---\n{SERVICE}")
    return path


def test_apply_creates_then_changes_nothing(server: TinyServer, file: Path) -> None:
    first = run(server, f"apply -f {file}")
    assert first.out == "replicaset.apps/web created\nservice/web created\n"
    server.asked.clear()

    second = run(server, f"apply -f {file}")

    assert second.out == "replicaset.apps/web unchanged\nservice/web unchanged\n"
    assert {verb for verb, _ in server.asked} == {"GET"}


def test_apply_over_what_the_server_filled_in_is_no_change(server: TinyServer, file: Path) -> None:
    run(server, f"apply -f {file}")
    for path, tree in list(server.trees.items()):
        kind = a_replicaset if "replicasets" in path else a_service
        filled = codec.from_tree(type(kind()), tree).model.defaulted()
        server.trees[path] = codec.to_tree(filled)

    assert "configured" not in run(server, f"apply -f {file}").out


def test_apply_leaves_to_others_what_the_file_does_not_mention(
    server: TinyServer, file: Path
) -> None:
    run(server, f"apply -f {file}")
    run(server, "scale rs/web --replicas 5")
    run(server, "label rs web team=a")
    file.write_text(file.read_text().replace("cpu: 0.5", "cpu: 250m"))

    assert run(server, f"apply -f {file}").out.startswith("replicaset.apps/web configured\n")

    tree = server.trees[RS]
    assert tree["spec"]["replicas"] == 5
    assert tree["metadata"]["labels"] == {"team": "a"}
    container = tree["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["cpu"] == "250m"


def test_apply_leaves_a_finalizer_to_who_added_it(server: TinyServer, file: Path) -> None:
    file.write_text(SERVICE.replace("  name: web", "  name: web\n  finalizers: [example.com/mine]"))
    run(server, f"apply -f {file}")
    (tree,) = server.trees.values()
    tree["metadata"]["finalizers"].append("example.com/theirs")

    assert run(server, f"apply -f {file}").out == "service/web unchanged\n"
    file.write_text(SERVICE)
    assert run(server, f"apply -f {file}").out == "service/web configured\n"
    (tree,) = server.trees.values()
    assert tree["metadata"]["finalizers"] == ["example.com/theirs"]


def test_apply_removes_what_the_file_says_no_more(server: TinyServer, file: Path) -> None:
    run(server, f"apply -f {file}")
    file.write_text(file.read_text().split("          resources")[0])

    run(server, f"apply -f {file}")

    assert "resources" not in server.trees[RS]["spec"]["template"]["spec"]["containers"][0]


def test_apply_notes_what_it_applied_as_kubectl_does(server: TinyServer, file: Path) -> None:
    run(server, f"apply -f {file}")
    noted = json.loads(server.trees[RS]["metadata"]["annotations"][LAST_APPLIED])

    assert noted["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    assert "annotations" not in noted["metadata"]


def test_apply_reads_again_when_somebody_else_wrote(server: TinyServer, file: Path) -> None:
    run(server, f"apply -f {file}")
    file.write_text(file.read_text().replace("cpu: 0.5", "cpu: 250m"))
    send, conflicts = server.send, [1, 2]

    def contested(method: str, target: str, *, body: bytes = b"", **others: str) -> Any:
        if method == "PATCH" and "dryRun" not in target and conflicts:
            conflicts.pop()
            server.keep(server.trees[RS])
        return send(method, target, body=body, **others)

    server.send = contested  # type: ignore[method-assign]

    assert run(server, f"apply -f {file}").out.startswith("replicaset.apps/web configured")
    assert conflicts == []


BROKEN = REPLICASET.replace("web", "bad").replace("image: cubernetes/bad:1", "imgae: x")


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_w49_nothing_is_written_when_one_document_is_wrong(
    server: TinyServer, file: Path, verb: str
) -> None:
    file.write_text(
        f"{SERVICE}---\n{BROKEN}---\napiVersion: v1\nkind: Pot\nmetadata: {{name: x}}\n"
    )

    said = run(server, f"{verb} -f {file}")

    assert said.code == 1
    assert said.out == ""
    assert server.asked == []
    where, unknown = said.err.splitlines()
    field = "spec.template.spec.containers[0].imgae"
    assert where == f"cubectl: {file}:10: ReplicaSet: {field}: unknown field"
    assert unknown.startswith(
        f"cubectl: {file}:27: kind: there is no 'Pot': AutoScaler, ClusterRole, "
    )


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_w49_nothing_is_written_when_the_server_would_refuse_one(
    server: TinyServer, file: Path, verb: str
) -> None:
    server.refusals["POST", "/api/v1/namespaces/default/services"] = Forbidden("services: not you")

    said = run(server, f"{verb} -f {file}")

    assert said.code == 1
    assert said.out == ""
    assert server.writes == []
    assert f"cubectl: {file}:18: services: not you\n" in said.err


def test_apply_keep_going_applies_the_valid_ones(server: TinyServer, file: Path) -> None:
    server.refusals["POST", "/api/v1/namespaces/default/services"] = Forbidden("services: not you")

    said = run(server, f"apply --keep-going -f {file}")

    assert said.out == "replicaset.apps/web created\n"
    assert said.code == 1


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_objects_of_a_namespace_that_comes_with_the_same_files(
    server: TinyServer, tmp_path: Path, verb: str
) -> None:
    server.wants_namespaces = True
    path = tmp_path / "all.yaml"
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    within = SERVICE.replace("  name: web", "  name: web\n  namespace: shop")
    path.write_text(f"{space}---\n{within}")

    assert run(server, f"{verb} -f {path}").out == "namespace/shop created\nservice/web created\n"

    path.write_text(within.replace("shop", "nowhere"))
    assert 'namespaces "nowhere" not found' in run(server, f"{verb} -f {path}").err


RANGE = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: usual}\nspec: {limits: []}\n"


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_what_a_limit_range_of_the_same_file_may_mend_is_judged_in_its_turn(
    server: TinyServer, tmp_path: Path, verb: str
) -> None:
    place = "/api/v1/namespaces/default/services"
    server.refusals["POST", place] = Forbidden("failed quota: q: must specify limits.cpu")
    path = tmp_path / "all.yaml"
    path.write_text(f"{RANGE}---\n{SERVICE}")

    said = run(server, f"{verb} -f {path}")

    assert said.out == "limitrange/usual created\n"
    assert (said.code, "must specify limits.cpu" in said.err) == (1, True)

    elsewhere = RANGE.replace("name: usual", "name: usual, namespace: other")
    path.write_text(f"{elsewhere}---\n{SERVICE}")
    assert run(server, f"{verb} -f {path}").out == ""


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_a_dry_run_writes_nothing(server: TinyServer, file: Path, verb: str) -> None:
    said = run(server, f"{verb} --dry-run -f {file}")

    assert said.out == "replicaset.apps/web created (dry run)\nservice/web created (dry run)\n"
    assert server.writes == []


def test_create_says_what_exists_already(server: TinyServer, file: Path) -> None:
    run(server, f"create -f {file}")

    said = run(server, f"create -f {file}")

    assert said.code == 1
    assert "exists" in said.err


def test_a_folder_and_several_files_are_read_in_order(server: TinyServer, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(SERVICE)
    (tmp_path / "a.json").write_text(json.dumps(codec.to_tree(a_pod("one"))))
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.yml").write_text(SERVICE.replace("name: web", "name: other"))

    said = run(server, f"create -f {tmp_path} -f {tmp_path / 'more'}")

    assert said.out == "pod/one created\nservice/web created\nservice/other created\n"


SPECIAL = b"apiVersion: v1\nkind: Service\nmetadata: {name: %b}\nspec: {ports: [{port: %b}]}\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"", "no objects in"),
        (b"\x00\x01\x02\xff", "not UTF-8"),
        (b"a: [1, 2", "not valid YAML"),
        (b"a: &x 1\nb: *x\n", "anchors and aliases are not accepted"),
        (b"- 1\n", "expected an object at line 1"),
        (b"kind: Pod\n", "apiVersion: is required"),
        (b"apiVersion: v2\nkind: Pod\n", "'v2' has no Pod, use 'v1'"),
        (SPECIAL % (b"A", b"80"), "metadata.name: must be"),
        (
            SPECIAL % (b"a", b"0"),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535",
        ),
        (SPECIAL % (b"a", b"'80'"), 'spec.ports[0].port: Invalid value: "80": must be'),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(
    server: TinyServer, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_bytes(content)

    said = run(server, f"apply -f {path}")

    assert said.code == 1
    assert said.err.startswith("cubectl: ")
    assert said.err.count("\n") == 1
    assert str(path) in said.err
    assert told in said.err


def test_a_file_without_end_is_read_no_further_than_the_limit(server: TinyServer) -> None:
    said = run(server, "apply -f /dev/zero")

    assert said.err == "cubectl: /dev/zero: over 10485760 bytes\n"


def test_n_must_not_contradict_a_manifest(server: TinyServer, tmp_path: Path) -> None:
    path = tmp_path / "pod.json"
    path.write_text(json.dumps(codec.to_tree(a_pod("one", namespace="shop"))))

    said = run(server, f"apply -n other -f {path}")

    assert "metadata.namespace: is 'shop', but -n says 'other'" in said.err
    assert server.asked == []


def test_delete_by_name_says_so_and_waits(server: TinyServer) -> None:
    server.keep(codec.to_tree(a_pod("web-0")))

    said = run(server, "delete pod web-0")

    assert (said.out, said.code) == ('pod "web-0" deleted\n', 0)
    # It is looked for until it is gone.
    assert server.asked[-1][1].startswith(f"{PODS}?fieldSelector=metadata.name%3Dweb-0")


def test_delete_of_what_is_not_there(server: TinyServer) -> None:
    missing = run(server, "delete pod web-0")
    ignored = run(server, "delete pod web-0 --ignore-not-found")

    assert (missing.code, missing.err) == (1, 'cubectl: pods "web-0" not found\n')
    assert (ignored.code, ignored.err) == (0, "")


def test_delete_many_tells_first_how_many(server: TinyServer) -> None:
    for name in ("a", "b"):
        server.keep(codec.to_tree(a_pod(name)))
    server.keep(codec.to_tree(a_pod("c", labels={"app": "other"})))

    said = run(server, "delete pods -l app=web")

    assert said.err.startswith("cubectl: deleting 2 pods in namespace default\n")
    assert said.out == 'pod "a" deleted\npod "b" deleted\n'
    assert run(server, "delete pods --all").out == 'pod "c" deleted\n'


def test_delete_by_uid_and_by_file(server: TinyServer, file: Path) -> None:
    run(server, f"apply -f {file}")
    server.keep(codec.to_tree(a_pod("web-0", uid="u-1")))

    assert run(server, "delete pods --uid u-1").out == 'pod "web-0" deleted\n'
    assert run(server, "delete pods --uid u-1").code == 1
    assert run(server, f"delete -f {file}").out == (
        'replicaset.apps "web" deleted\nservice "web" deleted\n'
    )


@pytest.mark.parametrize("line", ["delete pods", "delete", "delete pods x --grace-period=-1"])
def test_delete_asks_for_a_choice(server: TinyServer, line: str) -> None:
    assert run(server, line).code == 2
    assert server.writes == []


def test_delete_gives_up_waiting_in_the_end(server: TinyServer) -> None:
    server.keep(codec.to_tree(a_pod("stuck")))
    kept = server.trees[f"{PODS}/stuck"]
    answer = server._answer

    def lazy(method: str, path: str, query, body):  # type: ignore[no-untyped-def]
        return kept if method == "DELETE" else answer(method, path, query, body)

    server._answer = lazy  # type: ignore[method-assign]
    server.changes = [("MODIFIED", kept)]

    said = run(server, "delete pod stuck --timeout 10s")

    assert said.out == 'pod "stuck" deleted\n'
    assert said.err == "cubectl: pod/stuck is still there after 10 s\n"


def test_scale_and_its_refusals(server: TinyServer) -> None:
    server.keep(codec.to_tree(a_replicaset("web")))

    assert run(server, "scale rs web --replicas=3").out == "replicaset.apps/web scaled\n"
    assert server.asked[-1] == ("PATCH", f"{RS}/scale?fieldValidation=Strict")
    assert run(server, "scale rs --replicas=3").code == 2
    assert run(server, "scale pod/x --replicas=3").err == "cubectl: pods have no replicas\n"
    assert run(server, "scale rs/web --replicas=-1").code == 2


def test_label_sets_removes_and_does_not_overwrite_by_accident(server: TinyServer) -> None:
    server.keep(codec.to_tree(a_pod("web-0")))

    assert run(server, "label pod web-0 tier=front").out == "pod/web-0 labeled\n"
    assert "app is set already" in run(server, "label pod web-0 app=other").err
    assert run(server, "label pod web-0 --overwrite app=other tier-").code == 0
    assert server.trees[f"{PODS}/web-0"]["metadata"]["labels"] == {"app": "other"}
    assert run(server, "annotate pod web-0 note=a=b").out == "pod/web-0 annotated\n"
    assert run(server, "label pod web-0").code == 2


def test_logs_are_passed_on_and_a_terminal_is_protected(server: TinyServer) -> None:
    server.log = [
        b"red \x1b[31m\n",
        "\N{SNOWMAN}".encode()[:2],
        "\N{SNOWMAN}".encode()[2:],
        b"\xff\t\n",
    ]

    piped = run(server, "logs web-0 -c main --tail 5 --since 1m --timestamps -p")
    shown = run(server, "logs pod/web-0 main -f", columns=80)

    assert piped.out == "red \x1b[31m\n\N{SNOWMAN}\\xff\t\n"
    assert shown.out == "red \\x1b[31m\n\N{SNOWMAN}\\xff\t\n"
    asked = server.asked[0][1]
    assert asked.startswith(f"{PODS}/web-0/log?container=main&previous=true&timestamps=true")
    assert asked.endswith("tailLines=5&sinceSeconds=60")
    assert server.asked[1][1] == f"{PODS}/web-0/log?container=main&follow=true"


def test_wait_for_a_condition(server: TinyServer) -> None:
    pod = server.keep(codec.to_tree(a_pod("web-0")))
    ready = {**pod, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    server.changes = [("MODIFIED", pod), ("MODIFIED", ready)]

    said = run(server, "wait pod/web-0 --for=condition=ready")

    assert (said.out, said.code) == ("pod/web-0 met condition ready\n", 0)


def test_wait_gives_up_and_says_so(server: TinyServer) -> None:
    pod = server.keep(codec.to_tree(a_pod("web-0")))
    server.changes = [("MODIFIED", pod)]

    said = run(server, "wait pods --all --for=condition=Ready --timeout=15s")

    assert said.err == "cubectl: pod/web-0: not met condition Ready after 15s\n"
    assert said.code == 1


def test_wait_for_a_selection_waits_until_there_is_something_and_all_of_it_is_ready(
    server: TinyServer,
) -> None:
    one, two = codec.to_tree(a_pod("web-0")), codec.to_tree(a_pod("web-1"))
    for tree in (one, two):
        tree["metadata"]["resourceVersion"] = "200"
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    server.changes = [
        ("ADDED", one),
        ("ADDED", two),
        ("MODIFIED", {**one, **ready}),
        ("MODIFIED", {**two, **ready}),
    ]

    said = run(server, "wait pod -l app=web --for=condition=Ready --timeout 30s")

    assert said.out == "pod/web-0 met condition Ready\npod/web-1 met condition Ready\n"


def test_what_leaves_a_selection_is_not_deleted(server: TinyServer) -> None:
    """To a watch of the selection it looks so: the pod lives on under another label."""
    pod = server.keep(codec.to_tree(a_pod("web-0")))
    server.changes = [("DELETED", {**pod, "metadata": {**pod["metadata"], "labels": {}}})]
    stream = server.stream

    def selected(target: str, **others: Any) -> Any:
        if "labelSelector" not in target:
            server.changes = [("MODIFIED", pod)]
        return stream(target, **others)

    server.stream = selected  # type: ignore[method-assign]

    said = run(server, "wait pod -l app=web --for=delete --timeout=20s")

    assert (said.out, said.code) == ("", 1)
    assert said.err == "cubectl: pod/web-0: not deleted after 20s\n"


def test_wait_for_the_end_of_nothing_is_no_failure(server: TinyServer) -> None:
    said = run(server, "wait pod -l app=web --for=delete")

    assert (said.out, said.err, said.code) == ("", "", 0)


def test_wait_for_what_is_gone_already(server: TinyServer) -> None:
    assert run(server, "wait ns/gone --for=delete").out == "namespace/gone deleted\n"


@pytest.mark.parametrize("what", ["ready", "condition", "condition=", "jsonpath"])
def test_wait_for_something_else_is_misuse(server: TinyServer, what: str) -> None:
    server.keep(codec.to_tree(a_namespace()))

    assert run(server, f"wait ns/default --for={what}").code == 2


def test_version_without_a_server(server: TinyServer) -> None:
    said = run(server, "version --client")

    assert said.out.startswith("Client: ")
    assert server.asked == []
