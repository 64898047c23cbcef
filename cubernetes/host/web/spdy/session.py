"""A connection of SPDY/3.1 and its streams, over any Duplex of bytes.

One task reads the carrier (`run`) and gives each stream what is its own. A stream that is not
read holds up to UNREAD_BYTES_MAX; beyond it nothing more is read for any of them, as Kubernetes'
clients know no windows. What is written is one frame at a time, in the order of the writers.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.spdy import frames
from cubernetes.host.web.spdy.frames import (
    Data,
    Frame,
    GoAway,
    Headers,
    MoreHeaders,
    Ping,
    Reset,
    RstStream,
    SynReply,
    SynStream,
)

UNREAD_BYTES_MAX = 256 * 1024
STREAMS_MAX = 512
REPLY_DEADLINE_S = 30.0
FAREWELL_S = 5.0


class Stream:
    """A Duplex of bytes, one of a session's; headers: what its opener said of it."""

    def __init__(self, session: "Session", stream_id: int, headers: Headers) -> None:
        self._session, self.id, self.headers = session, stream_id, headers
        self._pieces: deque[bytes] = deque()
        self._unread_bytes = 0
        # Set whenever something changes for the reader, for the giver.
        self._come, self._taken = asyncio.Event(), asyncio.Event()
        self.replied = asyncio.Event()
        self._why_broken = ""
        self._is_ended = self._is_finished = False

    async def read(self) -> bytes | None:
        while not self._pieces:
            if self._why_broken:
                raise Broken(self._why_broken)
            if self._is_ended:
                return None
            self._come.clear()
            await self._come.wait()
        piece = self._pieces.popleft()
        self._unread_bytes -= len(piece)
        self._taken.set()
        return piece

    async def write(self, piece: bytes) -> None:
        for at in range(0, len(piece), frames.DATA_BYTES_MAX):
            if self._why_broken or self._is_finished:
                raise Broken(self._why_broken or "the stream is finished")
            part = piece[at : at + frames.DATA_BYTES_MAX]
            await self._session.send(Data(self.id, part))

    async def finish(self) -> None:
        if self._is_finished or self._why_broken:
            return
        self._is_finished = True
        self._session.forget_ended(self)
        await self._session.send(Data(self.id, b"", is_last=True))

    def abort(self) -> None:
        """End both directions; the other side is told, unless both had ended."""
        if not self._why_broken and not self.is_over:
            self._session.send_soon(RstStream(self.id, Reset.CANCEL))
        self.break_off("the stream was aborted")

    def leave(self) -> None:
        """Drop what the other side still sends; for a stream that was finished here."""
        if not self._why_broken:
            self.break_off("the stream has ended here")

    @property
    def is_over(self) -> bool:
        """Both directions have ended in good order."""
        return self._is_ended and self._is_finished

    def break_off(self, why: str) -> None:
        """Let neither side be read or written any more. Repeatable."""
        self._why_broken = self._why_broken or why
        self._pieces.clear()
        self._wake()
        self._session.forget(self)

    async def give(self, piece: bytes) -> None:
        """Add what has come, once there is room; what comes to a broken stream is dropped."""
        if self._why_broken or self._is_ended or not piece:
            return
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        self._come.set()
        while self._unread_bytes > UNREAD_BYTES_MAX and not self._why_broken:
            self._taken.clear()
            await self._taken.wait()

    def end(self) -> None:
        """Note that the other side has finished."""
        self._is_ended = True
        self._wake()
        self._session.forget_ended(self)

    def _wake(self) -> None:
        for event in (self._come, self._taken, self.replied):
            event.set()


class Session:
    """One end of a connection; `came` is told of each stream that the other side has opened."""

    def __init__(
        self,
        carrier: Duplex[bytes, bytes],
        *,
        is_client: bool,
        came: Callable[[Stream], None] | None = None,
    ) -> None:
        self._carrier, self._came = carrier, came
        self._reader, self._writer = frames.Reader(), frames.Writer()
        self._sending = asyncio.Lock()
        self._streams: dict[int, Stream] = {}
        self._next_id = 1 if is_client else 2
        self._last_theirs = 0
        self._ping_parity = self._next_id % 2
        self._ping_number = self._next_id
        self._pongs: dict[int, asyncio.Event] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._why_over = ""

    @property
    def stream_count(self) -> int:
        return len(self._streams)

    async def run(self) -> None:
        """Read until the other side has finished, or said that it goes away and has no stream.

        Raises: Broken, frames.Malformed. In every case all streams are broken off.
        """
        try:
            while (piece := await self._carrier.read()) is not None:
                for frame in self._reader.feed(piece):
                    await self._obey(frame)
        finally:
            self._why_over = "the connection has ended"
            for stream in list(self._streams.values()):
                stream.break_off(self._why_over)
            for answered in self._pongs.values():
                answered.set()

    async def open(self, headers: Headers, *, is_last: bool = False) -> Stream:
        """Open a stream, and return it once the other side has taken it; is_last: only to read.

        Raises: Broken.
        """
        if len(self._streams) >= STREAMS_MAX:
            raise Broken(f"{STREAMS_MAX} streams are open, the most allowed")
        stream = Stream(self, self._next_id, headers)
        self._streams[stream.id] = stream
        self._next_id += 2
        try:
            await self.send(SynStream(stream.id, headers))
            async with asyncio.timeout(REPLY_DEADLINE_S):
                await stream.replied.wait()
            if is_last:
                await stream.finish()
        except TimeoutError as error:
            stream.abort()
            raise Broken("a stream was not taken") from error
        except BaseException:
            stream.abort()
            raise
        if stream.id not in self._streams and not stream.is_over:
            raise Broken(self._why_over or "a stream was refused")
        return stream

    async def ping(self) -> None:
        """Show that we are there. Raises: Broken."""
        number, self._ping_number = self._ping_number, self._ping_number + 2
        await self.send(Ping(number))

    async def reach(self) -> None:
        """Wait until the other side has read as far as this: it answers a ping. Raises: Broken."""
        answered = self._pongs[self._ping_number] = asyncio.Event()
        await self.ping()
        await answered.wait()
        if self._why_over:
            raise Broken(self._why_over)

    async def close(self) -> None:
        """Say that no more streams are taken, and finish the carrier."""
        with suppress(Broken, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.send(GoAway(self._last_theirs))
                await self._carrier.finish()
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def send(self, frame: Frame) -> None:
        """Raises: Broken."""
        async with self._sending:
            if self._why_over:
                raise Broken(self._why_over)
            await self._carrier.write(self._writer.bytes_of(frame))

    def send_soon(self, frame: Frame) -> None:
        """Send where nobody can wait for it."""

        async def sent() -> None:
            with suppress(Broken):
                await self.send(frame)

        task = asyncio.create_task(sent())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def forget(self, stream: Stream) -> None:
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]

    def forget_ended(self, stream: Stream) -> None:
        if stream.is_over:
            self.forget(stream)

    async def _obey(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._take(frame)
            case Ping(number):
                if number % 2 != self._ping_parity:
                    await self.send(frame)
                elif answered := self._pongs.pop(number, None):
                    answered.set()
            case GoAway():
                pass  # its streams end by themselves, and its connection with them
            case SynReply() | MoreHeaders() | RstStream() | Data():
                await self._hand_on(frame)

    async def _take(self, frame: SynStream) -> None:
        """Raises: Broken, frames.Malformed."""
        is_theirs = frame.stream_id % 2 != self._ping_parity
        if not is_theirs or frame.stream_id <= self._last_theirs:
            raise frames.Malformed(f"stream {frame.stream_id} cannot begin: its number is not new")
        self._last_theirs = frame.stream_id
        if self._came is None or len(self._streams) >= STREAMS_MAX:
            await self.send(RstStream(frame.stream_id, Reset.REFUSED_STREAM))
            return
        stream = Stream(self, frame.stream_id, frame.headers)
        self._streams[stream.id] = stream
        await self.send(SynReply(stream.id))
        if frame.is_last:
            stream.end()
        self._came(stream)

    async def _hand_on(self, frame: SynReply | MoreHeaders | RstStream | Data) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None:  # it has ended here, and what was under way to it comes late
            return
        stream.replied.set()
        match frame:
            case RstStream(why=why):
                stream.break_off(f"the other side ended the stream ({why})")
            case Data(content=content):
                await stream.give(content)
        if not isinstance(frame, RstStream) and frame.is_last:
            stream.end()
