"""A TCP connection as a Duplex of bytes, and how a client's is relayed to a server's."""

import asyncio
import socket
from collections.abc import Callable

from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.keepalive import KEEPALIVE

READ_BYTES = 64 * 1024
# What a client still sends when its server has ended has so long to arrive.
LINGER_S = 1.0


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out whether the other machine is there, where neither side has a word."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for level, option, value in KEEPALIVE:
        sock.setsockopt(level, option, value)


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
