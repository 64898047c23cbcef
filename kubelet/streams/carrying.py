"""How channels of exec and attach are carried: within a WebSocket, or as streams of SPDY/3.1."""

import asyncio
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from cubernetes.client.wire import channels, spdywords
from cubernetes.client.wire.execquery import ExecQuery
from cubernetes.host.web.websocket.server import NotWebSocket, WebSocket
from kubelet.streams.spdychannels import SpdyChannels

# So long the end waits for a client to show that it has read what was written before.
PONG_S = 2.0


class NotSpoken(Exception):
    """A client asks for no protocol that carries channels here; the sentence says why."""


class Carrier(Protocol):
    """A client's end of a session: a Duplex of messages, each a byte of its channel and a content.

    answered: set once the client has shown that it reads.
    """

    protocol: str
    answered: asyncio.Event

    @property
    def outgoing(self) -> web.StreamResponse:
        """What the handler of the request returns in the end."""
        ...

    async def open(self) -> None:
        """Answer the handshake. Raises: Broken."""
        ...

    async def read(self) -> bytes | None: ...

    async def write(self, piece: bytes) -> None: ...

    async def ping(self) -> None: ...

    async def conclude(self, status: bytes) -> None:
        """Tell how it ended, once the client has read all that came before or is to read it yet.

        `read` must go on. A close comes behind it, which ends what is unread. Raises: Broken.
        """
        ...

    async def refuse(self, why: str, /) -> None:
        """End it for what the client has sent."""
        ...

    async def finish(self) -> None: ...

    def abort(self) -> None: ...

    async def close(self) -> None:
        """Let nothing of it run any more; called in every case."""
        ...


class Messages(WebSocket):
    """The messages of a WebSocket."""

    async def conclude(self, status: bytes) -> None:
        # Some clients (httpx_ws, of kr8s) leave at the status, and fail at a ping behind it.
        # Others answer no ping, or read slowly: they have it behind what was written all the same.
        with suppress(TimeoutError):
            async with asyncio.timeout(PONG_S):
                await self.taken()
        await self.write(status)
        await self.taken()


def carrier_for(incoming: web.BaseRequest, asked: ExecQuery) -> Carrier:
    """Return what carries the channels of a request; nothing is answered yet. Raises: NotSpoken."""
    if spdywords.asks_for_spdy(incoming.headers):
        if channels.V4 not in spdywords.offered(incoming.headers):
            said = f"{spdywords.VERSION_HEADER}: over SPDY/3.1 {channels.V4} alone is spoken here"
            raise NotSpoken(said)
        return SpdyChannels(incoming, asked)
    try:
        return Messages(incoming, channels.PROTOCOLS)
    except NotWebSocket as error:
        raise NotSpoken(f"WebSocket or SPDY/3.1 is needed: {error}") from error
