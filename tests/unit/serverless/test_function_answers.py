"""Answers: what callers see of results, and messages between gateway and runner."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless import envelope
from serverless.brain.known import REVISIONS_MAX
from serverless.brain.naming import digest_of, key_for
from serverless.envelope import ANSWER_BYTES_MAX, CallHead, Misread, ResultHead, result_of
from serverless.gateway.answers import answer_of, is_deadline, refusal, with_timing
from serverless.runtime import door, wire, worker
from serverless.runtime.userland import Request
from tests.unit.serverless.functionworld import a_function

TREES = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(0, 99), max_size=4)


@given(tree=TREES, body=st.binary(max_size=40))
def test_the_runners_messages_are_the_gateways(tree: dict[str, object], body: bytes) -> None:
    assert wire.unpacked(envelope.packed(tree, body)) == (tree, body)
    assert envelope.unpacked(wire.packed(tree, body), dict) == (tree, body)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_message_are_misread_and_nothing_else(content: bytes) -> None:
    # A result needs its outcome, for which there is no room.
    with pytest.raises(Misread):
        envelope.unpacked(content[:20], ResultHead)


def test_limits_of_the_gateway_have_room_for_those_of_the_runner() -> None:
    others_bytes = wire.HEAD_BYTES_MAX + 2 * door.LOG_BYTES_MAX
    assert worker.RESULT_BYTES_MAX + others_bytes < ANSWER_BYTES_MAX
    assert REVISIONS_MAX == door.REVISIONS_MAX


@given(revision=st.text(max_size=5), path=st.text(max_size=5), body=st.binary(max_size=40))
def test_a_call_on_a_line_is_what_the_door_reads(revision: str, path: str, body: bytes) -> None:
    head = CallHead(call="c", method="GET", path=path, timeout_s=2.5, places=4)

    called = wire.read_call(BytesIO(envelope.call_frame(revision, head, body)))

    assert (called.revision, called.places, called.timeout_s) == (revision, 4, 2.5)
    assert wire.unpacked(called.message) == wire.unpacked(envelope.packed(head, body))


@given(st.binary(max_size=40))
def test_what_a_worker_says_of_its_call_is_a_result_or_misread(content: bytes) -> None:
    for text in (content, b'{"outcome":"' + content.hex().encode() + b'"}'):
        answer = envelope.RawAnswer(envelope.RAN, text, b"", b"", 0.0)
        with pytest.raises(Misread):
            result_of(answer)


def test_a_call_is_what_the_function_reads() -> None:
    head = CallHead(
        call="c", method="GET", path="/", params=(("a", "1"), ("a", "2")), timeout_s=1, places=1
    )
    tree, body = wire.unpacked(envelope.packed(head, b"x"))

    request = Request(tree, body)

    assert request.param("a") == "1"
    assert request.all_params == {"a": ["1", "2"]}
    assert request.bytes() == b"x"
    with pytest.raises(KeyError, match="no parameter 'b'"):
        request.param("b")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("2.5", True), ("86400", True), ("0", False), ("86401", False), ("-1", False), ("1e3", False)],
)
def test_a_deadline_is_seconds_from_now(text: str, is_one: bool) -> None:
    assert is_deadline(text) == is_one


@pytest.mark.parametrize(
    ("outcome", "status"), [("timeout", 504), ("lost", 502), ("error", 500), ("odd", 500)]
)
def test_each_way_to_fail_has_its_status(outcome: str, status: int) -> None:
    response = answer_of("default/f", ResultHead(outcome=outcome, error="why"), b"")

    assert response.status == status
    assert b"why" in bytes(response.body)  # type: ignore[arg-type]


def test_a_function_may_set_headers_but_not_those_of_the_connection() -> None:
    told = {"X-Mine": "yes", "Connection": "close", "Content-Length": "7", "Server": "x"}
    result = ResultHead(outcome="ok", status=201, content_type="text/css", headers=told)

    response = answer_of("default/f", result, b"body")

    assert (response.status, response.content_type) == (201, "text/css")
    assert response.headers == {"X-Mine": "yes"}


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"x": "a\r\nb: c"}, {"": "x"}, {"x": "\0"}])
def test_headers_that_would_split_an_answer_are_refused(headers: dict[str, str]) -> None:
    result = ResultHead(outcome="ok", status=200, content_type="text/plain", headers=headers)

    assert answer_of("default/f", result, b"").status == 502


def test_a_refusal_says_when_to_come_again_and_which_call_it_was() -> None:
    response = with_timing(refusal(429, "full", is_later=True), "c-1", "f-1", 1.25, 2.0)

    assert response.headers["Retry-After"] == "1"
    assert response.headers["Cube-Call"] == "c-1"
    assert response.headers["Server-Timing"] == "wait;dur=1.2, run;dur=2.0"
    assert response.headers["Cube-Revision"] == "f-1"


def test_a_digest_follows_from_what_a_call_depends_on_alone() -> None:
    one = a_function().spec

    assert digest_of(one) == digest_of(a_function(concurrency=9, idle_seconds=5).spec)
    for other in (
        a_function(text="v2"),
        a_function(entry="action.other"),
        a_function(env={"A": "b"}),
    ):
        assert digest_of(one) != digest_of(other.spec)


def test_a_key_is_of_one_pod_and_one_secret() -> None:
    keys = {key_for("s", "a"), key_for("s", "b"), key_for("t", "a")}

    assert len(keys) == 3
    assert key_for("s", "a") in keys
