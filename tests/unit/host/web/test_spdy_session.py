"""A connection of SPDY/3.1 between its two ends: streams, their ends, and who does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.spdy import frames
from cubernetes.host.web.spdy.frames import Malformed, SynStream, Writer
from cubernetes.host.web.spdy.session import STREAMS_MAX, UNREAD_BYTES_MAX, Session, Stream

DEADLINE_S = 30.0
PIECES_MAX = 4


class Pipe:
    """One end of two queues."""

    def __init__(
        self, come: "asyncio.Queue[bytes | None]", gone: "asyncio.Queue[bytes | None]"
    ) -> None:
        self._come, self._gone = come, gone

    async def read(self) -> bytes | None:
        return await self._come.get()

    async def write(self, piece: bytes) -> None:
        await self._gone.put(piece)

    async def finish(self) -> None:
        await self._gone.put(None)

    def abort(self) -> None:
        """Nothing holds it."""


@dataclass
class Both:
    client: Session
    server: Session
    came: "asyncio.Queue[Stream]"
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)


@asynccontextmanager
async def connected() -> AsyncIterator[Both]:
    there: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_MAX)
    back: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_MAX)
    came: asyncio.Queue[Stream] = asyncio.Queue()
    client = Session(Pipe(back, there), is_client=True)
    server = Session(Pipe(there, back), is_client=False, came=came.put_nowait)
    both = Both(client, server, came)
    both.tasks = [asyncio.create_task(one.run()) for one in (client, server)]
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield both
    finally:
        for task in both.tasks:
            task.cancel()
        await asyncio.gather(*both.tasks, return_exceptions=True)


async def all_of(stream: Stream) -> bytes:
    text = b""
    while (piece := await stream.read()) is not None:
        text += piece
    return text


async def test_bytes_go_both_ways_and_each_direction_ends_by_itself() -> None:
    async with connected() as both:
        near = await both.client.open({"streamtype": "data"})
        far = await both.came.get()
        assert far.headers == {"streamtype": "data"}
        await near.write(b"question" * 10_000)
        await near.finish()
        assert await all_of(far) == b"question" * 10_000
        await far.write(b"answer")
        await far.finish()
        assert await all_of(near) == b"answer"
        assert (both.client.stream_count, both.server.stream_count) == (0, 0)


async def test_streams_do_not_mix() -> None:
    async with connected() as both:
        nears = [await both.client.open({"port": str(port)}) for port in range(20)]
        fars = [await both.came.get() for _ in nears]
        for near in nears:
            await near.write(near.headers["port"].encode())
            await near.finish()
        for far in fars:
            assert await all_of(far) == far.headers["port"].encode()


async def test_an_aborted_stream_breaks_at_the_other_side_and_others_go_on() -> None:
    async with connected() as both:
        one, other = await both.client.open({}), await both.client.open({})
        far, far_other = await both.came.get(), await both.came.get()
        one.abort()
        with pytest.raises(Broken):
            await far.read()
        with pytest.raises(Broken):
            await far.write(b"x")
        await other.write(b"still")
        await other.finish()
        assert await all_of(far_other) == b"still"
        await far_other.finish()
        assert await all_of(other) == b""
        assert (both.client.stream_count, both.server.stream_count) == (0, 0)


async def test_a_stream_that_nobody_reads_holds_no_more_than_its_limit() -> None:
    async with connected() as both:
        near = await both.client.open({})
        far = await both.came.get()
        given = 0

        async def give() -> None:
            nonlocal given
            while True:
                await near.write(b"x" * 32_768)
                given += 32_768

        giving = asyncio.create_task(give())
        for _ in range(2_000):  # turns of the loop: far more than it takes to fill
            await asyncio.sleep(0)
        held = given
        assert UNREAD_BYTES_MAX <= held <= UNREAD_BYTES_MAX + (2 * PIECES_MAX + 4) * 32_768
        while given <= 2 * held:  # it goes on as soon as it is read
            assert await far.read()
        giving.cancel()


async def test_the_end_of_the_connection_ends_all_streams() -> None:
    async with connected() as both:
        near = await both.client.open({})
        far = await both.came.get()
        await both.client.close()
        await both.tasks[1]
        with pytest.raises(Broken):
            await far.read()
        with pytest.raises(Broken):
            await far.write(b"x")
        near.abort()
        assert both.server.stream_count == 0


async def test_one_stream_too_many_is_refused() -> None:
    async with connected() as both:
        streams = [await both.client.open({}) for _ in range(STREAMS_MAX)]
        with pytest.raises(Broken, match="the most allowed"):
            await both.client.open({})
        for stream in streams:
            stream.abort()


async def test_a_client_opens_no_streams_of_its_own_servers_numbers() -> None:
    there: asyncio.Queue[bytes | None] = asyncio.Queue()
    server = Session(Pipe(there, asyncio.Queue()), is_client=False, came=lambda _: None)
    writer = Writer()
    for number in (3, 3):
        there.put_nowait(writer.bytes_of(SynStream(number)))
    with pytest.raises(Malformed, match="stream 3"):
        await server.run()


async def test_a_ping_is_answered_and_an_answer_is_not() -> None:
    there: asyncio.Queue[bytes | None] = asyncio.Queue()
    back: asyncio.Queue[bytes | None] = asyncio.Queue()
    server = Session(Pipe(there, back), is_client=False)
    writer = Writer()
    for number in (1, 2):
        there.put_nowait(writer.bytes_of(frames.Ping(number)))
    there.put_nowait(None)
    await server.run()
    answer = back.get_nowait()
    assert answer == Writer().bytes_of(frames.Ping(1))
    assert back.empty()
