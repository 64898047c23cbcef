"""One client's connection, and the server that has all of them: bytes in, answers out, deadlines.

A connection has one request at work at a time. Work that is done at once is answered before the
loop goes on; other work is a task, and ends when its client goes away.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from typing import cast

from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from tsdb.errors import BadData, TsdbError
from tsdb.serve.wire import CONTINUE, Answer, Phase, Request, RequestReader, head_bytes, parts_of

log = Log(__name__)

type Handler = Callable[[Request], Awaitable[Answer]]

# How long a phase of a request may take, from its first byte; idle connections are kept an hour.
DEADLINE_S = {Phase.NOTHING: 3600.0, Phase.HEAD: 30.0, Phase.BODY: 60.0}
# Who was refused may still be sending: what comes is thrown away for so long, so that it can read.
LINGER_S = 2.0
SWEEP_S = 1.0
PART_BYTES = 2**18
# So much of later requests may wait while one is answered; then the client is not read from.
PIPELINED_BYTES_MAX = 64 * 2**10
BACKLOG = 1024
HANDSHAKE_DEADLINE_S = 30.0
NEVER_S = float("inf")


class Connection(asyncio.Protocol):
    """Reads requests, one after the other, and writes their answers in that order."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._reader = RequestReader(server.body_bytes_max)
        self._phase = Phase.NOTHING
        self._transport: asyncio.Transport | None = None
        self._work: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        # Nothing more is read: what comes is thrown away until the client has gone.
        self._is_over = False
        self._is_held = False
        self.deadline_s = NEVER_S

    @property
    def work(self) -> asyncio.Task[None] | None:
        return self._work

    @property
    def waiting_bytes(self) -> int:
        """Return what has come of requests that are not yet at work."""
        return self._reader.waiting_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in everything but their class.
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        self.deadline_s = self._server.clock.monotonic() + DEADLINE_S[Phase.NOTHING]

    def connection_lost(self, _exc: BaseException | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self._is_over = True
        if self._work is not None:
            # A query whose client has gone ends at its next turn.
            self._work.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._reader.feed(data)
        if self._work is None:
            self._go_on()
        elif self.waiting_bytes > PIPELINED_BYTES_MAX and not self._is_held:
            self._hold(held=True)

    def _go_on(self) -> None:
        """Answer what has come, up to the first request whose answer takes time."""
        while self._work is None and not self._is_over:
            try:
                request = self._reader.next()
            except TsdbError as error:
                self._refuse(error)
                return
            if request is None:
                break
            self.deadline_s = NEVER_S
            # Eager: what needs no waiting is done in here, without a turn of the loop.
            work = asyncio.Task(self._exchange(request), loop=self._server.loop, eager_start=True)
            if work.done():
                self._settle(work)
            else:
                self._work = work
                work.add_done_callback(self._done)
        if self._work is None and not self._is_over:
            self._await_more()

    def _await_more(self) -> None:
        phase = self._reader.phase
        if phase is Phase.NOTHING or phase is not self._phase or self.deadline_s == NEVER_S:
            self.deadline_s = self._server.clock.monotonic() + DEADLINE_S[phase]
        self._phase = phase
        if self._reader.expects_continue and self._transport is not None:
            self._reader.expects_continue = False
            self._transport.write(CONTINUE)

    def _done(self, work: asyncio.Task[None]) -> None:
        self._work = None
        self._settle(work)
        if self._is_held:
            self._hold(held=False)
        self._go_on()

    def _hold(self, *, held: bool) -> None:
        self._is_held = held
        if self._transport is not None:
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    def _settle(self, work: asyncio.Task[None]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is not None:
            log.bug("answer failed", error)
        if work.cancelled() or error:
            self.abort()

    async def _exchange(self, request: Request) -> None:
        answer = await self._server.handler(request)
        keeps_alive = request.keeps_alive and not self._server.is_stopping
        await self._send(answer, keeps_alive=keeps_alive, with_body=request.method != "HEAD")
        if not keeps_alive:
            self._close()

    async def _send(self, answer: Answer, *, keeps_alive: bool, with_body: bool) -> None:
        """Write an answer; a large one part by part, so that no buffer holds all of it again.

        A client that does not take it in time is cut off: its answer has begun already.
        """
        transport = self._transport
        if transport is None:
            return
        total = sum(map(len, answer.pieces))
        head = head_bytes(answer, total, self._server.date(), keeps_alive=keeps_alive)
        pieces = (head, *answer.pieces) if with_body else (head,)
        if total <= PART_BYTES and self._room is None:
            transport.write(b"".join(pieces))
            return
        try:
            async with asyncio.timeout(self._server.send_deadline_s):
                for part in parts_of(pieces, PART_BYTES):
                    await self._drained()
                    transport.write(part)
                await self._drained()
        except TimeoutError:
            self.abort()

    async def _drained(self) -> None:
        if self._room is not None:
            # Who waits may be cancelled; the future is the transport's to end.
            await asyncio.shield(self._room)

    def _close(self) -> None:
        self._is_over = True
        self.deadline_s = self._server.clock.monotonic() + self._server.send_deadline_s
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        self._room = self._server.loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _refuse(self, error: TsdbError) -> None:
        """Answer what cannot be read on from; then wait a little for the client to go."""
        self._is_over = True
        self.deadline_s = self._server.clock.monotonic() + LINGER_S
        if self._transport is not None:
            answer = self._server.told(error)
            total = sum(map(len, answer.pieces))
            head = head_bytes(answer, total, self._server.date(), keeps_alive=False)
            self._transport.write(b"".join((head, *answer.pieces)))

    def expire(self) -> None:
        """The deadline has passed: nothing came, or not enough."""
        if self._phase is Phase.BODY and not self._is_over:
            span_s = DEADLINE_S[Phase.BODY]
            self._refuse(BadData(f"the body did not arrive within {span_s:g} s"))
        else:
            self.deadline_s = NEVER_S
            self.abort()

    def stop(self) -> None:
        """End a connection that has no request at work."""
        if self._work is None:
            self._close()

    def abort(self) -> None:
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()


class Server:
    """Listens, and holds every connection to its deadline."""

    def __init__(
        self,
        handler: Handler,
        told: Callable[[TsdbError], Answer],
        clock: Clock,
        *,
        body_bytes_max: int,
        send_deadline_s: float,
    ) -> None:
        self.handler, self.told, self.clock = handler, told, clock
        self.body_bytes_max, self.send_deadline_s = body_bytes_max, send_deadline_s
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.is_stopping = False
        self._listening: asyncio.Server | None = None
        self._date = (0, b"")

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises: OSError: the address is taken or none of ours."""
        handshake_s = HANDSHAKE_DEADLINE_S if tls else None
        self._listening = await self.loop.create_server(
            lambda: Connection(self),
            host,
            port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=handshake_s,
        )

    async def run(self) -> None:
        """Let go of whoever is late, for ever."""
        while True:
            await self.clock.sleep(SWEEP_S)
            now_s = self.clock.monotonic()
            for connection in [each for each in self.connections if each.deadline_s < now_s]:
                connection.expire()

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let requests at work finish for so long, then cut off the rest."""
        self.is_stopping = True
        if self._listening is not None:
            self._listening.close()
        for connection in list(self.connections):
            connection.stop()
        works = [each.work for each in self.connections if each.work is not None]
        if works:
            _, late = await asyncio.wait(works, timeout=grace_s)
            for work in late:
                work.cancel()
            if late:
                await asyncio.wait(late)
        for connection in list(self.connections):
            connection.abort()

    def date(self) -> bytes:
        """Return the time as HTTP writes it, made once a second."""
        now = self.clock.now()
        second = int(now.timestamp())
        if self._date[0] != second:
            self._date = (second, format_datetime(now, usegmt=True).encode())
        return self._date[1]
