"""A request and its answer as plain values, without any HTTP library. Pure."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tsdb.errors import BadData, LimitExceeded

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole. Names of headers are in lower case; the query is still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body in pieces, and headers beside its type and its length."""

    status: int = 200
    pieces: Sequence[bytes] = ()
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


type Handler = Callable[[Request], Awaitable[Answer]]
# Method, path (which may have one part `{name}`), and who answers.
type Route = tuple[str, str, Handler]


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """Return a body without gzip or deflate; what another coding packed is left to the handler.

    Raises:
        LimitExceeded: it unpacks to more than limit bytes.
        BadData: it is damaged.
    """
    coding = coding.lower()
    if not body or coding not in ("gzip", "deflate"):
        return body
    if coding == "gzip":
        window_bits = zlib.MAX_WBITS | 16
    else:
        # With zlib's head as the standard has it, or bare as some send it.
        has_head = body[0] & 0x0F == 8
        window_bits = zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
    unpacker = zlib.decompressobj(window_bits)
    try:
        whole = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadData(f"the body is not what {coding} packed") from error
    if len(whole) > limit:
        raise LimitExceeded("request_bytes", limit, len(whole))
    if not unpacker.eof or unpacker.unused_data:
        raise BadData(f"the body is not all, or not only, what {coding} packed")
    return whole


def parts_of(pieces: Iterable[bytes], part_bytes: int) -> Iterator[bytes]:
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
