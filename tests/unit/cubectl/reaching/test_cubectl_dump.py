"""`cubectl cluster-info dump`: lists and logs, one after another or as files."""

import json
from pathlib import Path

import pytest

from cubernetes.api.errors import BadRequest
from tests.given import a_node, a_pod
from tests.unit.cubectl.tinyserver import TinyServer, run


@pytest.fixture
def server() -> TinyServer:
    return TinyServer(a_node("n1"), a_pod("web-0"), a_pod("db", namespace="other"))


def test_a_dump_holds_lists_and_logs_as_files(server: TinyServer, tmp_path: Path) -> None:
    said = run(server, f"cluster-info dump --output-directory {tmp_path}/d --namespaces default")

    assert said.out == f"Cluster info dumped to {tmp_path}/d\n", said.err
    nodes = json.loads((tmp_path / "d/nodes.json").read_text())
    assert [one["metadata"]["name"] for one in nodes["items"]] == ["n1"]
    assert (tmp_path / "d/default/web-0/main.txt").read_text() == (
        "==== START logs for container main of pod default/web-0 ====\n"
        "one\ntwo\n"
        "==== END logs for container main of pod default/web-0 ====\n"
    )
    assert not (tmp_path / "d/other").exists()
    assert (tmp_path / "d/default/events.json").exists()


def test_a_log_that_cannot_be_read_ends_no_dump(server: TinyServer) -> None:
    server.log_refusals["web-0"] = BadRequest("container main is waiting to start")

    said = run(server, "cluster-info dump --namespaces default,other -o yaml")

    assert said.code == 0, said.err
    assert "container main is waiting to start\n==== END logs" in said.out
    assert "of pod other/db ====" in said.out


def test_a_log_commands_no_terminal(server: TinyServer) -> None:
    server.log = [b"\x1b[2Jgone"]

    said = run(server, "cluster-info dump --namespaces default")

    assert "\x1b" not in said.out
    assert "gone\n==== END" in said.out


@pytest.mark.parametrize("name", ["../../../out", "../db", "a/b", "a\0b"])
def test_a_name_leads_out_of_no_folder(server: TinyServer, tmp_path: Path, name: str) -> None:
    pod = server.trees["/api/v1/namespaces/default/pods/web-0"]
    pod["spec"]["containers"][0]["name"] = name

    said = run(server, f"cluster-info dump --namespaces default --output-directory {tmp_path}/d")

    assert (said.code, "a name that no object has" in said.err) == (1, True)
    assert not (tmp_path / "out.txt").exists()
    assert [one for one in (tmp_path / "d/default").iterdir() if one.is_dir()] == []


@pytest.mark.parametrize("name", ["../../../out", "/tmp/x", "..", ".", "", "a\0b"])
def test_no_name_of_a_namespace_leads_out_of_the_folder(
    server: TinyServer, tmp_path: Path, name: str
) -> None:
    server.trees["/api/v1/namespaces/x"] = {"kind": "Namespace", "metadata": {"name": name}}

    said = run(server, f"cluster-info dump -A --output-directory {tmp_path}/d")

    assert said.code == 1, said.err
    assert [one.name for one in (tmp_path / "d").iterdir()] == ["nodes.json"]


def test_the_folder_itself_is_where_one_likes(
    server: TinyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    said = run(server, "cluster-info dump --namespaces default --output-directory ../out")

    assert said.code == 0, said.err
    assert (tmp_path / "out/default/web-0/main.txt").exists()


def test_flags_of_a_dump_are_refused_without_it(server: TinyServer) -> None:
    assert run(server, "cluster-info -A").code == 2
    assert run(server, "cluster-info all").code == 2
