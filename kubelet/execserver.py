"""Commands in containers and their own programs, at `/exec` and `/attach`: for the API server.

A session is one client's connection and one execution. However it ends (the command does, the
client goes, the connection breaks, nothing happens for hours, the kubelet stops), both are let go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from cubernetes.api.bodies.envelopes import Status, status_of
from cubernetes.api.errors import InternalError, Timeout
from cubernetes.client.wire import channels, endings
from cubernetes.client.wire.channels import Channel, Frame, Misframed
from cubernetes.client.wire.execquery import ExecQuery
from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.web.duplex import Broken
from kubelet.runtime.driver import Execution, RuntimeTrouble
from kubelet.streams.carrying import Carrier, NotSpoken, carrier_for

SESSIONS_MAX = 64
# Nothing was sent or written for so long: as Kubernetes' streamingConnectionIdleTimeout.
IDLE_S = 4 * 3600.0
# Who hears nothing for a few of these knows that this node is gone. They also find out who has
# left while nothing of what he had sent was read.
PING_S = 5.0
# How long a client that has idled may take to hear so.
FAREWELL_S = 5.0
# How long a client may take to read what its command has written, counted from the command's end.
TAKEN_S = 600.0
# How long a client may take to show that it reads, before it is sent the first output.
GREETING_S = 2.0
# A terminal's size comes behind it, where the client tells any.
SIZE_S = 0.1
# What is still to be ended when the kubelet stops.
ENDING_DEADLINE_S = 12.0

log = Log(__name__)


class Idle(Exception):
    """Nothing has happened in a session for too long."""


class ClientGone(Exception):
    """The client has left before its command ended."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a session is about: begin starts the command, or reaches the program that runs.

    verb: exec or attach. container_id: where.
    """

    verb: str
    container_id: str
    asked: ExecQuery
    begin: Callable[[], Awaitable[Execution]]

    @property
    def facts(self) -> dict[str, str]:
        # Words behind the first may hold secrets.
        command = {"command": self.asked.command[0][:80]} if self.asked.command else {}
        return {"container": self.container_id, **command}


class Executions:
    """The sessions of this node."""

    def __init__(self, clock: Clock, ping_s: float = PING_S) -> None:
        self._clock, self._ping_s = clock, ping_s
        self._session_count = 0
        self._ending: set[asyncio.Task[None]] = set()

    async def answer(self, work: Work, incoming: web.BaseRequest) -> web.StreamResponse:
        """Serve a client, and return when its session has ended: a Switch."""
        try:
            socket = carrier_for(incoming, work.asked)
        except NotSpoken as error:
            return web.Response(status=400, text=f"{work.verb}: {error}")
        if self._session_count >= SESSIONS_MAX:
            said = f"this node has {SESSIONS_MAX} exec sessions, the most allowed"
            return web.Response(status=503, text=said)
        self._session_count += 1
        session = Session(socket, work.begin, self._clock, work.asked)
        try:
            await self._run(socket, session, work)
        finally:
            # Also where this is cancelled, and again: the command does not outlive its client.
            ending = asyncio.create_task(self._end(session))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        return socket.outgoing

    async def close(self) -> None:
        """Wait until the commands of sessions that have ended are ended as well."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=ENDING_DEADLINE_S)

    async def _run(self, socket: Carrier, session: "Session", work: Work) -> None:
        log.info("session begins", verb=work.verb, **work.facts)
        why = "the connection was lost"
        try:
            # First, as in Kubernetes: while the command starts, the client makes ready to read.
            await socket.open()
            why = await session.run(self._ping_s)
        except Broken as error:
            why = str(error)
            socket.abort()
        finally:
            await socket.close()
            log.info("session ends", verb=work.verb, why=why, **work.facts)

    async def _end(self, session: "Session") -> None:
        try:
            await session.end()
        except (RuntimeTrouble, OSError) as error:
            log.warning("a command was not ended", why=error)
        finally:
            self._session_count -= 1


class Session:
    """One client and one execution, until one of them ends; begin starts the command."""

    def __init__(
        self,
        socket: Carrier,
        begin: Callable[[], Awaitable[Execution]],
        clock: Clock,
        asked: ExecQuery,
    ) -> None:
        self._socket, self._begin, self._clock = socket, begin, clock
        self._moved_at = clock.monotonic()
        self._takes_stdin, self._is_terminal = asked.stdin, asked.tty
        # Set when the command was started, or could not be: then there is none.
        self._is_begun, self._execution = asyncio.Event(), cast(Execution | None, None)
        # The client has sent something.
        self._has_spoken = asyncio.Event()
        # The client is told how its command ended: it may leave.
        self._is_concluded = False

    async def end(self) -> None:
        """Let the command not outlive the session. Raises: RuntimeTrouble, OSError."""
        if self._execution is not None:
            await self._execution.end()

    async def run(self, ping_s: float) -> str:
        """Return why it ended."""
        outward, inward = self._task(self._outward()), self._task(self._inward())
        tasks = (outward, inward, self._task(self._keep_alive(ping_s)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        first = outward if outward in done else done.pop()
        try:
            first.result()
        except Idle as idle:
            await self._conclude_soon(status_of(Timeout(str(idle))))
            return str(idle)
        except Misframed as misframed:
            await self._socket.refuse(str(misframed))
            return str(misframed)
        except (Broken, ClientGone) as gone:
            if self._is_concluded and isinstance(gone, ClientGone):
                await self._socket.finish()
                return "the command has ended"
            self._socket.abort()
            return str(gone) or "the client has left"
        return "the command has ended"

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    async def _outward(self) -> None:
        """Start the command, and hand on what it writes, and how it ended."""
        with suppress(Broken):  # the reader tells of it
            await self._socket.ping()
        try:
            self._execution = execution = await self._begin()
        except RuntimeTrouble as error:
            self._is_begun.set()
            await self._await_reader()
            await self._conclude(status_of(InternalError(f"the command cannot start: {error}")))
            return
        self._is_begun.set()
        await self._await_reader()
        try:
            while (output := await execution.read()) is not None:
                channel = Channel.STDERR if output.is_stderr else Channel.STDOUT
                await self._send(channels.message_of(channel, output.text))
            status = endings.ended(await execution.exit_code())
        except (Broken, RuntimeTrouble) as error:
            status = status_of(InternalError(f"how the command ended is not known: {error}"))
        await self._conclude(status)

    async def _await_reader(self) -> None:
        """Wait until the client has answered the first ping, and sent its terminal's size.

        Before its streams are made, kubectl drops what comes (seen in 1.32: `Unknown stream id 3,
        discarding message`), the Status too, and then takes the close for success.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(GREETING_S):
                await self._socket.answered.wait()
        if self._is_terminal:
            with suppress(TimeoutError):
                async with asyncio.timeout(SIZE_S):
                    await self._has_spoken.wait()

    async def _send(self, message: bytes) -> None:
        try:
            await self._socket.write(message)
        except Broken as error:
            raise ClientGone(str(error)) from error
        self._moved_at = self._clock.monotonic()

    async def _conclude(self, status: Status) -> None:
        """Tell how it ended; close once the client has read it, for a close ends what is unread."""
        self._is_concluded = True
        try:
            async with asyncio.timeout(TAKEN_S):
                await self._socket.conclude(endings.status_message(status))
            await self._socket.finish()
        except (Broken, TimeoutError) as error:
            log.info("a client has not read its command's end", why=str(error) or "too slow")
            self._socket.abort()

    async def _conclude_soon(self, status: Status) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._conclude(status)
        except TimeoutError:
            self._socket.abort()

    async def _inward(self) -> None:
        """Hand on what the client sends, for as long as it is there."""
        while (message := await self._socket.read()) is not None:
            self._moved_at = self._clock.monotonic()
            frame = channels.frame_of(message)
            self._has_spoken.set()
            await self._is_begun.wait()
            if self._execution is not None:
                await self._obey(self._execution, frame)
        raise ClientGone

    async def _obey(self, execution: Execution, frame: Frame) -> None:
        match frame.channel:
            case Channel.STDIN:
                await self._give(execution, frame.content)
            case Channel.RESIZE:
                await self._resize(execution, frame.content)
            case Channel.CLOSE if channels.has_half_close(self._socket.protocol):
                channels.closed_channel(frame.content)
                await execution.finish()
                self._takes_stdin = False
            case _:
                raise Misframed(f"channel {frame.channel.value} is not a client's")

    async def _give(self, execution: Execution, text: bytes) -> None:
        if not text or not self._takes_stdin:
            return
        try:
            await execution.write(text)
        except Broken:
            # The command reads no more. What it has written, and its end, still come.
            self._takes_stdin = False

    async def _resize(self, execution: Execution, content: bytes) -> None:
        size = channels.size_of(content)
        try:
            await execution.resize(size.width, size.height)
        except RuntimeTrouble as error:
            log.info("a terminal keeps its size", why=error)

    async def _keep_alive(self, ping_s: float) -> None:
        while True:
            await self._clock.sleep(ping_s)
            if self._clock.monotonic() - self._moved_at > IDLE_S:
                raise Idle(f"nothing was sent or written for {IDLE_S:.0f} s")
            with suppress(TimeoutError):  # who takes nothing is slow, or pages
                async with asyncio.timeout(ping_s):
                    await self._socket.ping()
