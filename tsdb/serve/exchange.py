"""A request and its answer as plain values, without any HTTP library. Pure."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
