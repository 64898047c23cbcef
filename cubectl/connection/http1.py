"""HTTP/1.1 as a client of one server needs it: a request out, a response in, nothing more.

Python's own client reads heads with the library of electronic mail, which takes as long to import
as all the rest of a command. Bodies come by length, in chunks, or until the end (RFC 9112).
"""

import io
import socket
from collections.abc import Mapping
from typing import NamedTuple, cast

LINE_BYTES_MAX = 16 * 1024
HEAD_COUNT_MAX = 200
INTERIM_MAX = 10  # answers such as `100 Continue` before the answer
BUFFER_BYTES = 64 * 1024
BODILESS = (204, 304)


class Broken(OSError):
    """The server speaks no HTTP, or ended within an answer."""


class Head(NamedTuple):
    """How an answer begins; headers have names in lower case, repeated ones are joined."""

    status: int
    headers: Mapping[str, str]


class Response(NamedTuple):
    """An answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str]
    body: io.BufferedReader
    # Whether the connection may be used again once the body is read.
    is_kept: bool


def request_bytes(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as it is sent. Raises: ValueError: a blank or a line end in its head."""
    lines = [f"{method} {target} HTTP/1.1"]
    if body or method in ("POST", "PUT", "PATCH"):
        headers = {**headers, "Content-Length": str(len(body))}
    for name, value in headers.items():
        lines.append(f"{name}: {value}")
    if target.split() != [target] or any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a request's head holds a line end")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def response_in(sock: socket.socket) -> Response:
    """Read the head of an answer. Raises: OSError, Broken among them."""
    stream = cast(io.BufferedReader, sock.makefile("rb", BUFFER_BYTES))
    for _ in range(INTERIM_MAX):
        head = _head_in(stream)
        if head.status >= 200:
            return _response(stream, head)
    raise Broken("it never came to an answer")


def _response(stream: io.BufferedReader, head: Head) -> Response:
    headers = head.headers
    length = headers.get("content-length", "")
    options = {one.strip() for one in headers.get("connection", "").lower().split(",")}
    is_kept = "close" not in options
    raw: io.RawIOBase
    if head.status in BODILESS:
        raw = _Counted(stream, 0)
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        raw = _Chunked(stream)
    elif length:
        if not (length.isascii() and length.isdigit()):
            raise Broken(f"a body of the length {length[:40]!r}")
        raw = _Counted(stream, int(length))
    else:
        # It ends with the connection.
        return Response(head.status, headers, stream, is_kept=False)
    return Response(head.status, headers, io.BufferedReader(raw, BUFFER_BYTES), is_kept)


def _head_in(stream: io.BufferedReader) -> Head:
    first = _line_in(stream)
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()):
        raise Broken(f"it speaks no HTTP/1.1: {first[:40]!r}")
    headers: dict[str, str] = {}
    for _ in range(HEAD_COUNT_MAX):
        line = _line_in(stream)
        if not line:
            if version == "HTTP/1.0":
                headers.setdefault("connection", "close")
            return Head(int(code), headers)
        name, colon, value = line.partition(":")
        if not colon:
            raise Broken(f"a header without a colon: {line[:40]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise Broken(f"over {HEAD_COUNT_MAX} headers")


def _line_in(stream: io.BufferedReader) -> str:
    line = stream.readline(LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        raise Broken("the connection was closed" if len(line) < LINE_BYTES_MAX else "a long line")
    return line.rstrip(b"\r\n").decode("latin-1")


class _Counted(io.RawIOBase):
    """A body of a known length."""

    def __init__(self, stream: io.BufferedReader, left_bytes: int) -> None:
        self._stream, self._left_bytes = stream, left_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of all buffers, those that io gives
        piece = self._stream.read1(min(len(buffer), self._left_bytes))
        if not piece and self._left_bytes:
            raise Broken("the connection broke within the answer")
        self._left_bytes -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)


class _Chunked(io.RawIOBase):
    """A body in chunks; what is behind the last one (trailers) is read and left out."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream, self._left_bytes, self._is_over = stream, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of all buffers, those that io gives
        if not self._left_bytes and not self._is_over:
            self._begin()
        if self._is_over:
            return 0
        piece = self._stream.read1(min(len(buffer), self._left_bytes))
        if not piece:
            raise Broken("the connection broke within the answer")
        self._left_bytes -= len(piece)
        if not self._left_bytes and _line_in(self._stream):
            raise Broken("a chunk longer than it says")
        buffer[: len(piece)] = piece
        return len(piece)

    def _begin(self) -> None:
        size = _line_in(self._stream).partition(";")[0].strip()
        try:
            self._left_bytes = int(size, 16)
        except ValueError:
            raise Broken(f"a chunk of the size {size[:40]!r}") from None
        if self._left_bytes < 0 or "_" in size:
            raise Broken(f"a chunk of the size {size[:40]!r}")
        self._is_over = not self._left_bytes
        if self._is_over:
            for _ in range(HEAD_COUNT_MAX):
                if not _line_in(self._stream):
                    return
            raise Broken(f"over {HEAD_COUNT_MAX} trailers")
