"""The server's end of a WebSocket, by aiohttp: a Duplex whose pieces are messages."""

import asyncio
from collections.abc import Sequence

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.sockets import read_buffered
from cubernetes.host.web.upgrade import keep_switched
from cubernetes.host.web.websocket.frames import MESSAGE_BYTES_MAX

# How long the other side may take to answer a close.
CLOSE_DEADLINE_S = 5.0

# What the ping says behind everything that was written; others say nothing.
END = b"end"
# What cannot be said in a close frame with more.
REASON_BYTES_MAX = 120


class NotWebSocket(Exception):
    """A request asks for no WebSocket, or not as RFC 6455 says."""


class WebSocket:
    """The server's end. `answer` is what the handler returns in the end.

    Made of a request that is answered by `open` alone; until then nothing is sent.
    """

    def __init__(
        self, incoming: web.BaseRequest, protocols: Sequence[str], *, is_named: bool = True
    ) -> None:
        """is_named: a client must name its protocol; else one that names none has the first.

        Raises: NotWebSocket: also where the client speaks none of the protocols.
        """
        self._incoming = incoming
        # Not compressed: it would cost more than it saves within a cluster.
        self.answer: web.WebSocketResponse = web.WebSocketResponse(
            timeout=CLOSE_DEADLINE_S,
            protocols=protocols,
            compress=False,
            max_msg_size=MESSAGE_BYTES_MAX,
            decode_text=False,
            autoping=False,
        )
        self._is_asked, self._is_taken = False, asyncio.Event()
        # The other side has answered a ping: it reads.
        self.answered = asyncio.Event()
        ready = self.answer.can_prepare(incoming)
        offered = incoming.headers.get("sec-websocket-protocol", "")[:200]
        if not ready.ok:
            upgrade = incoming.headers.get("upgrade", "")[:40]
            raise NotWebSocket(f"a WebSocket is needed, upgrade {upgrade!r} is not one")
        if ready.protocol is None and (offered or is_named):
            spoken = ", ".join(protocols)
            raise NotWebSocket(f"of the subprotocols {offered!r} none is spoken here: {spoken}")
        self.protocol = ready.protocol or protocols[0]

    @property
    def outgoing(self) -> web.StreamResponse:
        return self.answer

    async def open(self) -> None:
        keep_switched(self._incoming)
        await self.answer.prepare(self._incoming)
        read_buffered(self._incoming.transport, self._incoming.protocol)

    async def read(self, silence_s: float | None = None) -> bytes | None:
        """Return the next message; see Duplex. Without a word, or a ping, for silence_s it is over.

        Raises: Broken.
        """
        while True:
            try:
                message = await self.answer.receive(silence_s)
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
                    raise Broken(f"the connection broke: {self.answer.exception()}")
                case _:
                    return None

    async def _pong(self, content: bytes) -> None:
        try:
            await self.answer.pong(content)
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def write(self, piece: bytes) -> None:
        try:
            await self.answer.send_bytes(piece)
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def finish(self) -> None:
        """Close in good order; what the other side still sends is dropped."""
        await self.answer.close()

    async def ping(self) -> None:
        """Show that we are there, and find out whether the other side is.

        Raises: Broken.
        """
        try:
            await self.answer.ping()
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the connection broke: {error}") from error

    async def taken(self) -> None:
        """Wait until the other side has read what was written before the first call of this.

        `read` must go on. A pong is sent by a side that has read up to its ping (RFC 6455, 5.5.3).

        Raises: Broken.
        """
        if not self._is_asked:
            self._is_asked = True
            try:
                await self.answer.ping(END)
            except (aiohttp.ClientError, OSError) as error:
                raise Broken(f"the connection broke: {error}") from error
        await self._is_taken.wait()

    def _heard_pong(self, content: bytes) -> None:
        self.answered.set()
        if content == END:
            self._is_taken.set()

    async def refuse(self, why: str) -> None:
        """Close for what the other side sent, which is no word of the protocol."""
        reason = why.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
        await self.answer.close(code=WSCloseCode.PROTOCOL_ERROR, message=reason)

    async def close(self) -> None:
        """Nothing of it runs by itself."""

    def abort(self) -> None:
        if self._incoming.transport is not None:
            self._incoming.transport.abort()
