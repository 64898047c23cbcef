"""Which requests `cubectl proxy` hands on, and how: plain text in, plain text out. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

HEAD_BYTES_MAX = 64 * 1024
CHUNK_LINE_BYTES_MAX = 4096
_HEX = re.compile(rb"[0-9a-fA-F]{1,15}")
ENCODING = "latin-1"  # every byte is a character
# Of one connection, or of who we are: the server shall not hear it from a client of ours.
NOT_HANDED_ON = frozenset(
    {"host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "authorization"}
)
# Some server or balancer may leave these out of a path: then it is another one than was judged.
NO_SEGMENTS = ("", ".", "..")
# HTTP again, on which further requests would go by unseen.
HTTP_AGAIN = re.compile(r"\s*(h2c|http/|tls/)", re.IGNORECASE)


class NoHead(Exception):
    """What came is not the head of a request of HTTP/1.1."""


class Head(NamedTuple):
    """How a request begins; names of headers in lower case, each as often as it came."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]

    def header(self, name: str) -> str:
        """Return what a header says: several of a name are one list, as HTTP has it."""
        return ",".join(value for key, value in self.headers if key == name)


def head_in(text: bytes) -> Head:
    """Read a head. Raises: NoHead."""
    first, *lines = text.decode(ENCODING).removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    is_request = len(words) == 3 and words[2] == "HTTP/1.1" and words[1].startswith("/")
    # A line feed within it would end the line for many a server.
    if not is_request or not first.isprintable() or "#" in words[1]:
        raise NoHead(f"not a request of HTTP/1.1: {first[:80]!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise NoHead(f"not a header: {line[:80]!r}")
        headers.append((name.lower(), value.strip()))
    return Head(words[0], words[1], headers)


@dataclass(frozen=True, slots=True)
class Filter:
    """Regular expressions, as kubectl's: what a host, path and method must match, and must not."""

    hosts: Sequence[re.Pattern[str]]
    paths: Sequence[re.Pattern[str]]
    paths_refused: Sequence[re.Pattern[str]]
    methods_refused: Sequence[re.Pattern[str]]
    has_any_path: bool = False

    def refusal(self, head: Head) -> str:
        """Return why a request is not handed on; empty: it is."""
        host = head.header("host")
        name = re.sub(r":[0-9]*$", "", host)
        # As its reader will understand it, so that no spelling of a path is another path.
        path = unquote(head.target.partition("?")[0])
        if not _matches(self.hosts, name):
            return f"host {name[:80]!r} is not accepted (--accept-hosts)"
        if not self.has_any_path and not _is_plain(path):
            return f"path {path[:200]!r} is not accepted: it has a segment that is empty, . or .."
        if not _matches(self.paths, path) or _matches(self.paths_refused, path):
            return f"path {path[:200]!r} is not accepted (--accept-paths, --reject-paths)"
        if _matches(self.methods_refused, head.method):
            return f"method {head.method[:20]!r} is not accepted (--reject-methods)"
        origin = head.header("origin")
        if origin and origin.partition("://")[2] != host:
            return "a page of another site may not ask"
        return ""


def _is_plain(path: str) -> bool:
    """Return whether every reader finds the same segments in it; a slash may end it."""
    segments = path.removeprefix("/").removesuffix("/").split("/")
    return path == "/" or not any(one in NO_SEGMENTS for one in segments)


def _matches(patterns: Sequence[re.Pattern[str]], text: str) -> bool:
    return any(one.search(text) for one in patterns)


def asks_to_switch(head: Head) -> bool:
    """Return whether the connection may become one of another protocol, which is not HTTP.

    With a body it may not: that would have to be handed on before it is known what it becomes.
    """
    wishes = {word.strip() for word in head.header("connection").lower().split(",")}
    named = head.header("upgrade")
    has_body = head.header("content-length") not in ("", "0") or head.header("transfer-encoding")
    is_http = any(map(HTTP_AGAIN.match, named.split(",")))
    return "upgrade" in wishes and named != "" and not has_body and not is_http


def has_switched(answer: bytes) -> bool:
    return re.match(rb"HTTP/1\.1 101\b", answer) is not None


class Body:
    """What is still to come of an answer's body: so many bytes, chunks, or all to the end."""

    def __init__(self, left_bytes: int | None, *, is_chunked: bool = False) -> None:
        self._left_bytes, self._is_chunked = left_bytes, is_chunked
        # Of chunks: what has come of a line, and how much of a chunk with its line end is to come.
        self._line, self._chunk_bytes, self._is_last = b"", 0, False
        self.is_over = left_bytes == 0 and not is_chunked

    def taken(self, piece: bytes) -> bytes:
        """Return what of a piece is the body's. Raises: ValueError: chunks that are none."""
        if self._is_chunked:
            return piece[: self._end_of_chunks(piece)]
        if self._left_bytes is None:
            return piece
        part = piece[: self._left_bytes]
        self._left_bytes -= len(part)
        self.is_over = not self._left_bytes
        return part

    def _end_of_chunks(self, piece: bytes) -> int:
        at = 0
        while at < len(piece) and not self.is_over:
            if self._chunk_bytes:
                step = min(self._chunk_bytes, len(piece) - at)
                self._chunk_bytes, at = self._chunk_bytes - step, at + step
                continue
            end = piece.find(b"\n", at) + 1
            self._line += piece[at : end or len(piece)]
            at = end or len(piece)
            if len(self._line) > CHUNK_LINE_BYTES_MAX:
                raise ValueError("a chunk whose size has no end")
            if end:
                self._obey(self._line.strip())
                self._line = b""
        return at

    def _obey(self, line: bytes) -> None:
        """Heed a chunk's size; behind the last chunk a trailer, or the empty line that ends all."""
        if self._is_last:
            self.is_over = not line
            return
        size = line.partition(b";")[0].strip()
        if not _HEX.fullmatch(size):
            raise ValueError(f"a chunk of the size {size[:20]!r}")
        self._is_last = int(size, 16) == 0
        self._chunk_bytes = 0 if self._is_last else int(size, 16) + len("\r\n")


def declined(answer: bytes, method: str = "GET") -> tuple[bytes, Body]:
    """Return the head of an answer as that of a connection's last, and what its body is."""
    first, *lines = answer.decode(ENCODING).removesuffix("\r\n\r\n").split("\r\n")
    headers = [(line.partition(":")[0].strip().lower(), line) for line in lines]
    kept = [line for name, line in headers if name not in ("connection", "keep-alive")]
    head = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode(ENCODING)
    told = {name: line.partition(":")[2].strip().lower() for name, line in headers}
    if method == "HEAD" or first.split(" ")[1:2] in (["204"], ["304"]):
        return head, Body(0)
    if told.get("transfer-encoding", "").endswith("chunked"):
        return head, Body(0, is_chunked=True)
    lengths = [line.partition(":")[2].strip() for name, line in headers if name == "content-length"]
    is_told = len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit()
    return head, Body(int(lengths[0]) if is_told else None)


def handed_on(head: Head, prefix: str, host: str, proof: Sequence[tuple[str, str]]) -> bytes:
    """Return the head for the server: one request a connection, which may become another protocol.

    prefix: of every path there. proof: headers that say who we are.
    """
    wishes = {word.strip() for word in head.header("connection").lower().split(",")}
    is_switch = asks_to_switch(head)
    refused = NOT_HANDED_ON | wishes - {"upgrade"} | (set() if is_switch else {"upgrade"})
    headers = [("host", host), *proof]
    headers += [(name, value) for name, value in head.headers if name not in refused]
    headers.append(("connection", "upgrade" if is_switch else "close"))
    lines = [f"{head.method} {prefix}{head.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode(ENCODING)
