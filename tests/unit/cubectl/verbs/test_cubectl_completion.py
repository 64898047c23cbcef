"""`cubectl completion`, and programs on PATH that are verbs: what is offered, and what is run."""

import subprocess
import sys
from pathlib import Path

import pytest

from cubectl.completion.candidates import Line, line_of
from cubectl.completion.plugins import Plugin, plugin_for, plugins_in
from cubernetes.api.errors import Forbidden
from tests.given import a_namespace, a_node, a_pod
from tests.unit.cubectl.tinyserver import TinyServer, run


def offered(server: TinyServer, *words: str) -> list[str]:
    """Return what is offered for the last of these words."""
    said = run(server, ["__complete", "bash", "--", *words])
    assert (said.code, said.err) == (0, "")
    return said.out.splitlines()


def test_a_line_is_a_verb_its_words_and_what_is_being_typed() -> None:
    assert line_of(["-n", "x", "get", "-o", "w"]) == Line("get", (), "-o", "w", "x")
    assert line_of(["get", "--namespace=y", "po", "a", ""]) == Line(
        "get", ("po", "a"), "a", "", "y"
    )
    assert line_of([]) == Line("", (), "", "")


def test_verbs_are_offered_and_what_shells_call_is_not(server: TinyServer) -> None:
    assert offered(server, "co") == ["completion", "config", "cordon"]
    assert offered(server, "__") == []


def test_flags_are_a_verbs_own_and_those_of_all(server: TinyServer) -> None:
    assert offered(server, "exec", "--n") == ["--namespace"]
    assert "--stdin" in offered(server, "exec", "-")
    assert "--stdin" not in offered(server, "get", "-")


def test_words_that_a_verb_names_itself_are_offered_first(server: TinyServer) -> None:
    assert offered(server, "completion", "") == ["bash", "fish", "zsh"]
    assert offered(server, "set", "im") == ["image"]
    assert offered(server, "get", "-o", "j") == ["json", "jsonpath="]


def test_kinds_and_then_names_of_objects_are_offered() -> None:
    server = TinyServer(a_pod("web-0"), a_pod("web-1"), a_pod("db-0"), a_node("n1"))
    assert "pods" in offered(server, "get", "po")
    assert offered(server, "get", "po", "web") == ["web-0", "web-1"]
    assert offered(server, "delete", "pod", "web-0", "") == ["db-0", "web-1"]
    assert offered(server, "describe", "po/d") == ["po/db-0"]
    assert offered(server, "logs", "") == ["db-0", "web-0", "web-1"]
    assert offered(server, "drain", "") == ["n1"]
    assert offered(server, "drain", "n1", "") == []


def test_names_are_of_the_namespace_that_was_typed(server: TinyServer) -> None:
    server = TinyServer(a_pod("web-0"), a_namespace("shop"))
    assert offered(server, "-n", "sh") == ["shop"]
    offered(server, "-n", "shop", "exec", "")
    assert server.asked[-1][1].startswith("/api/v1/namespaces/shop/pods")


def test_a_cluster_that_tells_nothing_offers_nothing_and_says_nothing() -> None:
    server = TinyServer(a_pod("web-0"))
    server.refusals[("GET", "/api/v1/namespaces/default/pods")] = Forbidden("no")
    assert offered(server, "get", "po", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_to_ask_us(server: TinyServer, shell: str) -> None:
    assert f"cubectl __complete {shell} -- " in run(server, ["completion", shell]).out


def test_bash_reads_what_it_is_told_and_offers_what_we_say(
    server: TinyServer, tmp_path: Path
) -> None:
    fake = tmp_path / "cubectl"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    script = run(server, ["completion", "bash"]).out
    script += 'COMP_WORDS=(cubectl get po "we"); COMP_CWORD=3; _cubectl; echo "${COMPREPLY[*]}"'
    ended = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "__complete bash -- get po we\n"


def a_program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    made = folder / name
    made.write_text('#!/bin/sh\necho "$0" "$@"\nexit 7\n')
    made.chmod(0o755)
    return made


def test_the_program_of_the_most_words_is_meant_and_gets_the_others(tmp_path: Path) -> None:
    one, two = a_program(tmp_path, "cubectl-a"), a_program(tmp_path, "cubectl-a-b_c")
    search = f"{tmp_path}/absent::{tmp_path}"
    assert plugin_for(["a", "b-c", "d", "-x"], search) == Plugin(str(two), ("d", "-x"))
    assert plugin_for(["a", "-x", "b-c"], search) == Plugin(str(one), ("-x", "b-c"))
    assert plugin_for(["b"], search) is None
    assert plugin_for(["../a"], search) is None
    (tmp_path / "cubectl-a").chmod(0o644)
    assert plugin_for(["a"], search) is None


def test_of_two_programs_of_a_name_the_first_on_path_is_listed(
    server: TinyServer, tmp_path: Path
) -> None:
    first = a_program(tmp_path / "1", "cubectl-a")
    a_program(tmp_path / "2", "cubectl-a")
    search = f"{tmp_path}/1:{tmp_path}/2"
    assert plugins_in(search) == [str(first)]
    assert run(server, ["plugin", "list"], environment={"PATH": search}).out == f"{first}\n"
    assert run(server, ["plugin", "list"], environment={"PATH": "/absent"}).code == 1


def test_a_program_takes_our_place_and_a_verb_of_ours_stays_ours(tmp_path: Path) -> None:
    made = a_program(tmp_path, "cubectl-hello")
    a_program(tmp_path, "cubectl-version")
    argv, environment = [sys.executable, "-m", "cubectl"], {"PATH": str(tmp_path)}
    ended = subprocess.run(
        [*argv, "hello", "-x", "y"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (7, f"{made} -x y\n")
    ended = subprocess.run(
        [*argv, "version", "--help"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, str(tmp_path) in ended.stdout) == (0, False)
