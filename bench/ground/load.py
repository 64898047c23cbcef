"""A client that costs little: HTTP/1.1 by hand on uvloop, one request at a time each.

It understands what our server sends and no more: a body by Content-Length, or chunks. Several
connections, each with the next request as soon as it has its answer, make a load.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

LENGTH = b"content-length:"
HEAD_END = b"\r\n\r\n"
ANSWER_DEADLINE_S = 60.0


class Answer(NamedTuple):
    """One answer; body_bytes is the length of its body. Times are of the monotonic clock."""

    status: int
    body_bytes: int
    sent_at: float
    first_byte_at: float
    ended_at: float

    @property
    def total_ms(self) -> float:
        return (self.ended_at - self.sent_at) * 1000

    @property
    def first_byte_ms(self) -> float:
        return (self.first_byte_at - self.sent_at) * 1000


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._status = 0
        self._missing_bytes = 0
        self._body_bytes = 0
        self._sent_at = 0.0
        self._first_byte_at = 0.0
        self._answered: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not say that they are one.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        if self._missing_bytes:
            self._missing_bytes -= len(data)
        else:
            if not self._head:
                self._first_byte_at = time.monotonic()
            self._head += data
            head, ended, body = self._head.partition(HEAD_END)
            if not ended:
                return
            self._begin(head, len(body))
        if not self._missing_bytes:
            self._end()

    async def ask(self, request: bytes) -> Answer:
        """Send a request; return its answer."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._sent_at = time.monotonic()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def _begin(self, head: bytes, found_bytes: int) -> None:
        self._status = int(head[9:12])
        lowered = head.lower()
        place = lowered.index(LENGTH) + len(LENGTH)
        self._body_bytes = int(lowered[place:].split(b"\r\n", 1)[0])
        self._missing_bytes = self._body_bytes - found_bytes

    def _end(self) -> None:
        assert self._answered is not None
        self._head = b""
        now = time.monotonic()
        answer = Answer(self._status, self._body_bytes, self._sent_at, self._first_byte_at, now)
        self._answered.set_result(answer)


@asynccontextmanager
async def connections(
    port: int, tls: ssl.SSLContext | None, count: int
) -> AsyncIterator[Sequence[Connection]]:
    """Open connections to the server on loopback."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    try:
        for _ in range(count):
            _, one = await loop.create_connection(Connection, "127.0.0.1", port, ssl=tls)
            opened.append(one)
        yield opened
    finally:
        for one in opened:
            one.close()


async def load(wires: Sequence[Connection], requests: Iterable[bytes], status: int) -> list[Answer]:
    """Send requests over all connections at once; return the answers, each of this status."""
    waiting = iter(requests)
    answers: list[Answer] = []

    async def ask_on(wire: Connection) -> None:
        for request in waiting:
            answer = await wire.ask(request)
            assert answer.status == status, answer
            answers.append(answer)

    async with asyncio.timeout(ANSWER_DEADLINE_S), asyncio.TaskGroup() as group:
        for wire in wires:
            group.create_task(ask_on(wire))
    return answers


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode()


def post(path: str, body: bytes) -> bytes:
    return _with_body(b"POST", path, b"application/json", body)


def patch(path: str, body: bytes) -> bytes:
    return _with_body(b"PATCH", path, b"application/merge-patch+json", body)


def _with_body(method: bytes, path: str, media: bytes, body: bytes) -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: bench\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (method, path.encode(), media, len(body)) + body
