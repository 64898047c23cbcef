"""HTTP as bytes: whole requests from any cut, and nothing that could be read in two ways."""

import gzip
import zlib
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.errors import LimitExceeded
from tsdb.serve.wire import (
    HEAD_BYTES_MAX,
    Answer,
    NotUnderstood,
    Phase,
    Request,
    RequestReader,
    head_bytes,
    unpacked,
)

LIMIT = 1000
THREE = (
    b"GET /a%20b?x=1&y=%2B HTTP/1.1\r\nHost: h\r\n\r\n"
    b"\r\nPOST /b HTTP/1.1\r\nContent-Length: 5\r\nX-Any: 1\r\nx-any:  2 \r\n\r\nhello"
    b"POST /c HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;why=not\r\nabc\r\n002\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
)


def read(*pieces: bytes, limit: int = LIMIT) -> list[Request]:
    reader = RequestReader(limit)
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (request := reader.next()) is not None:
            found.append(request)
    return found


def test_requests_are_read_one_after_the_other() -> None:
    first, second, third = read(THREE)

    assert (first.method, first.path, first.query) == ("GET", "/a b", "x=1&y=%2B")
    assert (first.keeps_alive, first.body) == (True, b"")
    assert (second.body, second.headers["x-any"]) == (b"hello", "1, 2")
    assert (third.body, third.keeps_alive) == (b"abcde", False)


@given(st.lists(st.integers(0, len(THREE)), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(THREE)]
    pieces = [THREE[a:b] for a, b in pairwise(places)]

    assert read(*pieces) == read(THREE)


@given(st.binary(max_size=300), st.sampled_from([b"", b"GET / HTTP/1.1\r\n", THREE[:60]]))
def test_any_bytes_are_requests_or_refused(data: bytes, before: bytes) -> None:
    found: list[Request] = []
    with suppress(NotUnderstood, LimitExceeded):
        found = read(before + data + b"\r\n\r\n")

    assert all(request.path.startswith("/") for request in found)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /", 400),
        (b"GET / HTTP/1.1 x", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /%ff HTTP/1.1", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.1\r\nno colon", 400),
        (b"GET / HTTP/1.1\r\nHost : a", 400),
        (b"GET / HTTP/1.1\r\n folded: a", 400),
        (b"GET / HTTP/1.1\r\na: b\nc: d", 400),
        (b"GET / HTTP/1.1\r\na: b\x00", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", 400),
        (b"POST / HTTP/1.1\r\nExpect: wonders", 417),
        (b"GET / HTTP/1.1" + b"\r\na: b" * 65, 431),
        (b"GET /" + b"a" * HEAD_BYTES_MAX, 431),
    ],
)
def test_a_head_that_could_mean_two_things_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(NotUnderstood) as found:
        read(head + b"\r\n\r\n")

    assert found.value.code == status


@pytest.mark.parametrize("chunk", [b"\r\n", b"-1\r\n", b"x\r\n", b"2\r\nabc\r\n", b"1" * 300])
def test_a_chunk_that_is_not_one_is_refused(chunk: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3e8\r\n",
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_has_come(request_bytes: bytes) -> None:
    with pytest.raises(LimitExceeded, match="request_bytes"):
        read(request_bytes)


def test_the_reader_tells_how_far_the_next_request_has_come() -> None:
    reader = RequestReader(LIMIT)
    phases = [reader.phase]
    for piece in (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n", b"Content-Length: 1\r\n\r\n"):
        reader.feed(piece)
        assert reader.next() is None
        phases.append(reader.phase)
    assert reader.expects_continue
    reader.feed(b"!")

    assert reader.next() is not None
    assert [*phases, reader.phase] == [Phase.NOTHING, Phase.HEAD, Phase.BODY, Phase.NOTHING]


def test_the_url_of_a_proxy_s_request_loses_its_authority() -> None:
    (request,) = read(b"GET http://h:1/a/b?c HTTP/1.1\r\n\r\n")

    assert (request.path, request.query) == ("/a/b", "c")


def test_a_packed_body_is_unpacked_within_the_limit() -> None:
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(b"hello"),
        "deflate": zlib.compress(b"hello"),
        "Deflate": bare.compress(b"hello") + bare.flush(),
        "snappy": b"hello",
        "": b"hello",
    }
    assert {unpacked(body, coding, LIMIT) for coding, body in packed.items()} == {b"hello"}
    with pytest.raises(LimitExceeded):
        unpacked(gzip.compress(bytes(LIMIT + 1)), "gzip", LIMIT)
    for damaged in (b"no gzip", gzip.compress(b"hello")[:-9], gzip.compress(b"hello") + b"!"):
        with pytest.raises(NotUnderstood):
            unpacked(damaged, "gzip", LIMIT)


def test_an_answer_s_head_says_its_length_and_whether_more_may_be_asked() -> None:
    answer = Answer(503, headers=[(b"Retry-After", b"5")])

    told = head_bytes(answer, 7, b"now", keeps_alive=False).split(b"\r\n")

    assert told[0] == b"HTTP/1.1 503 Service Unavailable"
    assert set(told[1:-2]) == {
        b"Date: now",
        b"Content-Type: application/json",
        b"Content-Length: 7",
        b"Retry-After: 5",
        b"Connection: close",
    }
    nothing = head_bytes(Answer(204), 0, b"now", keeps_alive=True)
    assert nothing == b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"
