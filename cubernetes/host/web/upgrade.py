"""Connections that carry no HTTP any more: taken over from aiohttp on either side, and relayed."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter
from aiohttp.streams import StreamReader

from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.httpserver import Connection
from cubernetes.host.web.messages import Upgrade
from cubernetes.host.web.sockets import keep_alive, read_buffered
from cubernetes.host.web.transfer import break_off

# Reading stops when so much has come and was not taken.
UNREAD_BYTES_MAX = 64 * 1024
# A person may leave a pager open, and a command its input unread: as long as a session may idle.
TAKE_DEADLINE_S = 4 * 3600.0
HANDSHAKE_DEADLINE_S = 10.0


class ByteStream:
    """A Duplex of bytes over the connection of an HTTP request whose head is answered.

    It breaks where the other side takes nothing of what it was sent for TAKE_DEADLINE_S.
    """

    def __init__(
        self,
        protocol: BaseProtocol,
        reader: StreamReader,
        answer: aiohttp.ClientResponse | None = None,
    ) -> None:
        """answer: of a client's end; its connection is closed when nobody holds it any more."""
        self._protocol, self._reader, self._answer = protocol, reader, answer
        self._writer = StreamWriter(protocol, asyncio.get_running_loop())

    async def read(self) -> bytes | None:
        try:
            return await self._reader.readany() or None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def write(self, piece: bytes) -> None:
        try:
            await self._writer.write(piece, drain=False)
            if self._protocol.writing_paused:
                async with asyncio.timeout(TAKE_DEADLINE_S):
                    await self._writer.drain()
        except TimeoutError as error:
            raise Broken(f"nothing was taken for {TAKE_DEADLINE_S:.0f} s") from error
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
        if self._answer is not None:
            self._answer.close()


class _Feed:
    """What aiohttp gives bytes to that come after the head; see its `set_parser`."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader

    def feed_data(self, piece: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(piece)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


def body_stream(answer: aiohttp.ClientResponse) -> ByteStream:
    """Take over a connection whose answer goes on until the server closes it (Docker's hijack)."""
    return ByteStream(_protocol_of(answer), answer.content, answer)


def upgraded_stream(answer: aiohttp.ClientResponse) -> ByteStream:
    """Take over a connection whose answer was 101 (Switching Protocols).

    Raises: Broken: it was closed behind its head.
    """
    protocol = _protocol_of(answer)
    reader = _reader_of(protocol)
    if protocol.transport is not None:
        keep_alive(protocol.transport)
    _leave_http(protocol)
    protocol.set_parser(_Feed(reader), reader)
    read_buffered(protocol.transport, protocol)
    return ByteStream(protocol, reader, answer)


class Through(aiohttp.BaseConnector):
    """Leads an HTTP client through a connection that was switched (101): for one request."""

    def __init__(self, answer: aiohttp.ClientResponse, tls: ssl.SSLContext | None = None) -> None:
        """tls: to what is behind the connection. Raises: Broken: it was closed behind its head."""
        super().__init__(force_close=True)
        self._answer, self._protocol, self._tls = answer, _protocol_of(answer), tls
        if self._protocol.transport is not None:
            keep_alive(self._protocol.transport)

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        transport, mine = self._protocol.transport, ResponseHandler(loop)
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if self._tls is None:
            transport.set_protocol(mine)
        else:
            async with asyncio.timeout(HANDSHAKE_DEADLINE_S):
                transport = await loop.start_tls(transport, mine, self._tls, server_hostname="pod")
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        mine.connection_made(transport)
        return mine

    def cut(self) -> None:
        """Close the connection with everything that is led through it; repeatable."""
        self._answer.close()

    def close(self, **options: Any) -> Any:
        self.cut()
        return super().close(**options)


def _protocol_of(answer: aiohttp.ClientResponse) -> ResponseHandler:
    """Raises: Broken: the connection was closed behind its head."""
    connection = answer.connection
    if connection is None or connection.protocol is None:
        raise Broken("the connection was closed behind its head")
    return connection.protocol


class _Switching(web.StreamResponse):
    _length_check = False  # as in aiohttp's own answer to an upgrade: what follows is no body


async def switched(
    incoming: web.BaseRequest, headers: Mapping[str, str]
) -> tuple[web.StreamResponse, ByteStream]:
    """Answer a request of our HttpServer with 101, and take its connection over.

    The answer is what the handler returns when the stream has ended.
    """
    keep_switched(incoming)
    outgoing = _Switching(status=101, headers=headers)
    outgoing.force_close()
    await outgoing.prepare(incoming)
    protocol: Any = incoming.protocol
    reader = _reader_of(protocol)
    _leave_http(protocol)
    protocol.set_parser(_Feed(reader))
    read_buffered(protocol.transport, protocol)
    return outgoing, ByteStream(protocol, reader)


def _leave_http(protocol: Any) -> None:
    """Let back-pressure stop the connection alone: of upgrades aiohttp knows WebSocket by itself,
    and would stop its parser of HTTP, which has nothing to read any more.
    """
    protocol._upgraded = True


def keep_switched(incoming: web.BaseRequest) -> None:
    """Let a connection live as a switched one does: people read slowly."""
    cast(Connection, incoming.protocol).take_deadline_s = TAKE_DEADLINE_S


def _reader_of(protocol: BaseProtocol) -> StreamReader:
    loop = asyncio.get_running_loop()
    return StreamReader(protocol, UNREAD_BYTES_MAX, loop=loop)


async def relayed(upgrade: Upgrade, incoming: web.BaseRequest) -> web.StreamResponse:
    """Answer a request as somebody else has, and relay its connection to theirs: a Switch."""
    try:
        outgoing, near = await switched(incoming, upgrade.headers)
        try:
            await relay(near, upgrade.far)
        except Broken as broken:
            break_off(incoming, broken)
        return outgoing
    finally:
        upgrade.far.abort()


async def relay(near: Duplex[bytes, bytes], far: Duplex[bytes, bytes]) -> None:
    """Hand bytes on in both directions until both have ended, or one breaks; then end both.

    Raises: Broken.
    """
    tasks = [
        asyncio.create_task(_hand_on(near, far)),
        asyncio.create_task(_hand_on(far, near)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        # Where both directions have finished, nothing is left to be lost.
        near.abort()
        far.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hand_on(source: Duplex[bytes, bytes], sink: Duplex[bytes, bytes]) -> None:
    while (piece := await source.read()) is not None:
        await sink.write(piece)
    await sink.finish()
