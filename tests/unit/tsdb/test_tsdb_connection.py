"""A server and its connections over real sockets: order, deadlines, clients that go or are slow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import unused_port

from tsdb.serve import connection
from tsdb.serve.app import App, told
from tsdb.serve.connection import DEADLINE_S, LINGER_S, Server
from tsdb.serve.wire import Answer, Phase, Request

BODY_BYTES_MAX = 1000
LARGE = 20 * 2**20


class HandClock:
    """A clock that a test moves; to sleep is to let others run for a moment."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, _span_s: float) -> None:
        await asyncio.sleep(0.001)


class World:
    """A server whose handlers a test can hold back, and what became of them."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.port = unused_port()
        app = App(
            [
                ("GET", "/now/{name}/x", self.now),
                ("GET", "/later", self.later),
                ("GET", "/large", self.large),
                ("GET", "/bug", self.bug),
                ("GET", "/both", self.now),
                ("POST", "/both", self.now),
            ]
        )
        self.server = Server(
            app.answer, told, self.clock, body_bytes_max=BODY_BYTES_MAX, send_deadline_s=0.2
        )

    async def now(self, request: Request) -> Answer:
        self.begun.append(request.path)
        return Answer(pieces=[request.path.encode(), b" ", request.body])

    async def later(self, request: Request) -> Answer:
        self.begun.append(request.query)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.query)
            raise
        return Answer(pieces=[request.query.encode()])

    async def large(self, _request: Request) -> Answer:
        return Answer(pieces=[b"x" * 2**16] * (LARGE // 2**16))

    async def bug(self, _request: Request) -> Answer:
        raise ZeroDivisionError

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def answer(self, sent: bytes) -> bytes:
        """Return everything that a connection says to some bytes until it ends."""
        reader, writer = await self.connect()
        writer.write(sent)
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        return said


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    await found.server.start("127.0.0.1", found.port, None)
    sweep = asyncio.create_task(found.server.run())
    yield found
    await found.server.stop(0.01)
    sweep.cancel()
    await asyncio.wait([sweep])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


LAST = b"Connection: close\r\n\r\n"


async def test_requests_sent_at_once_are_answered_in_their_order(world: World) -> None:
    asking = asyncio.create_task(
        world.answer(
            b"GET /now/1/x HTTP/1.1\r\n\r\nGET /later?2 HTTP/1.1\r\n\r\n"
            b"POST /both HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /now/4/x HTTP/1.1\r\n" + LAST
        )
    )
    await until(lambda: len(world.begun) == 2)
    world.gate.set()
    said = await asking

    bodies = [part.partition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/now/1/x ", b"2", b"/both hi", b"/now/4/x "]


async def test_a_head_is_answered_without_its_body(world: World) -> None:
    said = await world.answer(b"HEAD /both HTTP/1.1\r\n" + LAST)

    assert b"Content-Length: 6\r\n" in said
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("asked", "status", "allowed"),
    [
        (b"GET /nothing", 404, b""),
        (b"GET /now/x", 404, b""),
        (b"OPTIONS /both", 405, b"Allow: GET,HEAD,POST\r\n"),
        (b"POST /later", 405, b"Allow: GET,HEAD\r\n"),
        (b"GET /bug", 500, b""),
    ],
)
async def test_what_cannot_be_answered_is_told_as_json(
    world: World, asked: bytes, status: int, allowed: bytes
) -> None:
    said = await world.answer(asked + b" HTTP/1.1\r\n" + LAST)

    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert allowed in said
    assert b'{"status":"error","errorType":"' in said


async def test_what_is_no_request_is_refused_and_the_connection_ends(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"POST /both HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + bytes(5000))
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    world.clock.at_s += LINGER_S + 1
    async with asyncio.timeout(10):
        body = await reader.read()
    writer.close()

    assert head.startswith(b"HTTP/1.1 422 ")
    assert b"Connection: close" in head
    assert b"request_bytes" in body
    assert world.begun == []


async def test_who_expects_it_is_told_to_continue(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"POST /both HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_work_ends_when_its_client_goes(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"GET /later?1 HTTP/1.1\r\n\r\n")
    await until(lambda: world.begun == ["1"])

    writer.close()

    await until(lambda: world.cancelled == ["1"])
    await until(lambda: not world.server.connections)


@pytest.mark.parametrize(
    ("sent", "phase"),
    [
        (b"", Phase.NOTHING),
        (b"GET /both HT", Phase.HEAD),
        (b"POST /both HTTP/1.1\r\nContent-Length: 2\r\n\r\nh", Phase.BODY),
    ],
)
async def test_a_request_that_does_not_come_in_time_is_not_waited_for(
    world: World, sent: bytes, phase: Phase
) -> None:
    reader, writer = await world.connect()
    await until(lambda: world.server.connections)
    (mine,) = world.server.connections
    writer.write(sent)
    await until(lambda: mine.deadline_s == DEADLINE_S[phase])

    world.clock.at_s = DEADLINE_S[phase] + 1

    async with asyncio.timeout(10):
        if phase is Phase.BODY:
            assert b"the body did not arrive within 60 s" in await reader.readuntil(b"}")
            world.clock.at_s += LINGER_S + 1
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    assert world.begun == []


async def test_a_letter_now_and_then_does_not_put_the_deadline_off(world: World) -> None:
    _, writer = await world.connect()
    await until(lambda: world.server.connections)
    (mine,) = world.server.connections
    writer.write(b"G")
    await until(lambda: mine.deadline_s == DEADLINE_S[Phase.HEAD])
    world.clock.at_s = 5.0
    writer.write(b"ET /")
    await asyncio.sleep(0.05)

    assert mine.deadline_s == DEADLINE_S[Phase.HEAD]
    writer.close()


async def test_a_large_answer_goes_out_as_fast_as_it_is_taken(world: World) -> None:
    said = await world.answer(b"GET /large HTTP/1.1\r\n" + LAST)

    assert len(said.partition(b"\r\n\r\n")[2]) == LARGE


async def test_a_client_that_does_not_take_its_answer_is_cut_off(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"GET /large HTTP/1.1\r\n\r\n")
    await until(lambda: world.server.connections)

    await until(lambda: not world.server.connections)
    writer.close()


async def test_a_client_that_sends_and_never_reads_is_not_read_from_for_ever(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"GET /later?0 HTTP/1.1\r\n\r\n")
    await until(lambda: world.begun == ["0"])
    (mine,) = world.server.connections
    one = b"GET /later?1 HTTP/1.1\r\n\r\n"
    for _ in range(1000):
        writer.write(one * 1000)
    await asyncio.sleep(0.1)
    assert mine.waiting_bytes < 2 * connection.PIPELINED_BYTES_MAX + 2**18

    world.gate.set()
    async with asyncio.timeout(10):
        for _ in range(3000):
            assert await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(1)) == 1
    writer.close()


async def test_stopping_lets_work_finish_and_then_cuts_off(world: World) -> None:
    idle, idle_writer = await world.connect()
    quick, quick_writer = await world.connect()
    slow, slow_writer = await world.connect()
    quick_writer.write(b"GET /later?quick HTTP/1.1\r\n\r\n")
    await until(lambda: world.begun == ["quick"])
    stopping = asyncio.create_task(world.server.stop(10))
    async with asyncio.timeout(10):
        assert await idle.read() == b""
        world.gate.set()
        assert (await quick.read()).endswith(b"Connection: close\r\n\r\nquick")
        assert await slow.read() == b""
        await stopping
    for writer in (idle_writer, quick_writer, slow_writer):
        writer.close()
