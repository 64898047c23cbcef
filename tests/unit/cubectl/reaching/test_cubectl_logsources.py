"""Containers whose logs are meant, and lines on their way: absences, bounds, bytes of no text."""

from typing import Any

import pytest

from cubectl.output.logtext import LINE_BYTES_MAX, LogText
from cubectl.verbs.reaching.logsources import Source, Which, are_over, readable, sources_of
from cubernetes.api.notation.jsontext import Tree

EVERY = Which(is_all=True)


def a_pod(spec: Any = None, status: Any = None, **metadata: Any) -> Tree:
    spec = spec or {"containers": [{"name": "a"}, {"name": "b"}]}
    return {"metadata": {"name": "web", **metadata}, "spec": spec, "status": status}


def test_a_source_is_told_by_its_pod_and_container() -> None:
    assert Source("u", "web", "main").prefix == "[pod/web/main] "


@pytest.mark.parametrize("status", [None, {}, {"containerStatuses": None}])
def test_a_pod_of_which_little_is_known_has_lives_that_begin_at_0(status: Any) -> None:
    pod = a_pod(status=status, uid="u")

    assert sources_of(pod, Which("b")) == [Source("u", "web", "b", 0)]
    assert sources_of(a_pod(annotations=None), Which()) == [Source("", "web", "a", 0)]
    assert readable(pod, EVERY) == []
    empty: Tree = {"initContainers": None, "containers": [{"name": "a"}]}
    assert sources_of(a_pod(empty), EVERY) == [Source("", "web", "a", 0)]


def test_a_container_has_started_when_it_runs_or_has_ended() -> None:
    states: list[Any] = [{"running": {}}, {"terminated": {}}, {"waiting": {}}, {}, None]
    names = [str(index) for index in range(len(states))]
    told = [
        {"name": name, "state": state} | ({"restartCount": 3} if name == "1" else {})
        for name, state in zip(names, states, strict=True)
    ]
    spec = {"containers": [{"name": name} for name in names]}
    pod = a_pod(spec, {"containerStatuses": [*told, {"name": "gone"}]})

    assert readable(pod, EVERY) == [Source("", "web", "0"), Source("", "web", "1", 3)]


def test_every_kind_of_container_has_its_lives() -> None:
    parts = ("initContainer", "container", "ephemeralContainer")
    spec = {f"{part}s": [{"name": part}] for part in parts}
    status = {
        f"{part}Statuses": [{"name": part, "restartCount": index, "state": {"running": {}}}]
        for index, part in enumerate(parts)
    }

    assert readable(a_pod(spec, status), EVERY) == [
        Source("", "web", part, index) for index, part in enumerate(parts)
    ]


def test_all_goes_before_a_name_and_a_name_before_the_note() -> None:
    pod = a_pod(annotations={"kubectl.kubernetes.io/default-container": "b"})

    assert [one.container for one in sources_of(pod, Which("a", is_all=True))] == ["a", "b"]
    assert [one.container for one in sources_of(pod, Which("a"))] == ["a"]
    assert [one.container for one in sources_of(pod, Which())] == ["b"]


def test_a_pod_without_a_status_is_not_over() -> None:
    for status in (None, {}, {"phase": "Running"}):
        assert not are_over([{"status": {"phase": "Failed"}}, {"status": status}])
    assert not are_over([{}])
    assert are_over([{"status": {"phase": "Failed"}}, {"status": {"phase": "Succeeded"}}])


def test_bytes_of_no_text_are_written_out_and_a_cut_letter_is_waited_for() -> None:
    text = LogText(is_terminal=False)
    assert [text.feed(b"\xc3"), text.feed(b"\xa9\xff\x1b"), text.feed(b"\xc3")] == [
        "", "é\\xff\x1b", ""
    ]  # fmt: skip
    assert text.end() == "\\xc3"
    assert LogText(is_terminal=True).feed(b"a\x1b\tb\n") == "a\\x1b\tb\n"


def test_lines_are_given_when_they_are_whole_each_with_its_prefix() -> None:
    text = LogText(is_terminal=True, by_line=True, prefix="[p] ")

    assert [text.feed(b"a"), text.feed(b"b\nc\n\nd\xff"), text.feed(b"\x1b\n")] == [
        "", "[p] ab\n[p] c\n[p] \n", "[p] d\\xff\\x1b\n"
    ]  # fmt: skip
    assert (text.end(), text.feed(b"e"), text.end(), text.end()) == ("", "", "[p] e\n", "")
    plain = LogText(is_terminal=False, by_line=True)
    assert plain.feed(b"a\x1b\n") == "a\x1b\n"


def test_what_is_held_of_a_line_is_given_before_it_is_too_much() -> None:
    text = LogText(is_terminal=False, by_line=True, prefix=">")

    assert text.feed(b"x" * LINE_BYTES_MAX) == ""
    assert text.feed(b"y") == f">{'x' * LINE_BYTES_MAX}y\n"
    assert text.end() == ""
    assert text.feed(b"a\n" + b"x" * (LINE_BYTES_MAX + 1)) == ">a\n"
