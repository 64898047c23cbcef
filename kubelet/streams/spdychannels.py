"""The channels of exec and attach over SPDY/3.1: a stream for each, as kubectl before 1.31 asks.

The client opens them all, and names each in `streamtype`. How it ended is written on the stream
`error`; the ends of the others say that nothing more comes.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web

from cubernetes.client.wire import channels, spdywords
from cubernetes.client.wire.channels import Channel, Misframed, SizeLines
from cubernetes.client.wire.execquery import ExecQuery
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.spdy.frames import Malformed
from cubernetes.host.web.spdy.session import Session, Stream
from cubernetes.host.web.upgrade import ByteStream, switched

# As Kubernetes' streamCreationTimeout.
STREAMS_DEADLINE_S = 30.0
MESSAGES_MAX = 4
# Clients leave once they have read how it ended; one that does not is closed.
LEAVE_S = 5.0
FROM_CLIENT = (Channel.STDIN, Channel.RESIZE)


def wanted_channels(asked: ExecQuery) -> set[Channel]:
    """Return the channels for which a client opens streams."""
    wanted = {
        Channel.ERROR: True,
        Channel.STDIN: asked.stdin,
        Channel.STDOUT: asked.stdout,
        Channel.STDERR: asked.stderr and not asked.tty,
        Channel.RESIZE: asked.tty,
    }
    return {channel for channel, is_wanted in wanted.items() if is_wanted}


class SpdyChannels:
    """A connection of SPDY/3.1 whose streams are channels; see carrying.Carrier."""

    protocol = spdywords.SPDY

    def __init__(self, incoming: web.BaseRequest, asked: ExecQuery) -> None:
        self._incoming, self._wanted = incoming, wanted_channels(asked)
        self.answered = asyncio.Event()
        self._outgoing: web.StreamResponse | None = None
        self._carrier: ByteStream | None = None
        self._session: Session | None = None
        self._streams: dict[Channel, Stream] = {}
        self._is_whole, self._is_over = asyncio.Event(), asyncio.Event()
        self._messages: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(MESSAGES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_drained = False

    @property
    def outgoing(self) -> web.StreamResponse:
        assert self._outgoing is not None  # noqa: S101  open comes first
        return self._outgoing

    async def open(self) -> None:
        """Answer, and return once the client has opened all of its streams. Raises: Broken."""
        headers: Mapping[str, str] = spdywords.switched_to(channels.V4)
        self._outgoing, self._carrier = await switched(self._incoming, headers)
        self._session = Session(self._carrier, is_client=False, came=self._came)
        self._begin(self._session)
        try:
            async with asyncio.timeout(STREAMS_DEADLINE_S):
                await self._is_whole.wait()
        except TimeoutError as error:
            named = sorted(channel.name.lower() for channel in self._wanted - set(self._streams))
            raise Broken(f"the client has opened no streams for {', '.join(named)}") from error
        if self._is_over.is_set():
            raise Broken("the client has left")
        self.answered.set()

    async def read(self) -> bytes | None:
        if self._is_drained:
            return None
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        self._is_drained = message is None
        return message

    async def write(self, piece: bytes) -> None:
        frame = channels.frame_of(piece)
        stream = self._streams.get(frame.channel)
        if stream is not None and frame.content:
            await stream.write(frame.content)

    async def ping(self) -> None:
        if self._session is not None:
            await self._session.ping()

    async def conclude(self, status: bytes) -> None:
        await self.write(status)
        for channel, stream in self._streams.items():
            if channel is not Channel.STDIN:
                await stream.finish()
        if self._session is not None:
            await self._session.reach()
        # Its pong may be quicker than its readers.
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._is_over.wait()

    async def refuse(self, _why: str, /) -> None:
        """Streams have no word for a reason."""
        self.abort()

    async def finish(self) -> None:
        if self._session is not None:
            await self._session.close()

    def abort(self) -> None:
        if self._carrier is not None:
            self._carrier.abort()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, session: Session) -> None:
        self._tasks.add(asyncio.create_task(self._run(session)))

    async def _run(self, session: Session) -> None:
        end: Exception | None = None
        try:
            await session.run()
        except (Broken, Malformed) as error:
            end = Broken(str(error))
        self._is_over.set()
        self._is_whole.set()
        await self._messages.put(end)

    def _came(self, stream: Stream) -> None:
        channel = channels.STREAM_TYPES.get(stream.headers.get("streamtype", ""))
        if channel is None or channel not in self._wanted or channel in self._streams:
            stream.abort()
            return
        self._streams[channel] = stream
        if channel in FROM_CLIENT:
            self._tasks.add(asyncio.create_task(self._hand_on(channel, stream)))
        if self._wanted == set(self._streams):
            self._is_whole.set()

    async def _hand_on(self, channel: Channel, stream: Stream) -> None:
        """Make messages of what comes on a stream."""
        lines = SizeLines()
        with suppress(Broken):  # the reader of the connection tells of it
            while (piece := await stream.read()) is not None:
                try:
                    parts = [piece] if channel is Channel.STDIN else list(lines.feed(piece))
                except Misframed as misframed:
                    await self._messages.put(misframed)
                    return
                for part in parts:
                    await self._messages.put(channels.message_of(channel, part))
            if channel is Channel.STDIN:
                await self._messages.put(channels.closing(Channel.STDIN))
