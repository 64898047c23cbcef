"""Heads of requests that `cubectl proxy` hears: read, judged and written again, to the letter."""

import re

import pytest

from cubectl.connection.filter import (
    Filter,
    Head,
    NoHead,
    asks_to_switch,
    declined,
    handed_on,
    has_switched,
    head_in,
)

ALL = (re.compile(""),)
OPEN = Filter(ALL, ALL, (), ())


def refusal(first: str = "GET /x HTTP/1.1", *headers: str, by: Filter = OPEN) -> str:
    return by.refusal(head_in("\r\n".join([first, *headers, "", ""]).encode()))


def only(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, patterns))


def test_a_head_is_read_byte_by_byte() -> None:
    text = b"GET /x?a=%20 HTTP/1.1\r\nHost: h:1\r\nX-A:\xe9: b \r\nx-a:\r\n\r\n"

    assert head_in(text) == Head(
        "GET", "/x?a=%20", [("host", "h:1"), ("x-a", "\xe9: b"), ("x-a", "")]
    )
    assert head_in(b"GET / HTTP/1.1\r\n\r\n") == Head("GET", "/", [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"GET /x HTTP/1.0", "not a request of HTTP/1.1: 'GET /x HTTP/1.0'"),
        (b"GET x HTTP/1.1", "not a request of HTTP/1.1: 'GET x HTTP/1.1'"),
        (b"GET /x#y HTTP/1.1", "not a request of HTTP/1.1: 'GET /x#y HTTP/1.1'"),
        (b"GET /x HTTP/1.1 ", "not a request of HTTP/1.1: 'GET /x HTTP/1.1 '"),
        (b"GET /x\nA: HTTP/1.1", "not a request of HTTP/1.1: 'GET /x\\nA: HTTP/1.1'"),
        (b"A\rGET /x HTTP/1.1", "not a request of HTTP/1.1: 'A\\rGET /x HTTP/1.1'"),
        (b"x" * 81, f"not a request of HTTP/1.1: '{'x' * 80}'"),
        (b"GET /x HTTP/1.1\r\nA", "not a header: 'A'"),
        (b"GET /x HTTP/1.1\r\n: b", "not a header: ': b'"),
        (b"GET /x HTTP/1.1\r\nA : b", "not a header: 'A : b'"),
        (b"GET /x HTTP/1.1\r\nA: b\nc", "not a header: 'A: b\\nc'"),
        (b"GET /x HTTP/1.1\r\nA: b\rc", "not a header: 'A: b\\rc'"),
        (b"GET /x HTTP/1.1\r\n" + b"x" * 81, f"not a header: '{'x' * 80}'"),
    ],
)
def test_what_is_no_head_is_told_with_its_beginning(text: bytes, told: str) -> None:
    with pytest.raises(NoHead) as caught:
        head_in(text + b"\r\n\r\n")
    assert str(caught.value) == told


def test_a_host_is_matched_without_its_port() -> None:
    by = Filter(only("^a$", r"^\[::1\]$"), ALL, (), ())

    for host in ("a", "a:80", "a:", "[::1]", "[::1]:80"):
        assert refusal("GET /x HTTP/1.1", f"Host: {host}", by=by) == ""
    for host in ("b", "a:x", "a:80:80", ""):
        told = f"host {re.sub(':[0-9]*$', '', host)!r} is not accepted (--accept-hosts)"
        assert refusal("GET /x HTTP/1.1", f"Host: {host}", by=by) == told
    assert refusal("GET /x HTTP/1.1", "Host: a", "Host: a", by=by) == (
        "host 'a,a' is not accepted (--accept-hosts)"
    )
    assert f"host {'x' * 80!r} is" in refusal("GET /x HTTP/1.1", f"Host: {'x' * 81}", by=by)


def test_a_path_is_matched_as_its_reader_understands_it() -> None:
    by = Filter(ALL, only("^/a", "^/b"), only("exec$", "attach$"), ())

    for target in ("/a", "/b/c", "/%61", "/a?x=exec"):
        assert refusal(f"GET {target} HTTP/1.1", by=by) == ""
    for target, path in (("/c", "/c"), ("/a/%65xec?b", "/a/exec"), ("/b/attach", "/b/attach")):
        assert refusal(f"GET {target} HTTP/1.1", by=by) == (
            f"path {path!r} is not accepted (--accept-paths, --reject-paths)"
        )
    assert f"path {'/' + 'x' * 199!r} is" in refusal(f"GET /{'x' * 200} HTTP/1.1", by=by)


@pytest.mark.parametrize(
    "path",
    ["//a", "///a", "/a//b", "/a//", "//", "/./a", "/a/.", "/a/..", "/../a", "/a/../b", "/a/./",
     "/%2fa", "/%2Fa", "/a%2f/b", "/a%2F%2Fb", "/%2e/a", "/a/%2E%2e/b", "/a/.%2e", "/.%2f"],
)  # fmt: skip
def test_a_path_that_somebody_may_shorten_is_refused(path: str) -> None:
    assert "a segment that is empty, . or .." in refusal(f"GET {path}?x=1 HTTP/1.1")
    unlimited = Filter(ALL, ALL, (), (), has_any_path=True)
    assert refusal(f"GET {path} HTTP/1.1", by=unlimited) == ""


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b/", "/.a/..b/c.", "/...", "/a%2fb"])
def test_a_path_of_segments_is_taken_with_one_slash_behind_it(path: str) -> None:
    assert refusal(f"GET {path} HTTP/1.1") == ""


def test_a_method_is_matched_as_it_is_written() -> None:
    by = Filter(ALL, ALL, (), only("^POST$", "^M"))

    assert refusal("GET /x HTTP/1.1", by=by) == ""
    assert refusal("POST /x HTTP/1.1", by=by) == "method 'POST' is not accepted (--reject-methods)"
    assert f"method {'M' * 20!r} is" in refusal(f"{'M' * 21} /x HTTP/1.1", by=by)


@pytest.mark.parametrize("origin", ["null", "http://b", "http://[", "http://a:80", "a", "http://"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    told = "a page of another site may not ask"
    assert refusal("GET /x HTTP/1.1", "Host: a", f"Origin: {origin}") == told


def test_a_page_of_this_site_may_ask() -> None:
    for origin in ("http://a:80", "https://a:80", ""):
        assert refusal("GET /x HTTP/1.1", "Host: a:80", f"Origin: {origin}") == ""


def test_headers_of_a_connection_are_not_handed_on_in_whichever_order_they_came() -> None:
    hops = ["Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Authorization", "X-A", "X-B"]
    head = head_in(
        "\r\n".join(
            [
                "PUT /x HTTP/1.1", "Host: h", *(f"{name}: 1" for name in hops),
                "Connection: close , X-A", "Connection: x-b", "Upgrade: h2c", "B: \xe9", "",
                "",
            ]
        ).encode("latin-1")
    )  # fmt: skip

    assert handed_on(head, "/p", "s", [("proof", "us")]) == (
        b"PUT /p/x HTTP/1.1\r\nhost: s\r\nproof: us\r\nb: \xe9\r\nconnection: close\r\n\r\n"
    )


def test_another_protocol_is_asked_for_where_the_connection_wishes_for_one() -> None:
    for wish, named, is_handed_on in (
        ("upgrade", "websocket", True), ("Keep-Alive, Upgrade", "websocket", True),
        ("upgrade", "", False), ("close", "websocket", False),
        ("upgrade", "SPDY/3.1", True), ("upgrade", "h2c", False),
        ("upgrade", "websocket, H2C", False), ("upgrade", "TLS/1.2, HTTP/2.0", False),
    ):  # fmt: skip
        text = handed_on(Head("GET", "/x", [("connection", wish), ("upgrade", named)]), "", "s", ())
        ending = f"upgrade: {named}\r\nconnection: upgrade" if is_handed_on else "connection: close"
        assert text.decode() == f"GET /x HTTP/1.1\r\nhost: s\r\n{ending}\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        (("content-length", "0"), True),
        (("content-length", ""), True),
        (("content-length", "1"), False),
        (("transfer-encoding", "chunked"), False),
    ],
)
def test_a_request_with_a_body_stays_one_of_http(body: tuple[str, str], asks: bool) -> None:
    headers = [("connection", "upgrade"), ("upgrade", "websocket"), body]
    assert asks_to_switch(Head("POST", "/x", headers)) is asks


@pytest.mark.parametrize(
    ("first", "has"),
    [
        ("HTTP/1.1 101 Switching Protocols", True),
        ("HTTP/1.1 101", True),
        ("HTTP/1.1 1010", False),
        ("HTTP/1.1 200 101", False),
        ("HTTP/1.1 403 Forbidden", False),
    ],
)
def test_a_server_has_taken_another_protocol_where_it_says_so(first: str, has: bool) -> None:
    assert has_switched(f"{first}\r\n\r\n".encode()) is has


def test_an_answer_that_declines_is_the_last_of_its_connection() -> None:
    head = (
        b"HTTP/1.1 403 No\r\nConnection: keep-alive\r\nKeep-Alive: 9\r\nContent-Length: 12\r\n\r\n"
    )
    wanted = b"HTTP/1.1 403 No\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"
    told, body = declined(head)
    assert (told, body.taken(b"12 bytes of it and more")) == (wanted, b"12 bytes of ")
    assert body.is_over


def test_a_body_without_a_length_goes_on_until_the_connection_ends() -> None:
    ended = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    told, body = declined(b"HTTP/1.1 200 OK\r\n\r\n")
    assert (told, body.taken(b"all"), body.is_over) == (ended, b"all", False)
    for odd in (b"x", b"-1", b"1\r\ncontent-length: 2"):
        _, body = declined(b"HTTP/1.1 200 OK\r\nContent-Length: " + odd + b"\r\n\r\n")
        assert (body.taken(b"all"), body.is_over) == (b"all", False)


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
    ],
)
def test_an_answer_without_a_body_is_over_with_its_head(head: bytes, method: str) -> None:
    assert declined(head, method)[1].is_over


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"4;x=y\r\nab\r\n\r\n1A\r\n" + b"z" * 26 + b"\r\n0\r\nTrailer: t\r\n\r\n"


@pytest.mark.parametrize("size_bytes", [1, 2, 3, 7, 100])
def test_chunks_end_with_the_last_of_them_however_they_come(size_bytes: int) -> None:
    _, body = declined(CHUNKED)
    sent, taken = CHUNKS + b"HTTP/1.1 200 OK\r\n\r\n", b""

    for at in range(0, len(sent), size_bytes):
        assert not body.is_over or taken == CHUNKS
        taken += body.taken(sent[at : at + size_bytes])

    assert (taken, body.is_over) == (CHUNKS, True)


@pytest.mark.parametrize("chunks", [b"x\r\n", b"-1\r\n", b"\r\n", b"1" * 5000])
def test_what_is_no_chunk_is_refused(chunks: bytes) -> None:
    with pytest.raises(ValueError, match="a chunk"):
        declined(CHUNKED)[1].taken(chunks)
