"""Bodies over a connection: a request's is read within its limits, an answer's sent in parts."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from cubernetes.host.feed import Feed
from cubernetes.host.log import Log
from cubernetes.host.web.messages import BodyBroken, BodyTooLarge, Response, Unread

PART_BYTES = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# A client that takes nothing, or that has left.
CLIENT_TROUBLES: tuple[type[Exception], ...] = (TimeoutError, ConnectionResetError)


class Wire(Protocol):
    """A connection, as something that pieces are written to."""

    def send(self, piece: bytes) -> None:
        """Raises: ConnectionResetError: the client has left."""
        ...

    def when_taken(self, call: Callable[[], None]) -> None:
        """Call when there is room for a piece: at once where there is now. Once, if ever."""
        ...


type Turn = Callable[[], Awaitable[None]]

log = Log(__name__)


class Incoming(Protocol):
    """What is asked of a request that has a body: aiohttp's, or another parser's."""

    @property
    def body_exists(self) -> bool: ...

    @property
    def content_length(self) -> int | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> StreamReader: ...

    @property
    def writer(self) -> Any: ...


class ClientBody:
    """A request's body, which stays with its sender until somebody asks for it."""

    def __init__(self, incoming: Incoming, bytes_max: int, deadline_s: float) -> None:
        self._incoming, self._bytes_max, self._deadline_s = incoming, bytes_max, deadline_s
        # There is none, or all of it was read.
        self.is_read = not incoming.body_exists

    @property
    def unread(self) -> Unread | None:
        if self.is_read:
            return None
        length = self._incoming.content_length
        # A body in chunks does not say how long it is.
        return Unread(self._bytes_max if length is None else length, self._read, self._pieces)

    async def _read(self) -> bytes:
        """Read it, no further than the limit. Raises: BodyTooLarge, BodyBroken."""
        incoming, most = self._incoming, self._bytes_max
        length = incoming.content_length
        if (length or 0) > most:
            raise BodyTooLarge(most, length or 0)
        await self._ask()
        body = bytearray()
        try:
            async with asyncio.timeout(self._deadline_s):
                async for piece in incoming.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise BodyTooLarge(most, math.inf)
        except TimeoutError as error:
            raise BodyBroken("the body did not come in time") from error
        except web.RequestPayloadError as error:
            raise BodyBroken("the body is cut off, or not encoded as its head says") from error
        self.is_read = True
        return bytes(body)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield it as it comes; each piece has the deadline. Raises: BodyBroken."""
        await self._ask()
        content = self._incoming.content
        try:
            while True:
                async with asyncio.timeout(self._deadline_s):
                    piece = await content.readany()
                if not piece:
                    break
                yield piece
        except TimeoutError as error:
            raise BodyBroken("the body did not go on in time") from error
        except web.RequestPayloadError as error:
            raise BodyBroken("the body is cut off, or not encoded as its head says") from error
        self.is_read = True

    async def _ask(self) -> None:
        """Tell a client to send it that waits to be told."""
        if self._incoming.headers.get("expect", "").lower() == "100-continue":
            await self._incoming.writer.write(CONTINUE)
            self._incoming.writer.output_size = 0


def short(response: Response) -> web.Response:
    """Return an answer that is sent as a whole."""
    body = cast(bytes, response.body)
    return web.Response(status=response.status, body=body, headers=headers_of(response))


def headers_of(response: Response) -> Mapping[str, str]:
    kind = {"Content-Type": response.content_type} if response.content_type else {}
    told = {**kind, "Server": "cubernetes", **response.headers}
    if not response.fields:
        return told
    head = CIMultiDict(told)
    for name in {name.lower() for name, _ in response.fields}:
        head.popall(name, None)
    for name, value in response.fields:
        head.add(name, value)
    return head


async def send_stream(
    incoming: web.BaseRequest,
    response: Response,
    pieces: AsyncIterator[bytes],
    deadline_s: float,
    troubles: tuple[type[Exception], ...],
) -> web.StreamResponse:
    """Hand on a stream: the next piece is asked for when the client takes the one before.

    A client that takes nothing for deadline_s is let go; one that leaves ends the stream. troubles
    are what may become of a stream: behind its head all that can be said is that it is not whole.
    """
    async with aclosing(cast(Any, pieces)):
        outgoing = web.StreamResponse(status=response.status, headers=headers_of(response))
        await outgoing.prepare(incoming)
        if incoming.method == "HEAD":
            return outgoing
        writer = cast(StreamWriter, incoming.writer)
        try:
            async for piece in pieces:
                await writer.write(piece, drain=False)
                # A deadline costs more than a write: only a client that makes us wait gets one.
                if incoming.protocol.writing_paused:
                    async with asyncio.timeout(deadline_s):
                        await writer.drain()
                # The next one may be hours away.
                del piece
        except troubles as why:
            break_off(incoming, why)
            return outgoing
        await outgoing.write_eof()
        return outgoing


async def send_feed(
    incoming: web.BaseRequest,
    response: Response,
    feed: Feed,
    wire: Wire,
    troubles: tuple[type[Exception], ...],
) -> web.StreamResponse:
    """Hand on a feed: its pieces are written where they come to be, without a switch of tasks.

    As send_stream otherwise; the wire lets a client go that takes nothing.
    """
    async with aclosing(feed):
        outgoing = web.StreamResponse(status=response.status, headers=headers_of(response))
        await outgoing.prepare(incoming)
        if incoming.method == "HEAD":
            return outgoing
        is_chunked = cast(StreamWriter, incoming.writer).chunked
        following = _Following(feed, wire, is_chunked=is_chunked)
        following.go_on()
        try:
            await following.ended
        except troubles as why:
            break_off(incoming, why)
            return outgoing
        await outgoing.write_eof()
        return outgoing


class _Following:
    """Writes a feed to a wire: a piece whenever there is one and the client has taken the last."""

    def __init__(self, feed: Feed, wire: Wire, *, is_chunked: bool) -> None:
        self._feed, self._wire, self._is_chunked = feed, wire, is_chunked
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_on(self) -> None:
        """Take the next piece, and see to it that the one after is taken in its time."""
        if self.ended.done():
            return
        try:
            piece = self._feed.take()
            if piece and self._is_chunked:
                self._wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif piece:
                self._wire.send(piece)
        except StopAsyncIteration:
            self.ended.set_result(None)
        except Exception as why:  # noqa: BLE001  the task that waits for the end raises it
            self.ended.set_exception(why)
        else:
            self._wire.when_taken(self._wait)

    def _wait(self) -> None:
        self._feed.when_more(self.go_on)


async def send_parts(
    incoming: web.BaseRequest, response: Response, body: bytes, deadline_s: float, turn: Turn
) -> web.StreamResponse:
    """Hand on a long answer in parts: no buffer holds all of it again, and nobody waits for ever.

    Each part has the deadline; the answer as a whole has none, so that a thin line may do. turn is
    awaited before each part, so that others go between.
    """
    outgoing = web.StreamResponse(status=response.status, headers=headers_of(response))
    outgoing.content_length = len(body)
    await outgoing.prepare(incoming)
    view = memoryview(body)
    try:
        for begin in range(0, len(body), PART_BYTES):
            await turn()
            async with asyncio.timeout(deadline_s):
                await outgoing.write(view[begin : begin + PART_BYTES])
    except CLIENT_TROUBLES as why:
        break_off(incoming, why)
        return outgoing
    await outgoing.write_eof()
    return outgoing


def break_off(incoming: web.BaseRequest, why: Exception) -> None:
    """End an answer that has begun: all that can still be said is that it is not whole."""
    log.info("answer broken off", path=incoming.path, why=repr(why))
    if incoming.transport is not None:
        incoming.transport.abort()
