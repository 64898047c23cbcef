"""`cubectl post-mortem`: what is known of the ends of a pod's containers, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cubernetes.api.bodies.postmortem import PostMortem, PostMortemList
from cubernetes.api.coding import codec
from cubernetes.api.errors import Forbidden, NotFound
from tests.unit.cubectl.tinyserver import Line, TinyServer, run

END = "2026-01-05T12:00:00Z"
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
KILLED = {"exitCode": 137, "signal": 9, "reason": "OOMKilled", "finishedAt": END}
STORY = "Container main ended with code 137 (signal KILL) after 48 s"


def a_tree(*statuses: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "a"}]},
        "status": {"phase": "Running", "containerStatuses": list(statuses), **status},
    }


def an_event(name: str, message: str, at: str, container: str = "main") -> dict[str, Any]:
    part = {"kind": "Pod", "name": "web", "namespace": "default", "uid": "u1"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {**part, "fieldPath": f"spec.containers{{{container}}}"},
        "reason": "ContainerDied",
        "message": message,
        "type": "Warning",
        "lastTimestamp": at,
    }


def died(**more: Any) -> dict[str, Any]:
    return {"name": "main", "restartCount": 2, "lastState": {"terminated": KILLED}, **more}


def test_the_end_the_kubelets_words_and_the_log_stand_in_one_place(server: TinyServer) -> None:
    server.keep(a_tree(died()))
    server.keep(an_event("a", "an older end", "2026-01-05T11:00:00Z"))
    server.keep(an_event("b", STORY, END))
    server.keep(an_event("c", "another's end", "2026-01-05T13:00:00Z", "side"))
    assert run(server, "post-mortem web").out.splitlines() == [
        "pod default/web on n1: Running",
        "container main, started again 2 times:",
        f"  ended with code 137, by signal 9 (OOMKilled) at {END}",
        f"  told at {END}: {STORY}",
        "  the last lines of its log:",
        "    one",
        "    two",
    ]


@pytest.mark.parametrize(
    ("status", "is_previous"),
    [(died(state={"running": {}}), True), (died(state={"terminated": KILLED}), False)],
)
def test_the_log_is_of_the_container_that_ended(
    server: TinyServer, status: dict[str, Any], is_previous: bool
) -> None:
    server.keep(a_tree(status))
    run(server, "post-mortem web")
    asked = [target for _, target in server.asked if "/log?container" in target]
    assert [("previous=true" in one, "tailLines=20" in one) for one in asked] == [
        (is_previous, True)
    ]


def test_of_a_container_that_has_not_ended_no_log_is_asked(server: TinyServer) -> None:
    server.keep(a_tree({"name": "main", "state": {"running": {}}}))
    assert run(server, "post-mortem web").out.endswith("  no end of it is known\n")
    assert not [target for _, target in server.asked if "/log?container" in target]


def test_why_the_pod_itself_has_failed_goes_before(server: TinyServer) -> None:
    server.keep(a_tree(phase="Failed", reason="Evicted", message="The node was low on memory."))
    assert run(server, "post-mortem po/web").out.splitlines() == [
        "pod default/web on n1: Failed (Evicted)",
        "  The node was low on memory.",
    ]


def test_more_lines_than_twenty_are_not_shown_and_nothing_commands_a_terminal(
    server: TinyServer,
) -> None:
    server.keep(a_tree(died()))
    server.log = [b"%d \x1b[2J\n" % number for number in range(30)]
    shown = run(server, "post-mortem web").out
    assert shown.count("[2J") == 20
    assert "\x1b" not in shown


def kept(
    *attempts: int, silent: tuple[str, ...] = (), omitted: int = 0, uid: str = "u1"
) -> list[bytes]:
    """Return the server's answer on what is kept of lives of `main`."""
    items = tuple(
        PostMortem(uid=uid, made_at=7, container="main", attempt=one, ended_at=AT, story=STORY,
                   log=(f"line of {one}",))
        for one in attempts
    )  # fmt: skip
    return [codec.encode(PostMortemList(items=items, silent=silent, omitted=omitted))]


def test_what_the_node_has_kept_of_an_end_stands_in_for_its_event_and_its_log(
    server: TinyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(_: object, *asked: Any, **__: object) -> list[bytes]:
        if ("postMortem", "true") in asked[3]:
            return kept(2, 1)
        raise NotFound("no log is left")

    server.keep(a_tree(died()))
    monkeypatch.setattr("cubectl.api.Api.log", log)
    assert run(server, "post-mortem web").out.splitlines()[3:] == [
        f"  told at {END}: {STORY}",
        "  the last lines of its log:",
        "    line of 2",
    ]


def test_of_another_pod_of_the_name_nothing_is_told_while_this_one_is_here(
    server: TinyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.keep(a_tree(died()))
    monkeypatch.setattr("cubectl.api.Api.log", lambda *_, **__: kept(2, uid="u0"))
    assert STORY not in run(server, "post-mortem web").out.splitlines()[3]


def test_of_a_pod_that_is_gone_its_ends_are_told_and_who_may_know_more(
    server: TinyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cubectl.api.Api.log", lambda *_, **__: kept(1, silent=("n2",)))
    assert run(server, "post-mortem web").out.splitlines() == [
        "pod default/web is gone; its node has kept:",
        "container main, started again 1 times, of pod u1:",
        f"  told at {END}: {STORY}",
        "  the last lines of its log:",
        "    line of 1",
        "n2 did not answer, and may have more",
    ]
    said = run(server, "post-mortem web -c side")
    assert (said.code, "not found" in said.err) == (1, True)


@pytest.mark.parametrize("attempts", [(1,), ()])
def test_what_is_not_told_is_said_also_where_nothing_of_the_container_is(
    server: TinyServer, monkeypatch: pytest.MonkeyPatch, attempts: tuple[int, ...]
) -> None:
    answer = kept(*attempts, silent=("n2",), omitted=3)
    monkeypatch.setattr("cubectl.api.Api.log", lambda *_, **__: answer)
    said = run(server, "post-mortem web -c side")
    assert (said.code, "not found" in said.err) == (1, True)
    assert said.out.splitlines() == [
        "n2 did not answer, and may have more",
        "3 older ones are not told: the answer would be too long",
    ]


def test_a_log_that_may_not_be_read_leaves_the_rest(
    server: TinyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Line:
        raise Forbidden("no logs for you")

    server.keep(a_tree(died()))
    monkeypatch.setattr("cubectl.api.Api.log", refused)
    said = run(server, "post-mortem web")
    assert (said.code, said.out.splitlines()[-1]) == (
        0,
        "  its log cannot be read: no logs for you",
    )


@pytest.mark.parametrize(
    ("line", "code", "why"),
    [
        ("post-mortem", 2, "name one pod"),
        ("post-mortem a b", 2, "name one pod"),
        ("post-mortem deploy/web", 2, "a post-mortem is of one pod"),
        ("post-mortem none", 1, "not found"),
        ("post-mortem web -c no", 2, "it has: main"),
    ],
)
def test_what_is_wrong_is_named(server: TinyServer, line: str, code: int, why: str) -> None:
    server.keep(a_tree(died()))
    said = run(server, line)
    assert (said.code, why in said.err) == (code, True), said.err
