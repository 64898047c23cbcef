"""HTTP/1.1 as cubectl reads it: any cut of any body, and every way in which an answer can break."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubectl.connection.http1 import Broken, request_bytes, response_in


def answered(*pieces: bytes) -> socket.socket:
    """Return a connection whose other end sent these pieces and hung up."""
    ours, theirs = socket.socketpair()
    with theirs:
        for piece in pieces:
            theirs.sendall(piece)
    return ours


def body_of(*pieces: bytes) -> bytes:
    with answered(*pieces) as connection:
        return response_in(connection).body.read()


@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5), cut=st.integers(0, 400))
def test_a_body_in_chunks_is_what_the_chunks_hold(chunks: list[bytes], cut: int) -> None:
    framed = b"".join(b"%x;note=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + framed + b"0\r\nTrailer: 1\r\n\r\n"

    assert body_of(whole[:cut], whole[cut:]) == b"".join(chunks)


@given(body=st.binary(max_size=200), missing=st.integers(1, 200))
def test_a_body_that_is_cut_is_never_taken_for_a_whole_one(body: bytes, missing: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

    assert body_of(head % len(body), body) == body
    with pytest.raises(Broken, match="broke within the answer"):
        body_of(head % (len(body) + missing), body)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(Broken):
        body_of(chunked, b"%x\r\n%b" % (len(body) + missing, body))


def test_what_lies_behind_a_body_stays_for_the_next_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for text in (b"one", b"two"):
            theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + text)
            response = response_in(ours)
            assert (response.body.read(), response.is_kept) == (text, True)


def test_interim_answers_are_passed_over_and_bodies_may_be_absent() -> None:
    with answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n") as connection:
        response = response_in(connection)
        assert (response.status, response.body.read()) == (204, b"")


@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nCONNECTION: Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, x\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_only_where_the_server_keeps_it(head: bytes, is_kept: bool) -> None:
    with answered(head) as connection:
        response = response_in(connection)
        assert (response.body.read(), response.is_kept) == (b"", is_kept)


def test_repeated_headers_are_joined() -> None:
    head = b'HTTP/1.1 200 OK\r\nWarning: 299 - "a"\r\nwarning: 299 - "b"\r\n\r\n'
    with answered(head) as connection:
        assert response_in(connection).headers["warning"] == '299 - "a", 299 - "b"'


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 2x0\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300, b"HTTP/1.1 200 " + b"x" * 20_000,
        b"HTTP/1.1 100 C\r\n\r\n" * 20,
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told(sent: bytes) -> None:
    with answered(sent) as connection, pytest.raises(Broken):
        response_in(connection)


@pytest.mark.parametrize("size", [b"x", b"-1", b"1_0", b""])
def test_a_chunk_of_no_size_is_refused(size: bytes) -> None:
    with pytest.raises(Broken, match="a chunk of the size"):
        body_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", size + b"\r\n")


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: 1", "/a\n"])
def test_no_word_of_a_person_becomes_a_header(target: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        request_bytes("GET", target, {}, b"")


def test_a_request_says_how_long_its_body_is() -> None:
    assert request_bytes("PUT", "/a", {"Host": "h"}, b"") == (
        b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    )
    assert request_bytes("GET", "/a", {}, b"") == b"GET /a HTTP/1.1\r\n\r\n"
