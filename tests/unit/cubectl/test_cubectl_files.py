"""Files of objects in every form that tools print, of every state, and contradictions."""

import json
from pathlib import Path

import pytest

from cubernetes.api.coding import codec
from tests.given import a_pod, a_service
from tests.unit.cubectl.tinyserver import SERVICE, TinyServer, run


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("label pod web-0 k=1 k-", "'k' cannot be set and removed in one command"),
        ("label pod web-0 k- k=1", "'k' cannot be set and removed in one command"),
        ("annotate pod web-0 k=1 k-", "'k' cannot be set and removed in one command"),
        ("label pod web-0 k=1 k=2", "'k' cannot be set to '1' and to '2' in one command"),
    ],
)
def test_a_contradiction_is_refused_by_name(server: TinyServer, line: str, told: str) -> None:
    server.keep(codec.to_tree(a_pod("web-0")))

    said = run(server, line)

    assert (said.code, said.err) == (2, f"cubectl: {told}\n")
    assert server.asked == []
    assert run(server, "label pod web-0 k=1 k=1").code == 0


@pytest.mark.parametrize("field", ["resourceVersion", "uid"])
def test_apply_refuses_a_file_of_a_state_that_is_no_more(
    server: TinyServer, file: Path, field: str
) -> None:
    """As kubectl does: it was `configured`, for ever."""
    file.write_text(SERVICE)
    run(server, f"apply -f {file}")
    (tree,) = server.trees.values()
    file.write_text(SERVICE.replace("  name: web", f"  name: web\n  {field}: '1'"))

    said = run(server, f"apply -f {file}")

    assert (said.code, said.out) == (1, "")
    first, last = said.err.splitlines()
    title = 'Operation cannot be fulfilled on services "web"'
    assert first.startswith(f"cubectl: {file}:1: {title}: metadata.{field}: the object ")
    assert last == "cubectl: nothing was applied: 1 refused"
    # Of the state that is there it is applied, and then it is of an old one.
    now = tree["metadata"][field]
    file.write_text(SERVICE.replace("  name: web", f"  name: web\n  {field}: '{now}'"))
    again = run(server, f"apply -f {file}")
    assert again.code == 0
    assert again.out in ("service/web configured\n", "service/web unchanged\n")


EXPORTED = """\
  creationTimestamp: "2020-01-01T00:00:00Z"
  generation: 7
  selfLink: /api/v1/namespaces/default/services/web
  managedFields: [{manager: kubectl, operation: Update}]
"""


@pytest.mark.parametrize("verb", ["apply", "create", "delete"])
def test_a_manifest_that_was_exported_elsewhere_is_accepted(
    server: TinyServer, file: Path, verb: str
) -> None:
    exported = SERVICE.replace("  name: web\n", f"  name: web\n{EXPORTED}")
    file.write_text(exported + "status: {loadBalancer: {}, invention: [1]}\n")
    if verb == "delete":
        server.keep(codec.to_tree(a_service("web")))

    said = run(server, f"{verb} -f {file}")

    assert (said.code, said.err) == (0, "")
    if verb == "apply":
        assert run(server, f"apply -f {file}").out == "service/web unchanged\n"


def test_unknown_fields_are_refused_or_left_out_as_the_person_says(
    server: TinyServer, file: Path
) -> None:
    file.write_text(SERVICE.replace("spec:", "spec:\n  portz: 1"))
    server.warnings = ['unknown field "spec.portz"']

    assert "spec.portz: unknown field" in run(server, f"create -f {file}").err
    assert run(server, f"create -f {file} --validate=maybe").code == 2
    said = run(server, f"create -f {file} --validate=warn")

    # Told once, though the rehearsal heard it too.
    assert said.err == 'cubectl: warning: unknown field "spec.portz"\n'
    assert said.out == "service/web created\n"
    assert {target.partition("?")[2] for verb, target in server.asked if verb == "POST"} == {
        "fieldValidation=Warn&dryRun=All",
        "fieldValidation=Warn",
    }


def one_of(kind: str, name: str) -> str:
    tree = codec.to_tree(a_pod(name) if kind == "Pod" else a_service(name))
    return json.dumps(tree)


FILES = {
    "several JSON documents": f"{one_of('Pod', 'a')}\n{one_of('Service', 'b')}",
    "JSON documents parted as in YAML": f"{one_of('Pod', 'a')}\n---\n{one_of('Service', 'b')}\n",
    "JSON without a blank between": one_of("Pod", "a") + one_of("Service", "b"),
    "a List": json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": ""},
                          "items": [json.loads(one_of("Pod", "a")),
                                    json.loads(one_of("Service", "b"))]}),
    "lists of lists": json.dumps({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "List", "items": [json.loads(one_of("Pod", "a"))]},
        {"kind": "ServiceList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
         "items": [{key: value for key, value in json.loads(one_of("Service", "b")).items()
                    if key not in ("kind", "apiVersion")}]}]}),
    "flow YAML": "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n"
                 "{apiVersion: v1, kind: Namespace, metadata: {name: b}}\n",
    "flow YAML that looks like JSON": '{"apiVersion": v1, "kind": Namespace, metadata: {name: a}}\n'
                                      '---\n{"apiVersion": v1, "kind": Namespace, '
                                      '"metadata": {"name": b}}\n',
}  # fmt: skip


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("verb", ["apply", "create"])
def test_a_file_may_hold_objects_in_every_form_that_tools_print(
    server: TinyServer, file: Path, verb: str, form: str
) -> None:
    file.write_text(FILES[form])

    said = run(server, f"{verb} -f {file}")

    assert (said.code, said.err) == (0, "")
    names = [line.split()[0].partition("/")[2] for line in said.out.splitlines()]
    assert names == ["a", "b"]
    assert run(server, f"delete -f {file} --no-wait").out.count("deleted") == 2


def test_a_broken_document_of_json_is_told_as_json(server: TinyServer, file: Path) -> None:
    file.write_text(one_of("Pod", "a") + "\n{")
    assert "is not valid JSON" in run(server, f"create -f {file}").err
    file.write_text(one_of("Pod", "a") + "\n[1]")
    assert "expected a JSON object" in run(server, f"create -f {file}").err
    assert server.asked == []


def test_what_get_prints_of_several_is_taken_again(server: TinyServer, file: Path) -> None:
    for name in ("a", "b"):
        server.keep(codec.to_tree(a_pod(name)))
    for output in ("yaml", "json"):
        file.write_text(run(server, f"get pods -o {output}").out)
        assert run(server, f"apply -f {file}").code == 0


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, name: front}\n"
        "spec: {ports: [{port: 80}]}\n",
        '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "name": "front"},'
        '"spec": {"ports": [{"port": 80}]}}',
    ],
    ids=["yaml", "json"],
)
def test_of_a_field_that_stands_twice_in_a_file_the_last_is_taken_as_kubectl_does(
    server: TinyServer, file: Path, text: str
) -> None:
    file.write_text(text)
    said = run(server, f"apply -f {file}")
    assert (said.code, said.out, said.err) == (0, "service/front created\n", "")
