"""A TCP connection as a Duplex of bytes, and how a client's is relayed to a server's."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.keepalive import KEEPALIVE

READ_BYTES = 64 * 1024
BUFFER_BYTES = 256 * 1024
# Reading stops when so much has come and was not taken.
UNREAD_BYTES_MAX = 256 * 1024
# What a client still sends when its server has ended has so long to arrive.
LINGER_S = 1.0


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out whether the other machine is there, where neither side has a word."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for level, option, value in KEEPALIVE:
        sock.setsockopt(level, option, value)


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def shared_buffer() -> memoryview:
    """Return the buffer of this loop; what is in it is another connection's soon.

    The library makes an object of 256 KiB for each read and each record of TLS, and cuts it down
    to what has come. This one is there already, takes as many records as there are, and what has
    come is copied once. Filling and taking are one step of the loop.
    """
    loop = asyncio.get_running_loop()
    found = _shared.get(loop)
    if found is None:
        found = _shared[loop] = memoryview(bytearray(BUFFER_BYTES))
    return found


class Buffered(asyncio.BufferedProtocol):
    """Reads for a protocol that takes bytes, which hears of everything else as before."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def get_buffer(self, _sizehint: int) -> memoryview:
        return shared_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.data_received(bytes(shared_buffer()[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what a loop reads that has begun to read in the other way."""
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        is_kept: bool | None = self._inner.eof_received()
        return is_kept

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)


def read_buffered(transport: asyncio.BaseTransport | None, protocol: Any) -> None:
    """Let a connection's transport read so from now on; one that is closed stays as it is."""
    if transport is not None and not transport.is_closing():
        transport.set_protocol(Buffered(protocol))


class SocketStream:
    """The near end of a TCP connection, which knows half closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes | None:
        try:
            return await self._reader.read(READ_BYTES) or None
        except OSError as error:
            raise Broken(f"the connection broke: {error}") from error

    async def write(self, piece: bytes) -> None:
        try:
            self._writer.write(piece)
            await self._writer.drain()
        except OSError as error:
            raise Broken(f"the connection broke: {error}") from error

    async def finish(self) -> None:
        try:
            self._writer.write_eof()
        except OSError as error:
            raise Broken(f"the connection broke: {error}") from error

    def abort(self) -> None:
        self._writer.transport.abort()


class TcpStream(asyncio.BufferedProtocol):
    """As a SocketStream, for many bytes: their way leads through no buffer of the library's.

    made: called with it once there is a connection.
    """

    def __init__(self, made: Callable[["TcpStream"], None] = lambda _made: None) -> None:
        self._made = made
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes] = deque()
        self._unread_bytes = 0
        self._come, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._is_ended = self._is_paused = False
        self._why_broken = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The programs' loop makes transports of its own, which are no heirs of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._made(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return shared_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._pieces.append(bytes(shared_buffer()[:nbytes]))
        self._unread_bytes += nbytes
        self._come.set()
        if self._unread_bytes > UNREAD_BYTES_MAX and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._is_ended = True
        self._come.set()
        return True  # what is written still goes

    def connection_lost(self, exc: Exception | None) -> None:
        self._why_broken = f"the connection broke: {exc or 'it was closed'}"
        self._come.set()
        self._has_room.set()

    def pause_writing(self) -> None:
        self._has_room.clear()

    def resume_writing(self) -> None:
        self._has_room.set()

    async def read(self) -> bytes | None:
        while not self._pieces:
            if self._is_ended:
                return None
            if self._why_broken:
                raise Broken(self._why_broken)
            self._come.clear()
            await self._come.wait()
        piece = self._pieces.popleft()
        self._unread_bytes -= len(piece)
        is_low = self._unread_bytes <= UNREAD_BYTES_MAX // 2
        if self._is_paused and is_low and self._transport is not None and not self._why_broken:
            self._is_paused = False
            self._transport.resume_reading()
        return piece

    async def write(self, piece: bytes) -> None:
        if self._transport is not None and not self._why_broken:
            self._transport.write(piece)
            if self._transport.is_closing():
                await asyncio.sleep(0)  # the loop is about to tell why
            await self._has_room.wait()
        if self._why_broken:
            raise Broken(self._why_broken)

    async def finish(self) -> None:
        try:
            if self._transport is not None:
                self._transport.write_eof()
        except OSError as error:
            raise Broken(f"the connection broke: {error}") from error

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def relay_to_server(
    client: Duplex[bytes, bytes],
    server: Duplex[bytes, bytes],
    moved: Callable[[], None] = lambda: None,
) -> bool:
    """Hand bytes on until the server has ended, or either broke; tell whether the server ended.

    A client that has finished waits for the rest of its answer. moved is called for each piece.
    Neither is closed.
    """

    async def hand_on(source: Duplex[bytes, bytes], sink: Duplex[bytes, bytes]) -> None:
        while (piece := await source.read()) is not None:
            await sink.write(piece)
            moved()
        await sink.finish()

    down = asyncio.create_task(hand_on(server, client))
    up = asyncio.create_task(hand_on(client, server))
    try:
        await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
        if up.done() and up.exception() is None:
            await asyncio.wait((down,))
        if down.done() and not up.done():
            await asyncio.wait((up,), timeout=LINGER_S)
    finally:
        for task in (down, up):
            task.cancel()
        ends = await asyncio.gather(down, up, return_exceptions=True)
    return ends[0] is None
