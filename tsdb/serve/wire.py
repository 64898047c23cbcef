"""HTTP/1.1 as bytes: from what a client sends to requests, from answers to what it is sent. Pure.

Only what the store needs: a request is read whole before it is answered, within a limit. What could
be read in two ways is refused, so that a proxy before us can never see another request than we do.
A library would do all this too, and most of a request's time would be its own: see docs/tsdb.md.
"""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from urllib.parse import unquote

from tsdb.errors import BadData, LimitExceeded

HEAD_BYTES_MAX = 64 * 2**10
HEAD_FIELDS_MAX = 64
# A chunk's size in hexadecimal, with whatever extension follows it; and each trailer line.
CHUNK_LINE_BYTES_MAX = 256
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

_END = b"\r\n\r\n"
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
# These decide where a request ends and what it means: said twice, they might say two things.
_ONLY_ONCE = frozenset(
    ("content-length", "transfer-encoding", "content-encoding", "content-type", "expect")
)


class NotUnderstood(BadData):
    """Bytes that are no request we take. Where the next one begins is not known after them."""

    def __init__(self, status: HTTPStatus, said: str) -> None:
        super().__init__(said)
        self.code = int(status)


class Phase(Enum):
    """How far the next request has come."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"


@dataclass(slots=True)
class Request:
    """One request, read whole. Names of headers are in lower case; the query is still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    keeps_alive: bool = True
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """A status, a body in pieces, and headers beside its type and its length."""

    status: int = 200
    pieces: Sequence[bytes] = ()
    kind: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = field(default=())


class RequestReader:
    """Takes bytes in pieces cut anywhere, and gives requests."""

    def __init__(self, body_bytes_max: int) -> None:
        self._limit = body_bytes_max
        self._bytes = bytearray()
        self._request: Request | None = None
        self._length: int | None = 0
        # The body of a request that comes in chunks, so far.
        self._chunked = bytearray()
        self._is_last_chunk = False
        self.expects_continue = False

    @property
    def phase(self) -> Phase:
        if self._request is not None:
            return Phase.BODY
        return Phase.HEAD if self._bytes else Phase.NOTHING

    @property
    def waiting_bytes(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def next(self) -> Request | None:
        """Return the next request, or None until more of it has come.

        Raises:
            NotUnderstood, LimitExceeded: no request can be read from here on.
        """
        if self._request is None:
            end = self._bytes.find(_END, 0, HEAD_BYTES_MAX)
            if end < 0:
                if len(self._bytes) >= HEAD_BYTES_MAX:
                    said = f"the head of a request has over {HEAD_BYTES_MAX} bytes"
                    raise NotUnderstood(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, said)
                return None
            self._begin(bytes(self._bytes[:end]))
            del self._bytes[: end + len(_END)]
        body = self._whole_body()
        if body is None or self._request is None:
            return None
        request, self._request = self._request, None
        self.expects_continue = False
        request.body = unpacked(body, request.headers.get("content-encoding", ""), self._limit)
        return request

    def _begin(self, head: bytes) -> None:
        self._request = request = head_of(head)
        self._length = self._length_of(request.headers)
        self._chunked = bytearray()
        self._is_last_chunk = False
        expected = request.headers.get("expect", "").lower()
        if expected not in ("", "100-continue"):
            raise NotUnderstood(HTTPStatus.EXPECTATION_FAILED, f"cannot fulfil {expected!r}")
        self.expects_continue = bool(expected) and self._length != 0

    def _length_of(self, headers: Mapping[str, str]) -> int | None:
        """Return how many bytes the body has, or None where it comes in chunks."""
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise _bad("the length of the body is said in two ways, or in an unknown one")
            return None
        if length is None:
            return 0
        if not (length.isascii() and length.isdecimal()) or len(length) > 18:
            raise _bad("Content-Length is not a number")
        if int(length) > self._limit:
            raise LimitExceeded("request_bytes", self._limit, int(length))
        return int(length)

    def _whole_body(self) -> bytes | None:
        if self._length == 0:
            return b""
        if self._length is None:
            return self._whole_chunks()
        if len(self._bytes) < self._length:
            return None
        body = bytes(self._bytes[: self._length])
        del self._bytes[: self._length]
        return body

    def _whole_chunks(self) -> bytes | None:
        while not self._is_last_chunk:
            end = self._line_end()
            if end < 0:
                return None
            size = self._chunk_size(bytes(self._bytes[:end]))
            behind = end + 2 + size
            if size == 0:
                del self._bytes[: end + 2]
                self._is_last_chunk = True
            elif len(self._bytes) < behind + 2:
                return None
            elif self._bytes[behind : behind + 2] != b"\r\n":
                raise _bad("a chunk is longer than it says")
            else:
                self._chunked += self._bytes[end + 2 : behind]
                del self._bytes[: behind + 2]
        return self._without_trailer()

    def _chunk_size(self, line: bytes) -> int:
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
            raise _bad("the size of a chunk is not a number")
        size = int(digits, 16)
        if len(self._chunked) + size > self._limit:
            raise LimitExceeded("request_bytes", self._limit, len(self._chunked) + size)
        return size

    def _without_trailer(self) -> bytes | None:
        """Return the body once the lines behind the last chunk, which nobody reads, have come."""
        while (end := self._line_end()) >= 0:
            del self._bytes[: end + 2]
            if end == 0:
                return bytes(self._chunked)
        return None

    def _line_end(self) -> int:
        end = self._bytes.find(b"\r\n", 0, CHUNK_LINE_BYTES_MAX)
        if end < 0 and len(self._bytes) >= CHUNK_LINE_BYTES_MAX:
            raise _bad("a line between chunks is too long")
        return end


def _bad(said: str) -> NotUnderstood:
    return NotUnderstood(HTTPStatus.BAD_REQUEST, said)


def head_of(head: bytes) -> Request:
    """Return the request that a head announces, still without its body.

    Raises:
        NotUnderstood: it is not one of HTTP/1.0 or 1.1.
    """
    lines = head.decode("latin-1").split("\r\n")
    # An empty line before a request may be left over from the one before (RFC 9112, 2.2).
    first, *fields = lines if lines[0] or len(lines) == 1 else lines[1:]
    parts = first.split(" ")
    if len(parts) != 3 or not parts[0] or not (first.isascii() and first.isprintable()):
        raise _bad("the first line is not METHOD TARGET VERSION")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise NotUnderstood(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here")
    headers = _headers(fields)
    wishes = headers.get("connection", "").lower()
    keeps = "close" not in wishes and version == "HTTP/1.1"
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        # A proxy is sent the whole URL: what is behind its authority is the path.
        path = "/" + path.partition("://")[2].partition("/")[2]
    return Request(method, _decoded(path), query.partition("#")[0], headers, keeps)


def _headers(lines: Sequence[str]) -> dict[str, str]:
    if len(lines) > HEAD_FIELDS_MAX:
        said = f"more than {HEAD_FIELDS_MAX} header fields"
        raise NotUnderstood(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, said)
    headers: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise _bad("a header field is not NAME: VALUE")
        name, value = found[1].lower(), found[2].strip(" \t")
        if name in headers:
            if name in _ONLY_ONCE:
                raise _bad(f"the header field {name} occurs twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _bad("the path is not text") from error


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """Return a body without gzip or deflate; what another coding packed is left to the handler.

    Raises:
        LimitExceeded: it unpacks to more than limit bytes.
        NotUnderstood: it is damaged.
    """
    coding = coding.lower()
    if not body:
        return body
    if coding == "gzip":
        window_bits = zlib.MAX_WBITS | 16
    elif coding == "deflate":
        # With zlib's head as the standard has it, or bare as some send it.
        has_head = body[0] & 0x0F == 8
        window_bits = zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
    else:
        return body
    unpacker = zlib.decompressobj(window_bits)
    try:
        whole = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise _bad(f"the body is not what {coding} packed") from error
    if len(whole) > limit:
        raise LimitExceeded("request_bytes", limit, len(whole))
    if not unpacker.eof or unpacker.unused_data:
        raise _bad(f"the body is not all, or not only, what {coding} packed")
    return whole


def head_bytes(answer: Answer, length: int, date: bytes, *, keeps_alive: bool) -> bytes:
    """Return the head of an answer whose body has that length."""
    lines = [_status_line(answer.status), b"\r\nDate: ", date]
    if answer.status != HTTPStatus.NO_CONTENT:
        lines.append(b"\r\nContent-Type: %b\r\nContent-Length: %d" % (answer.kind, length))
    lines += (b"\r\n%b: %b" % pair for pair in answer.headers)
    if not keeps_alive:
        lines.append(b"\r\nConnection: close")
    lines.append(_END)
    return b"".join(lines)


def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 200 OK" if status == 200 else _other_status(HTTPStatus(status))


def _other_status(status: HTTPStatus) -> bytes:
    return f"HTTP/1.1 {status.value} {status.phrase}".encode()


def parts_of(pieces: Iterable[bytes], part_bytes: int) -> Iterable[bytes]:
    """Yield pieces put together to some size: never all of them, nor each of thousands alone."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= part_bytes:
            yield b"".join(part)
            part, size = [], 0
    if part:
        yield b"".join(part)
