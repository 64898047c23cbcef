"""`cubectl function`: what it makes of files and options, and what it tells."""

from pathlib import Path
from typing import Any

import pytest

from cubectl.functions.given import files_of
from cubectl.functions.way import place_beside
from cubectl.session import Failed, Misused
from cubernetes.api.notation.jsontext import Tree
from tests.unit.cubectl.tinyserver import TinyServer, run

PATH = "/apis/serverless.cubernetes.io/v1/namespaces/default"
CODE = "def action(req): ...\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "hello.py"
    path.write_text(CODE)
    return path


def a_tree(kind: str, spec: Tree, *, loaded: str = "True", message: str = "") -> Tree:
    """Return an object that the platform has looked at."""
    name = "Loaded" if kind == "Function" else "Accepted"
    condition = {"type": name, "status": loaded, "reason": "X", "message": message}
    status: Tree = {"conditions": [condition]}
    if kind == "Function":
        status["conditions"].append({"type": "TrafficAsAsked", "status": "True"})
        status |= {"observedGeneration": 1000, "servingRevision": "hello-1"}
    meta = {"name": "hello", "namespace": "default", "resourceVersion": "1", "uid": "u"}
    version = "serverless.cubernetes.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec, "status": status}


def a_server(**told: Any) -> TinyServer:
    """Return a server that has a function and its route."""
    server = TinyServer()
    spec = {"files": {"old.py": CODE}, "entry": "old.action", "queue": 7, "env": {"A": "b"}}
    server.keep(a_tree("Function", spec, **told))
    server.keep(a_tree("Route", {"path": "/old", "function": "hello", "bodyBytes": 5}))
    return server


def test_deploy_names_the_secrets_of_variables(code: Path) -> None:
    server = a_server()

    said = run(server, f"function deploy hello {code} --secret KEY=mail/password")
    deployed = server.trees[f"{PATH}/functions/hello"]["spec"]["secrets"]
    wrong = run(server, f"function deploy hello {code} --secret KEY=mail")

    assert said.code == 0, said.err
    assert deployed == [{"name": "mail", "key": "password", "env": "KEY"}]
    assert "'KEY=mail': write ENV=SECRET/KEY" in wrong.err


def test_deploy_gives_a_function_new_code_and_leaves_the_rest(code: Path) -> None:
    server = a_server()

    said = run(server, f"function deploy hello {code} --concurrency 9 --route GET,PUT:/hello")

    spec = server.trees[f"{PATH}/functions/hello"]["spec"]
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "function/hello configured",
        "route/hello configured",
        "function/hello loaded",
    ]
    assert spec["files"] == {"hello.py": CODE}
    assert spec["entry"] == "hello.action"
    assert (spec["queue"], spec["env"], spec["concurrency"]) == (7, {"A": "b"}, 9)
    route = server.trees[f"{PATH}/routes/hello"]["spec"]
    assert (route["path"], route["methods"]) == ("/hello", ["GET", "PUT"])
    assert route["bodyBytes"] == 5


def test_deploy_ends_with_the_traceback_of_code_that_cannot_be_loaded(code: Path) -> None:
    said = run(a_server(loaded="False", message="SyntaxError: no"), f"function deploy hello {code}")

    assert said.code == 1
    assert "SyntaxError: no" in said.err
    assert "function hello cannot be loaded; what it was before serves on" in said.err


def test_deploy_of_a_new_function_makes_it_and_its_route(code: Path) -> None:
    server = TinyServer()

    # Nobody looks at it: somebody presses Ctrl-C.
    run(server, f"function deploy hello {code} --env GREETING=hi --route /hello/{{name}}")

    spec = server.trees[f"{PATH}/functions/hello"]["spec"]
    assert spec["env"] == {"GREETING": "hi"}
    route = server.trees[f"{PATH}/routes/hello"]["spec"]
    assert (route["path"], route["methods"]) == ("/hello/{name}", ["GET", "POST"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--route hello", "write PATH or METHOD,METHOD:PATH"),
        ("--env GREETING", "write NAME=VALUE"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_done(code: Path, words: str, told: str) -> None:
    server = a_server()

    said = run(server, f"function deploy hello {code} {words}")

    assert said.code == 2
    assert told in said.err
    assert server.writes == []


def test_files_keep_their_places_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "words.py").write_text("WORD = 1\n")
    (tmp_path / "action.py").write_text(CODE)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "action.pyc").write_bytes(b"\xff")

    assert files_of([tmp_path]) == {"action.py": CODE, "shop/words.py": "WORD = 1\n"}


def test_two_files_of_one_name_and_none_are_refused(tmp_path: Path, code: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(Misused, match="there are no files"):
        files_of([other])
    (other / "hello.py").write_text(CODE)

    with pytest.raises(Misused, match=r"two files would be hello\.py"):
        files_of([code, other])
    with pytest.raises(Failed, match="absent"):
        files_of([tmp_path / "absent"])


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("https://10.0.0.1:6443", "10.0.0.1:6811"),
        ("https://a.example", "a.example:6811"),
        ("https://[fd00::1]:6443/x", "[fd00::1]:6811"),
        ("a.example:6443", "a.example:6811"),
    ],
)
def test_administrators_are_answered_on_the_host_of_the_api_server(server: str, place: str) -> None:
    assert place_beside(server) == place


def test_list_tells_each_function_on_a_line() -> None:
    said = run(a_server(), "function list")

    assert said.out == "hello: loaded True, serves hello-1, 0/0 instances\n"


def a_revision(name: str, made_at: str, *, loaded: str = "True") -> Tree:
    """Return the code of `hello` as it was; its file says which it is."""
    tree = a_tree("FunctionRevision", {"function": "hello", "files": {"a.py": name}}, loaded=loaded)
    tree["metadata"] |= {"name": name, "creationTimestamp": made_at}
    tree["spec"] |= {"entry": "a.action"}
    tree["status"]["conditions"][0]["type"] = "Loaded"
    return tree


def a_server_with_revisions() -> TinyServer:
    """Return a server whose function has had four codes; the third cannot be loaded."""
    server = a_server()
    server.trees[f"{PATH}/functions/hello"]["status"]["servingRevision"] = "hello-4"
    server.keep(a_revision("hello-1", "2026-01-01T00:00:01Z"))
    server.keep(a_revision("hello-2", "2026-01-01T00:00:02Z"))
    server.keep(a_revision("hello-3", "2026-01-01T00:00:03Z", loaded="False"))
    server.keep(a_revision("hello-4", "2026-01-01T00:00:04Z"))
    return server


def test_rollback_sends_all_calls_to_the_revision_before_and_leaves_the_code() -> None:
    server = a_server_with_revisions()
    before = dict(server.trees[f"{PATH}/functions/hello"]["spec"])

    said = run(server, "function rollback hello")
    spec = dict(server.trees[f"{PATH}/functions/hello"]["spec"])
    server.trees[f"{PATH}/functions/hello"]["status"]["servingRevision"] = "hello-2"
    again = run(server, "function rollback hello")
    forth = run(server, "function rollback hello hello-4")
    broken = run(server, "function rollback hello hello-3")

    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "function/hello: calls are to go to hello-2 100%",
        "function/hello: they do",
    ]
    assert spec == {**before, "traffic": [{"revision": "hello-2", "percent": 100}]}
    assert again.out.startswith("function/hello: calls are to go to hello-1 100%\n")
    assert forth.out.startswith("function/hello: calls are to go to hello-4 100%\n")
    assert broken.code == 1
    assert "no revision hello-3 that could be loaded; there are: hello-1, hello-4" in broken.err


def test_rollback_of_the_first_revision_has_nothing_to_go_back_to() -> None:
    server = a_server_with_revisions()
    server.trees[f"{PATH}/functions/hello"]["status"]["servingRevision"] = "hello-1"

    said = run(server, "function rollback hello")

    assert said.code == 1
    assert "no older revision that could be loaded; there are: hello-2, hello-4" in said.err
    assert server.writes == []


def test_traffic_splits_calls_and_tells_how_they_are_split() -> None:
    server = a_server_with_revisions()
    function = server.trees[f"{PATH}/functions/hello"]

    said = run(server, "function traffic hello latest=10,hello-2=90")
    asked = server.trees[f"{PATH}/functions/hello"]["spec"]["traffic"]
    function["status"]["traffic"] = asked
    shown, listed = run(server, "function traffic hello"), run(server, "function list")
    whole = run(server, "function traffic hello latest")

    assert said.code == 0, said.err
    assert asked == [
        {"revision": "latest", "percent": 10},
        {"revision": "hello-2", "percent": 90},
    ]
    assert shown.out.splitlines() == [" 10% latest", " 90% hello-2"]
    assert "serves latest 10%, hello-2 90%," in listed.out
    assert whole.out.startswith("function/hello: calls are to go to latest 100%\n")


def test_traffic_to_a_revision_that_is_not_there_fails_with_what_is_lacking() -> None:
    server = a_server()
    told = {"type": "TrafficAsAsked", "status": "False", "message": "hello-9: there is none"}
    server.trees[f"{PATH}/functions/hello"]["status"]["conditions"] = [told]

    said = run(server, "function traffic hello hello-9")

    assert said.code == 1
    assert "function hello: hello-9: there is none" in said.err


@pytest.mark.parametrize("words", ["latest=x", "latest,hello-2=90", "=100", "latest="])
def test_a_split_that_cannot_be_read_changes_nothing(words: str) -> None:
    server = a_server()

    said = run(server, f"function traffic hello {words}")

    assert said.code == 2
    assert f"'{words}': write REVISION=PERCENT,... such as latest=100" in said.err
    assert server.writes == []


def test_deploy_says_where_calls_go_when_a_split_keeps_them_from_new_code(code: Path) -> None:
    server = a_server()
    split = [{"revision": "hello-1", "percent": 100}]
    server.trees[f"{PATH}/functions/hello"]["spec"]["traffic"] = split

    said = run(server, f"function deploy hello {code}")

    assert said.code == 0, said.err
    assert "to the new code: cubectl function traffic hello latest" in said.out
    assert server.trees[f"{PATH}/functions/hello"]["spec"]["traffic"] == split


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("trace", "write trace CALL"),
        ("redrive hello one two", "redrive takes one NAME [CALL]"),
        ("dead one two", "dead takes one NAME"),
    ],
)
def test_words_that_are_missing_or_too_many_are_told(words: str, told: str) -> None:
    said = run(a_server(), f"function {words}")

    assert said.code == 2
    assert told in said.err
