"""Connections that carry no HTTP any more, taken over from aiohttp."""

import asyncio

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter
from aiohttp.streams import StreamReader

from cubernetes.host.web.duplex import Broken


class ByteStream:
    """A Duplex of bytes over the connection of an HTTP request whose head is answered.

    take_deadline_s: how long the other side may take nothing of what it was sent; None is for ever.
    """

    def __init__(
        self, protocol: BaseProtocol, reader: StreamReader, take_deadline_s: float | None
    ) -> None:
        self._protocol, self._reader = protocol, reader
        self._writer = StreamWriter(protocol, asyncio.get_running_loop())
        self._take_deadline_s = take_deadline_s

    async def read(self) -> bytes | None:
        try:
            return await self._reader.readany() or None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def write(self, piece: bytes) -> None:
        try:
            await self._writer.write(piece, drain=False)
            if self._protocol.writing_paused:
                async with asyncio.timeout(self._take_deadline_s):
                    await self._writer.drain()
        except TimeoutError as error:
            raise Broken(f"nothing was taken for {self._take_deadline_s} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def finish(self) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def abort(self) -> None:
        if self._protocol.transport is not None:
            self._protocol.transport.abort()


def body_stream(answer: aiohttp.ClientResponse, take_deadline_s: float | None = None) -> ByteStream:
    """Take over a connection whose answer goes on until the server closes it (Docker's hijack)."""
    connection = answer.connection
    if connection is None or connection.protocol is None:
        raise Broken("the connection was closed behind its head")
    return ByteStream(connection.protocol, answer.content, take_deadline_s)
