"""What clients share: catalogs aside, queries, warnings, refusals and the lines of a watch."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.wire.bodies import warning_header
from cubernetes.api.errors import ApiError, Conflict, Gone
from cubernetes.client.wire.queries import list_query, log_query, selection_query, watch_query
from cubernetes.client.wire.refusals import refusal_of
from cubernetes.client.wire.warnings import WARNING_COUNT_MAX, warnings_in
from cubernetes.client.wire.watchlines import NoEvent, event_in, revision_in

TEXTS = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(texts=st.lists(TEXTS, max_size=5))
def test_warnings_are_read_as_the_server_writes_them(texts: list[str]) -> None:
    assert warnings_in(warning_header(tuple(texts)).get("Warning", "")) == tuple(texts)


@pytest.mark.parametrize("header", ["", "nonsense", "299 - unquoted", '299 - "open', "1" * 5000])
def test_a_malformed_warning_is_none(header: str) -> None:
    assert warnings_in(header) == ()


def test_warnings_have_an_end_and_may_bear_a_date() -> None:
    assert len(warnings_in(", ".join(['299 - "a"'] * 500))) == WARNING_COUNT_MAX
    dated = '299 host "a" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "b"'
    assert warnings_in(dated) == ("a", "b")


def test_queries_say_only_what_is_asked_for() -> None:
    assert list_query() == []
    assert list_query(selection_query("a=b", ""), limit=5, proceed="x") == [
        ("labelSelector", "a=b"), ("limit", "5"), ("continue", "x"),
    ]  # fmt: skip
    assert list_query(revision="") == [
        ("resourceVersion", ""), ("resourceVersionMatch", "NotOlderThan"),
    ]  # fmt: skip
    assert dict(watch_query((), "7", 30)) == {
        "watch": "true",
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "30",
    }
    assert log_query() == []
    # No lines and no time are something to ask for.
    assert log_query(tail=0, since_s=0) == [("tailLines", "0"), ("sinceSeconds", "0")]


def test_a_refusal_is_read_from_a_status_or_from_what_there_is() -> None:
    status = {"code": 409, "reason": "Conflict", "message": "no", "kind": "Status"}
    assert isinstance(refusal_of(409, json.dumps(status).encode(), {}), Conflict)
    refusal = refusal_of(502, b"<html>bad gateway", {"retry-after": "7"})
    assert "the server answered 502: <html>bad gateway" in refusal.message
    assert refusal.retry_after_s == 7


def test_a_line_of_a_watch_is_an_event_or_an_error() -> None:
    event = event_in(b'{"type":"MODIFIED","object":{"metadata":{}}}')
    assert (event.type, event.object) == ("MODIFIED", b'{"metadata":{}}')
    with pytest.raises(Gone):
        event_in(b'{"type":"ERROR","object":{"code":410,"reason":"Expired"}}')
    with pytest.raises(ApiError):
        event_in(b'{"type":"ERROR","object":{"code":400,"reason":"BadRequest"}}')


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b'{"type":"OTHER","object":{}}', b'{"type":"ADDED"}', b"[" * 100_000,
     b'{"type":"ERROR","object":1}'],
)  # fmt: skip
def test_what_is_no_event_is_told(line: bytes) -> None:
    with pytest.raises(NoEvent):
        event_in(line)


@pytest.mark.parametrize(("text", "revision"), [("7", 7), ("", None), ("-1", None), ("٣", None),
                                                ("9" * 20, None)])  # fmt: skip
def test_a_revision_is_a_number_of_63_bits(text: str, revision: int | None) -> None:
    assert revision_in(text) == revision
