"""Lines to instances: kept connections over which calls go, one at a time on each.

A line is opened by one HTTP request, which brings the key; then calls and answers follow each other
as envelope says. Who gives a call up ends its line, by which the instance ends the call.
"""

import asyncio
from typing import cast

from serverless.envelope import ANSWER, Misread, RawAnswer, answer_lengths, raw_answer

CONNECT_S = 2.0
HEAD_END = b"\r\n\r\n"
HTTP_HEAD_BYTES_MAX = 16 * 1024
KEPT_MAX = 64  # to one instance


class NotOpened(Exception):
    """There is no line, and nothing was asked; says why."""


class Refused(Exception):
    """The instance has another key, or none yet."""


class NoLines(Exception):
    """The instance knows of no lines: its runner is an older one."""


class Broken(Exception):
    """The line has ended, and nobody knows what became of its call; says why."""


class Line(asyncio.Protocol):
    """One connection. Free while nothing is asked on it."""

    def __init__(self, key: str, loop: asyncio.AbstractEventLoop) -> None:
        self.key, self._loop = key, loop
        self._transport: asyncio.Transport | None = None
        self._content = b""
        self._missing_bytes = ANSWER.size
        self._pieces: list[bytes] = []
        self._is_open = False
        self._answered: asyncio.Future[RawAnswer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not say that they are one.
        self._transport = cast(asyncio.Transport, transport)
        head = f"POST /line HTTP/1.1\r\nCube-Key: {self.key}\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(head.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(Broken(f"the connection broke: {exc or 'it was closed'}"))

    @property
    def is_alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, frame: bytes, deadline_s: float) -> RawAnswer:
        """Send a call; return its answer. Raises: NotOpened, Refused, NoLines, Broken."""
        if self._transport is None:
            raise NotOpened("the connection broke before the call was sent")
        answered: asyncio.Future[RawAnswer] = self._loop.create_future()
        self._answered = answered
        timer = self._loop.call_later(deadline_s, self._late, deadline_s)
        self._transport.write(frame)
        try:
            return await answered
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._answered = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        # A long answer is not put together anew for each of its pieces.
        self._missing_bytes -= len(data)
        if self._missing_bytes > 0 and self._is_open:
            self._pieces.append(data)
            return
        if self._pieces:
            data = b"".join((*self._pieces, data))
            self._pieces.clear()
        try:
            self._take(data)
        except Misread as error:
            self._fail(Broken(f"its answer cannot be read: {error}"))
            self.close()

    def _take(self, content: bytes) -> None:
        """Take what has come so far of an answer. Raises: Misread."""
        if not self._is_open:
            content = self._opened(content)
        if self._is_open:
            answer, missing_bytes = _answer_in(content)
            if answer is None:
                self._missing_bytes = missing_bytes
                if content:
                    self._pieces.append(content)
                return
            self._missing_bytes = ANSWER.size
            if self._answered is None:
                raise Misread("an answer to nothing")
            if not self._answered.done():
                self._answered.set_result(answer)

    def _opened(self, content: bytes) -> bytes:
        """Take the answer to the request that opens the line; return what follows it."""
        head, ended, rest = (self._content + content).partition(HEAD_END)
        if not ended:
            if len(head) > HTTP_HEAD_BYTES_MAX:
                raise Misread("a head without an end")
            self._content = head
            return b""
        self._content = b""
        status = head.split(b" ", 2)[1:2]
        if status == [b"200"]:
            self._is_open = True
            return rest
        kind = NoLines if status == [b"404"] else Refused
        self._fail(kind(head.partition(b"\r\n")[0].decode("latin-1")))
        self.close()
        return b""

    def _late(self, deadline_s: float) -> None:
        self._fail(Broken(f"no answer within {deadline_s:g} s"))

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


def _answer_in(content: bytes) -> tuple[RawAnswer | None, int]:
    """Return an answer, or how many bytes of it are missing. Raises: Misread."""
    if len(content) < ANSWER.size:
        return None, ANSWER.size - len(content)
    missing_bytes = ANSWER.size + answer_lengths(content) - len(content)
    if missing_bytes > 0:
        return None, missing_bytes
    if missing_bytes < 0:
        raise Misread("more than an answer")
    return raw_answer(content), 0


class Lines:
    """The lines to all instances; the one that was used last is used first."""

    def __init__(self) -> None:
        self._free: dict[str, list[Line]] = {}

    async def ask(self, address: str, key: str, frame: bytes, deadline_s: float) -> RawAnswer:
        """Run a call over a line of its own. Raises: NotOpened, Refused, NoLines, Broken."""
        free = self._free.setdefault(address, [])
        line: Line | None = None
        while free and line is None:
            line = free.pop()
            if not line.is_alive or line.key != key:
                line.close()
                line = None
        if line is None:
            line = await _opened(address, key)
        answer = await line.ask(frame, deadline_s)
        # Where the instance is forgotten, its list is nobody's.
        if len(free) < KEPT_MAX and self._free.get(address) is free:
            free.append(line)
        else:
            line.close()
        return answer

    def forget(self, address: str) -> None:
        """Close what is kept for an instance that is gone."""
        for line in self._free.pop(address, []):
            line.close()

    def close(self) -> None:
        for address in tuple(self._free):
            self.forget(address)


async def _opened(address: str, key: str) -> Line:
    """Raises: NotOpened."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            _, line = await loop.create_connection(lambda: Line(key, loop), host, int(port))
            return line
    except (OSError, TimeoutError) as error:
        raise NotOpened(f"{address}: {error or 'no connection in time'}") from error
