"""A feed: pieces that are called out, over a connection and to a task, whole and in order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast, override

import pytest

from cubernetes.host.feed import Feed
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import RoutedSite

PATIENCE_S = 60.0
# More than the buffers of both ends and of the kernel hold.
MANY_BYTES = 24 * 1024 * 1024


class Pieces(Feed):
    """Gives what a test puts in; None is the end, an error is raised."""

    def __init__(self) -> None:
        self.waiting: list[bytes | Exception | None] = []
        self.taken_bytes = 0
        self.close_count = 0
        self._call: Callable[[], None] | None = None

    def put(self, *pieces: bytes | Exception | None) -> None:
        self.waiting += pieces
        call, self._call = self._call, None
        if call is not None:
            call()

    @override
    def take(self) -> bytes:
        if not self.waiting:
            return b""
        piece = self.waiting.pop(0)
        if isinstance(piece, Exception):
            raise piece
        if piece is None:
            raise StopAsyncIteration
        self.taken_bytes += len(piece)
        return piece

    @override
    def when_more(self, call: Callable[[], None]) -> None:
        if self.waiting:
            asyncio.get_running_loop().call_soon(call)
        else:
            self._call = call

    @override
    def close(self) -> None:
        self.close_count += 1


type Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def followed(feed: Feed, version: str = "1.1") -> AsyncIterator[Ends]:
    """Serve a feed, ask for it, and read its head."""

    async def answer(_: Request) -> Response:
        return Response(200, feed)

    server = HttpServer(RoutedSite([("GET", "/feed", answer)], Limits()), Limits())
    await server.listen("127.0.0.1", 0, None)
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET /feed HTTP/{version}\r\nHost: a\r\n\r\n".encode())
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            yield reader, writer
            writer.transport.abort()
    finally:
        await server.stop(1.0)


async def chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def test_pieces_come_whole_and_in_order_up_to_the_end() -> None:
    feed = Pieces()
    feed.put(b"one")
    async with followed(feed) as (reader, _):
        assert await chunk(reader) == b"one"
        feed.put(b"two", b"three" * 1000)
        assert [await chunk(reader), await chunk(reader)] == [b"two", b"three" * 1000]
        feed.put(None)
        assert await chunk(reader) == b""
    assert feed.close_count == 1


async def test_a_client_of_an_older_protocol_is_sent_no_chunks() -> None:
    feed = Pieces()
    feed.put(b"one", b"two", None)
    async with followed(feed, "1.0") as (reader, _):
        assert await reader.read() == b"onetwo"


async def test_nothing_is_taken_for_a_client_that_does_not_read_and_nothing_is_lost() -> None:
    feed, piece = Pieces(), b"x" * 65_536
    count = MANY_BYTES // len(piece)
    async with followed(feed) as (reader, writer):
        cast(asyncio.Transport, writer.transport).pause_reading()
        feed.put(*[piece] * count)
        before = -1
        while before < feed.taken_bytes:
            before = feed.taken_bytes
            # As long as there is room, a piece is taken in each turn of the loop or the next.
            for _ in range(10):
                await asyncio.sleep(0)
        assert feed.taken_bytes < MANY_BYTES
        cast(asyncio.Transport, writer.transport).resume_reading()
        feed.put(None)
        for _ in range(count):
            assert await chunk(reader) == piece
        assert await chunk(reader) == b""


async def test_an_error_of_the_feed_ends_the_answer_as_not_whole() -> None:
    feed = Pieces()
    async with followed(feed) as (reader, _):
        feed.put(b"one", ConnectionResetError("the source is gone"))
        assert await chunk(reader) == b"one"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"\r\n")
    assert feed.close_count == 1


async def test_a_feed_is_closed_when_its_client_leaves() -> None:
    feed = Pieces()
    async with followed(feed) as (_, writer):
        writer.transport.abort()
        while not feed.close_count:  # noqa: ASYNC110  what another task will do
            await asyncio.sleep(0)
    feed.put(b"for nobody")
    assert feed.waiting == [b"for nobody"]


async def test_a_task_may_read_a_feed_and_give_up_without_losing_a_piece() -> None:
    feed = Pieces()
    reading = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    feed.put(b"one", None)
    assert [piece async for piece in feed] == [b"one"]
    await feed.aclose()
    assert feed.close_count == 1
