"""The gateway's connections: HTTP/1.1 by aiohttp's parser alone, without its server.

Most calls are answered within a fraction of a millisecond, of which aiohttp's server would be the
largest part: a task, a request and a response object, timers and a writer for each. Here a
connection has one task while it answers, a request is the plain value that sites know, an answer is
one write, and deadlines of all connections are kept by one look at them. Limits and refusals are
those of httpserver; tests/contract/machine/test_web_servers.py asks the same of both.
"""

import asyncio
import math
from collections import deque
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import RequestPayloadError

from cubernetes.host.log import Log
from cubernetes.host.web.doorstep import Room
from cubernetes.host.web.httpserver import (
    HEAD_FIELDS_MAX,
    HEAD_LINE_BYTES_MAX,
    KEEPALIVE_S,
    LINGER_S,
    Limits,
)
from cubernetes.host.web.listener import Listener
from cubernetes.host.web.messages import Malformed, Request, Response, Unread, target_of
from cubernetes.host.web.transfer import ClientBody

log = Log(__name__)

READ_BYTES = 64 * 1024
# How often deadlines of connections are looked at, while there are connections.
LOOK_S = 0.5
REASONS = {status.value: status.phrase for status in HTTPStatus}
BODYLESS = frozenset((204, 304))


class Site(Protocol):
    """What is answered; see httpserver.Site. An answer's body is whole."""

    async def respond(self, request: Request, unread: Unread | None) -> Response:
        """Answer a request by its head. Never raises but for cancellation."""
        ...

    def refused(self, request: Request, error: Malformed) -> Response: ...


class _Incoming(NamedTuple):
    """What ClientBody must know of a request."""

    headers: Any
    content: StreamReader
    content_length: int | None
    writer: "Caller"
    body_exists: bool = True


class Caller(BaseProtocol):
    """One client's connection."""

    def __init__(self, server: "FrontServer") -> None:
        loop = asyncio.get_running_loop()
        # One request at a time: what is behind it waits in the parser.
        parser = HttpRequestParser(
            self,
            loop,
            READ_BYTES,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEAD_FIELDS_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=1,
        )
        super().__init__(loop, parser)
        self._server = server
        self._came: deque[tuple[RawRequestMessage, StreamReader]] = deque()
        self._is_answering = self._has_begun = self._is_ending = self._is_last = False
        # The body of what is being answered; why what is behind it cannot be.
        self._content: StreamReader = EMPTY_PAYLOAD
        self._broken = ""
        self.task: asyncio.Task[None] | None = None
        self._address = ""
        self._ends_at_s = loop.time() + server.limits.head_deadline_s
        self._left_bytes, self._taken_at_s = 0, 0.0
        # What ClientBody sets back; nobody reads it.
        self.output_size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._server.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._is_ending = True
        self._server.left(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_ending or self._broken:
            return
        was_whole = self._content.is_eof()
        try:
            assert self._parser is not None  # noqa: S101  of its making
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._break(error.message)
            return
        self._came.extend(messages)
        if self._is_answering:
            if data and was_whole and not self._buffer_paused:
                # It is of the next request, whose turn has not come.
                self._pause_reading_for_buffer()
        elif messages:
            self._begin()
        else:
            self._await_head()

    def _break(self, why: str) -> None:
        """What came cannot be read: nothing behind it can, and a body that is of it ends here."""
        self._broken = f"not a request that is understood: {why}"
        if not self._is_answering:
            self._refuse()
        for content in (self._content, *(content for _, content in self._came)):
            if not content.is_eof():
                content.set_exception(RequestPayloadError(why))

    def _await_head(self) -> None:
        """A head has begun: it has its deadline, however it goes on."""
        if not self._has_begun:
            self._has_begun = True
            self._ends_at_s = self._loop.time() + self._server.limits.head_deadline_s

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left_bytes = self.transport.get_write_buffer_size() if self.transport else 0
        self._taken_at_s = self._loop.time()

    def let_go(self) -> None:
        """End the connection; what was sent and not taken is lost."""
        if self.transport is not None:
            self.transport.abort()

    def finish(self) -> None:
        """End the connection once what was asked is answered."""
        self._is_last = True
        if not self._is_answering:
            self._end(is_read=True)

    def is_overdue(self, now_s: float) -> bool:
        if not self.writing_paused:
            return now_s >= self._ends_at_s
        left_bytes = self.transport.get_write_buffer_size() if self.transport else 0
        if left_bytes < self._left_bytes:
            self._left_bytes, self._taken_at_s = left_bytes, now_s
        return now_s >= self._taken_at_s + self._server.limits.take_deadline_s

    async def write(self, content: bytes) -> None:
        """Write what goes before an answer."""
        if self.transport is not None:
            self.transport.write(content)

    def _begin(self) -> None:
        """Answer what has come: the task runs at once, as far as it can."""
        self._is_answering, self._has_begun = True, False
        self._ends_at_s = math.inf
        task = asyncio.Task(self._answer_all(), loop=self._loop, eager_start=True)
        if task.done():
            self._ended(task)
        else:
            self.task = task
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # The next request may have come before this is called.
        if self.task is task:
            self.task = None
        if task.cancelled():
            self.let_go()
        elif (error := task.exception()) is not None:
            log.bug("a connection failed", error)
            self.let_go()

    async def _answer_all(self) -> None:
        while self._came and not self._is_ending:
            message, self._content = self._came.popleft()
            if self._buffer_paused and not self._came:
                # Nothing is kept back any more: a body goes on, and a client may leave.
                self._resume_reading_for_buffer()
            await self._answer(message, self._content)
            if self.writing_paused:
                await self._drain_helper()
            if not self._is_ending:
                # What the parser has kept back.
                assert self._parser is not None  # noqa: S101  of its making
                self._parser.message_consumed()
                self.data_received(b"")
        self._is_answering, self._content = False, EMPTY_PAYLOAD
        if self._broken:
            self._refuse()
        if not self._is_ending:
            self._ends_at_s = self._loop.time() + KEEPALIVE_S
            if self._buffer_paused:
                self._resume_reading_for_buffer()

    async def _answer(self, message: RawRequestMessage, payload: StreamReader) -> None:
        limits = self._server.limits
        body: ClientBody | None = None
        unread: Unread | None = None
        if payload is not EMPTY_PAYLOAD:
            length = message.headers.get("Content-Length")
            # Zeros may stand before it, more than int takes.
            told = int(length.lstrip("0") or "0") if length else None
            body = ClientBody(
                _Incoming(message.headers, payload, told, self),
                limits.body_bytes_max,
                limits.body_deadline_s,
            )
            unread = body.unread
        try:
            request = _request(message, self._address, limits.query_fields_max)
        except Malformed as error:
            path = message.path.partition("?")[0]
            asked = Request(message.method, path, address=self._address)
            response = self._server.site.refused(asked, error)
            self._is_last = True
        else:
            response = await self._server.site.respond(request, unread)
        is_read = body is None or body.is_read
        self._is_last = self._is_last or message.should_close or message.upgrade or not is_read
        is_old = message.version.minor == 0
        self._send(response, is_head=message.method == "HEAD", is_old=is_old)
        if self._is_last:
            self._end(is_read=is_read)

    def _send(self, response: Response, *, is_head: bool, is_old: bool) -> None:
        if self.transport is None:
            return
        body = response.body
        assert isinstance(body, bytes)  # noqa: S101  the site's promise
        head = _head(response, len(body), self._connection(is_old=is_old))
        if is_head or response.status in BODYLESS:
            body = b""
        self.transport.write(head + body)

    def _connection(self, *, is_old: bool) -> str:
        if self._is_last:
            return "Connection: close"
        return "Connection: keep-alive" if is_old else ""

    def _refuse(self) -> None:
        """Answer what is not even HTTP."""
        if self._is_ending:
            return
        self._is_last = True
        asked = Request("", "", address=self._address)
        refused = self._server.site.refused(asked, Malformed(self._broken))
        self._send(refused, is_head=False, is_old=False)
        self._end(is_read=False)

    def _end(self, *, is_read: bool) -> None:
        """End the connection; what still comes is dropped for a moment, so the answer is heard."""
        if self._is_ending or self.transport is None:
            return
        self._is_ending = True
        if is_read:
            self._ends_at_s = self._loop.time() + self._server.limits.take_deadline_s
            self.transport.close()
            return
        self._ends_at_s = self._loop.time() + LINGER_S
        self.transport.resume_reading()
        self.transport.write_eof()


class FrontServer:
    """Serves a site. Work for a request ends when its client goes away."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self.site, self.limits = site, limits
        self._callers: dict[Caller, None] = {}
        self._listening: Listener[Caller] | None = None
        self._look: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once it does; for settings that ask for any (0)."""
        assert self._listening is not None  # noqa: S101  listen comes first
        return self._listening.port

    async def listen(self, host: str, port: int) -> None:
        """Raises: OSError: the address is taken, or none of ours."""
        limits = self.limits
        room = Room(limits.connections_max, limits.unknown_max, limits.unknown_of_address_max)
        self._listening = Listener(lambda: Caller(self), room, None, limits.head_deadline_s)
        await self._listening.open(host, port)

    async def stop(self, deadline_s: float) -> None:
        """Take no new connection, let requests finish for so long, then close what is left."""
        if self._listening is not None:
            self._listening.close()
        for caller in tuple(self._callers):
            caller.finish()
        tasks = [caller.task for caller in self._callers if caller.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for caller in tuple(self._callers):
            caller.let_go()

    def came(self, caller: Caller) -> None:
        self._callers[caller] = None
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_at_all)

    def left(self, caller: Caller) -> None:
        self._callers.pop(caller, None)
        if self._listening is not None:
            self._listening.left(caller)

    def _look_at_all(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for caller in [one for one in self._callers if one.is_overdue(now_s)]:
            caller.let_go()
        self._look = loop.call_later(LOOK_S, self._look_at_all) if self._callers else None


def _request(message: RawRequestMessage, address: str, fields_max: int) -> Request:
    """Return what is asked, by its head alone. Raises: Malformed."""
    path, query = target_of(message.path, fields_max)
    headers: dict[str, str] = {}
    for name, value in message.headers.items():
        if not value.isascii() and not _is_utf8(value):
            raise Malformed(f"the header {name} is not UTF-8")
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Request(message.method, path, query, headers, address=address, target=message.path)


def _is_utf8(value: str) -> bool:
    """Whether the parser could decode a value: it puts surrogates where it could not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _head(response: Response, body_bytes: int, connection: str) -> bytes:
    """Return an answer's head."""
    status = response.status
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}", "Server: cubernetes"]
    lines.append(f"Date: {rfc822_formatted_time()}")
    if response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if status not in BODYLESS:
        lines.append(f"Content-Length: {body_bytes}")
    if connection:
        lines.append(connection)
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a field of the answer has a line break")
    return f"{head}\r\n\r\n".encode()
