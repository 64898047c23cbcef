"""WebSockets, by aiohttp: a Duplex whose pieces are messages. This is the client's end.

Command lines import it, so that it knows nothing of servers, which take long to import.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from yarl import URL

from cubernetes.host.web.duplex import Broken

MESSAGE_BYTES_MAX = 1024 * 1024
# How long the other side may take to answer a close.
CLOSE_DEADLINE_S = 5.0


class HandshakeRefused(Exception):
    """The server does not switch to a WebSocket; it answered with another status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status} instead of 101")
        self.status = status


class Messages:
    """What both ends have in common."""

    def __init__(self, socket: Any) -> None:
        # aiohttp's two ends have these methods in common, and no type.
        self._socket = socket

    async def read(self, silence_s: float | None = None) -> bytes | None:
        """Return the next message; see Duplex. Without a word, or a ping, for silence_s it is over.

        Raises: Broken.
        """
        while True:
            try:
                message = await self._socket.receive(silence_s)
            except TimeoutError as error:
                raise Broken(f"nothing was heard for {silence_s} s") from error
            except (aiohttp.ClientError, OSError) as error:  # a ping cannot be answered any more
                raise Broken(f"the connection broke: {error}") from error
            match message.type:
                case WSMsgType.BINARY | WSMsgType.TEXT:
                    return bytes(message.data)
                case WSMsgType.PING:
                    await self._pong(bytes(message.data))
                case WSMsgType.PONG:
                    self._heard_pong(bytes(message.data))
                case WSMsgType.ERROR:
                    raise Broken(f"the connection broke: {self._socket.exception()}")
                case _:
                    return None

    async def _pong(self, content: bytes) -> None:
        try:
            await self._socket.pong(content)
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    def _heard_pong(self, content: bytes) -> None:
        """Note that the other side has read as far as the ping of this content."""

    async def write(self, piece: bytes) -> None:
        try:
            await self._socket.send_bytes(piece)
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def finish(self) -> None:
        """Close in good order; what the other side still sends is dropped."""
        await self._socket.close()


class DialledWebSocket(Messages):
    """The client's end."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Where to, and how the server is known; server_name: in its certificate, if not the host."""

    url: str
    tls: ssl.SSLContext
    server_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 30.0


@asynccontextmanager
async def dialled(dial: Dial, protocols: Sequence[str]) -> AsyncIterator[DialledWebSocket]:
    """Open a WebSocket to a server, and close it with the context.

    Raises: Broken: no connection. HandshakeRefused.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        )
        try:
            async with asyncio.timeout(dial.deadline_s):
                socket = await session.ws_connect(
                    URL(dial.url, encoded=True),
                    protocols=protocols,
                    headers=dial.headers,
                    ssl=dial.tls,
                    server_hostname=dial.server_name,
                    max_msg_size=MESSAGE_BYTES_MAX,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE_S),
                    decode_text=False,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise HandshakeRefused(error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Broken(f"no connection: {error}") from error
        try:
            yield DialledWebSocket(socket)
        finally:
            # Where the server reads nothing any more, it is not told either.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await socket.close()
