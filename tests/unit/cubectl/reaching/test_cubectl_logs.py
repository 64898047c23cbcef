"""Which logs `cubectl logs` means, and how they look beside each other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubectl.output.logtext import LINE_BYTES_MAX, LogText
from cubectl.verbs.reaching.logsources import Source, Which, are_over, readable, sources_of
from cubernetes.api.coding import codec
from cubernetes.api.errors import Forbidden
from cubernetes.api.notation.jsontext import Tree
from tests.given import a_pod, a_replicaset
from tests.unit.cubectl.tinyserver import TinyServer, run

PODS = "/api/v1/namespaces/default/pods"
POD: Tree = {
    "metadata": {"name": "web-0", "uid": "u1"},
    "spec": {
        "initContainers": [{"name": "first"}],
        "containers": [{"name": "main"}, {"name": "side"}],
        "ephemeralContainers": [{"name": "look"}],
    },
    "status": {
        "phase": "Running",
        "initContainerStatuses": [{"name": "first", "state": {"terminated": {}}}],
        "containerStatuses": [
            {"name": "main", "restartCount": 2, "state": {"running": {}}},
            {"name": "side", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ],
    },
}


def names(found: list[Source]) -> list[str]:
    return [one.container for one in found]


def test_without_a_name_the_first_container_is_meant_or_the_one_that_the_pod_names() -> None:
    note = {"kubectl.kubernetes.io/default-container": "side"}
    noted = POD | {"metadata": POD["metadata"] | {"annotations": note}}
    stale = {"kubectl.kubernetes.io/default-container": "gone"}

    assert names(sources_of(POD, Which())) == ["main"]
    assert names(sources_of(noted, Which())) == ["side"]
    assert names(
        sources_of(noted | {"metadata": {"name": "x", "annotations": stale}}, Which())
    ) == ["main"]
    assert names(sources_of(POD, Which("look"))) == ["look"]
    assert sources_of(POD, Which("other")) == []


def test_all_containers_are_those_that_begin_run_and_look_into_the_pod() -> None:
    assert names(sources_of(POD, Which(is_all=True))) == ["first", "main", "side", "look"]


def test_a_log_can_be_read_once_its_container_has_started_and_each_life_is_another() -> None:
    assert readable(POD, Which(is_all=True)) == [
        Source("u1", "web-0", "first"),
        Source("u1", "web-0", "main", 2),
    ]


def test_pods_are_over_when_there_are_some_and_none_runs() -> None:
    done: Tree = {"status": {"phase": "Succeeded"}}
    assert not are_over([])
    assert are_over([done, {"status": {"phase": "Failed"}}])
    assert not are_over([done, {}])


def test_a_pod_that_was_named_is_over_when_it_is_gone() -> None:
    assert are_over([], is_one=True)
    assert not are_over([{"status": {"phase": "Running"}}], is_one=True)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_lines_are_the_same_however_they_are_cut(log: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(log)) for cut in cuts), len(log)})
    pieces = [log[a:b] for a, b in pairwise(places)]
    whole = LogText(is_terminal=False, by_line=True, prefix="[p] ")
    cut = LogText(is_terminal=False, by_line=True, prefix="[p] ")

    text = whole.feed(log) + whole.end()
    assert "".join(map(cut.feed, pieces)) + cut.end() == text
    assert text.count("[p] ") == len(log.split(b"\n")) - (not log or log.endswith(b"\n"))


def test_a_line_without_an_end_is_cut_before_it_fills_the_memory() -> None:
    text = LogText(is_terminal=False, by_line=True)
    assert text.feed(b"x" * LINE_BYTES_MAX) == ""
    assert text.feed(b"y") == "x" * LINE_BYTES_MAX + "y\n"


@pytest.fixture
def server() -> TinyServer:
    made = TinyServer(a_pod("web-0"), a_pod("web-1"), a_replicaset("web"))
    return made


def test_the_logs_of_a_sets_pods_are_told_apart(server: TinyServer) -> None:
    said = run(server, "logs rs/web")
    assert said.out.splitlines() == [
        "[pod/web-0/main] one", "[pod/web-0/main] two",
        "[pod/web-1/main] one", "[pod/web-1/main] two",
    ]  # fmt: skip
    assert all("tailLines" not in path for _, path in server.asked)


def test_a_selector_brings_the_last_ten_lines_of_each_unless_more_are_asked_for(
    server: TinyServer,
) -> None:
    assert run(server, "logs -l app=web").out == "one\ntwo\n" * 2
    assert server.asked[-1][1].endswith("web-1/log?container=main&tailLines=10")
    run(server, "logs -l app=web --tail=-1 --since-time 2026-03-01T10:00:00Z --limit-bytes 9")
    asked = server.asked[-1][1]
    assert asked.endswith("container=main&sinceTime=2026-03-01T10%3A00%3A00Z&limitBytes=9")


def test_a_log_that_is_refused_holds_up_no_other(server: TinyServer) -> None:
    server.log_refusals["web-0"] = Forbidden("not for you")
    said = run(server, "logs -l app=web")
    assert (said.out, said.code) == ("one\ntwo\n", 1)
    assert said.err == "cubectl: [pod/web-0/main] not for you\n"
    assert run(server, "logs -l app=web --ignore-errors").code == 0


def test_more_are_not_followed_than_are_allowed(server: TinyServer) -> None:
    for name in ("web-0", "web-1"):
        tree = codec.to_tree(a_pod(name))
        state = {"name": "main", "state": {"running": {}}}
        server.keep(tree | {"status": {"phase": "Running", "containerStatuses": [state]}})
    said = run(server, "logs -f -l app=web --max-log-requests 1")
    assert said.code == 2
    assert "follow 2 log streams, but maximum allowed concurrency is 1" in said.err


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("logs", "name one pod"),
        ("logs a b c", "name one pod"),
        ("logs x -l a=b", "not both"),
        ("logs x --tail=-5", "--tail: must be"),
        ("logs x --limit-bytes=0", "--limit-bytes: must be"),
        ("logs x --since 5m --since-time 2026-03-01T10:00:00Z", "use one of them"),
        ("logs x main --all-containers", "goes with no container's name"),
        ("logs x -l a=b --max-log-requests 0", "not both"),
        ("logs -l a=b --max-log-requests 0", "--max-log-requests: must be"),
        ("logs ns/default", "no selector"),
        ("logs x --life 1 -p", "use one of them"),
        ("logs x --life=-1", "0 or more lives"),
        ("logs -l a=b --deleted", "goes with one pod's name"),
        ("logs x --deleted --all-containers", "goes with one pod's name"),
        ("logs x --deleted --prefix", "goes with one pod's name"),
    ],
)
def test_what_cannot_be_meant_is_told(server: TinyServer, line: str, named: str) -> None:
    server.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    said = run(server, line)
    assert (said.code, named in said.err) == (2, True), said


def test_a_container_that_no_pod_has_is_told(server: TinyServer) -> None:
    said = run(server, "logs -l app=web -c other")
    assert said.code == 1
    assert "'other' is in none of its 2 pods" in said.err
