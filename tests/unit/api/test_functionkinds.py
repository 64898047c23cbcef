"""Functions, their revisions and routes: what is accepted, and what is refused by name."""

from collections.abc import Mapping

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.serverless.function import Function, FunctionSpec, TrafficShare
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.api.serverless.route import Route
from cubernetes.api.specrules.sourcefiles import FILES_BYTES_MAX

META = {"name": "f", "namespace": "default"}
FILES = {"action.py": "def action(req): ..."}
SECRET = {"name": "mail", "key": "password", "env": "KEY"}
LATEST_90 = {"revision": "latest", "percent": 90}


def share(revision: str, percent: int = 50) -> dict[str, object]:
    return {"revision": revision, "percent": percent}


def problems(kind: type[Object], spec: Mapping[str, object], name: str = "f") -> list[str]:
    """Return the fields that are refused, in order."""
    tree = {
        "apiVersion": "serverless.cubernetes.io/v1",
        "kind": kind.resource.kind,
        "metadata": {**META, "name": name},
        "spec": spec,
    }
    try:
        one = codec.from_tree(kind, tree).model
    except Invalid as error:
        return [problem.field for problem in error.problems]
    return [problem.field for problem in one.defaulted().problems()]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"files": {}}, "spec.files"),
        ({"files": {"../x.py": "", **FILES}}, "spec.files[../x.py]"),
        ({"files": {"/x.py": "", **FILES}}, "spec.files[/x.py]"),
        ({"files": {"a..py": "", **FILES}}, "spec.files[a..py]"),
        ({"files": {"x.py": "x" * FILES_BYTES_MAX, **FILES}}, "spec.files"),
        ({"files": {f"f{at}.py": "" for at in range(100)} | FILES}, "spec.files"),
        ({"files": FILES, "entry": "action"}, "spec.entry"),
        ({"files": FILES, "entry": "other.action"}, "spec.entry"),
        ({"files": FILES, "env": {"1A": "x"}}, "spec.env[1A]"),
        ({"files": FILES, "secrets": [{**SECRET, "name": "a/b"}]}, "spec.secrets[0].name"),
        ({"files": FILES, "secrets": [{**SECRET, "key": ""}]}, "spec.secrets[0].key"),
        ({"files": FILES, "secrets": [{**SECRET, "env": "1A"}]}, "spec.secrets[0].env"),
        ({"files": FILES, "secrets": [SECRET, SECRET]}, "spec.secrets[1].env"),
        ({"files": FILES, "secrets": [SECRET], "env": {"KEY": "x"}}, "spec.secrets[0].env"),
        (
            {"files": FILES, "secrets": [{**SECRET, "env": f"K{at}"} for at in range(21)]},
            "spec.secrets",
        ),
        ({"files": FILES, "traffic": [LATEST_90]}, "spec.traffic"),
        (
            {"files": FILES, "traffic": [LATEST_90, {**LATEST_90, "revision": "f-1"}]},
            "spec.traffic",
        ),
        ({"files": FILES, "traffic": [share("g-1", 100)]}, "spec.traffic[0].revision"),
        ({"files": FILES, "traffic": [share("f-A", 100)]}, "spec.traffic[0].revision"),
        ({"files": FILES, "traffic": [share("f-1"), share("f-1")]}, "spec.traffic[1].revision"),
        ({"files": FILES, "traffic": [share(f"f-{at}", 25) for at in range(4)]}, "spec.traffic"),
        ({"files": FILES, "traffic": [share("f-1", 0)]}, "spec.traffic[0].percent"),
        ({"files": FILES, "minInstances": 3, "maxInstances": 2}, "spec.minInstances"),
        ({"files": FILES, "maxInstances": 201}, "spec.maxInstances"),
        ({"files": FILES, "concurrency": 0}, "spec.concurrency"),
        ({"files": FILES, "concurrency": 65}, "spec.concurrency"),
        ({"files": FILES, "idleSeconds": 0}, "spec.idleSeconds"),
        ({"files": FILES, "timeoutSeconds": 3601}, "spec.timeoutSeconds"),
        ({"files": FILES, "maxWaitSeconds": 601}, "spec.maxWaitSeconds"),
        ({"files": FILES, "queue": 0}, "spec.queue"),
        ({"files": FILES, "resources": "huge"}, "spec.resources"),
        ({"files": FILES, "runtime": "ruby"}, "spec.runtime"),
    ],
)
def test_a_function_is_refused_by_the_name_of_its_field(
    spec: dict[str, object], field: str
) -> None:
    assert problems(Function, spec) == [field]


def test_a_wrong_sum_of_a_split_is_told_and_a_right_one_taken() -> None:
    traffic = (TrafficShare(revision="latest", percent=90),)
    one = Function(
        metadata=ObjectMeta(name="f", namespace="default"),
        spec=FunctionSpec(files=FILES, traffic=traffic),
    )
    right = {"files": FILES, "traffic": [LATEST_90, share("f-1a2b3c4d", 10)]}

    told = [problem.message for problem in one.problems()]

    assert told == ["its percents are 90 together, must be 100"]
    assert problems(Function, right) == []


@pytest.mark.parametrize(
    "field",
    [
        "image", "idleStreamSeconds", "network", "requirements",
    ],
)  # fmt: skip
def test_what_functions_cannot_do_yet_is_refused_by_name(field: str) -> None:
    assert problems(Function, {"files": FILES, field: []}) == [f"spec.{field}"]


@pytest.mark.parametrize("field", ["workflow", "rate", "auth"])
def test_what_routes_cannot_do_yet_is_refused_by_name(field: str) -> None:
    assert problems(Route, {"path": "/", "function": "f", field: "x"}) == [f"spec.{field}"]


def test_a_package_is_an_entrys_module_too() -> None:
    spec = {"files": {"shop/__init__.py": ""}, "entry": "shop.serve"}

    assert problems(Function, spec) == []


def test_a_name_leaves_room_for_its_revisions() -> None:
    assert problems(Function, {"files": FILES}, "x" * 54) == []
    assert problems(Function, {"files": FILES}, "x" * 55) == ["metadata.name"]
    assert problems(Function, {"files": FILES}, "a.b") == ["metadata.name"]


def test_a_revision_never_changes() -> None:
    one = FunctionRevision.resource
    assert one.kind == "FunctionRevision"
    tree = {
        "apiVersion": "serverless.cubernetes.io/v1",
        "kind": "FunctionRevision",
        "metadata": META,
        "spec": {"function": "f", "files": FILES},
    }
    old = codec.from_tree(FunctionRevision, tree).model
    changed = {**tree, "spec": {"function": "f", "files": {"action.py": "other"}}}
    new = codec.from_tree(FunctionRevision, changed).model

    assert [one.field for one in new.update_problems(old)] == ["spec"]
    assert list(old.update_problems(old)) == []
    assert problems(FunctionRevision, {"function": "A", "files": FILES}) == ["spec.function"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"path": "a", "function": "f"}, "spec.path"),
        ({"path": "/a//b", "function": "f"}, "spec.path"),
        ({"path": "/a/../b", "function": "f"}, "spec.path"),
        ({"path": "/{a}/{a}", "function": "f"}, "spec.path"),
        ({"path": "/x{a}", "function": "f"}, "spec.path"),
        ({"path": "/{}", "function": "f"}, "spec.path"),
        ({"path": "/*/a", "function": "f"}, "spec.path"),
        ({"path": "/a*", "function": "f"}, "spec.path"),
        ({"path": "/", "function": "F"}, "spec.function"),
        ({"path": "/", "function": "f", "host": "A.b"}, "spec.host"),
        ({"path": "/", "function": "f", "methods": []}, "spec.methods"),
        ({"path": "/", "function": "f", "methods": ["GET", "GET"]}, "spec.methods"),
        ({"path": "/", "function": "f", "methods": ["get"]}, "spec.methods[0]"),
        ({"path": "/", "function": "f", "bodyBytes": -1}, "spec.bodyBytes"),
    ],
)
def test_a_route_is_refused_by_the_name_of_its_field(spec: dict[str, object], field: str) -> None:
    assert problems(Route, spec) == [field]


@pytest.mark.parametrize("path", ["/", "/a", "/a/{id}", "/a/{id}/b/{_x1}", "/a/*", "/*", "/a%20b"])
def test_these_are_paths_of_routes(path: str) -> None:
    assert problems(Route, {"path": path, "function": "f"}) == []
