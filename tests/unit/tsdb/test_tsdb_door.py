"""The door over real sockets: order, deadlines, limits, clients that go or are slow."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from tsdb.errors import BadData, LimitExceeded
from tsdb.faults import Faults
from tsdb.serve import answers
from tsdb.serve.app import server_of
from tsdb.wire.unpack import unpacked

BODY_BYTES_MAX = 1000
# Short for those who dawdle, and long for a busy machine.
DEADLINE_S = 1.0
LARGE = 20 * 2**20


class World:
    """A server whose handlers a test can hold back, and what became of them."""

    def __init__(self, take_deadline_s: float = DEADLINE_S) -> None:
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.faults = Faults()
        routes: list[Route] = [
            ("GET", "/now/{name}/x", self.now),
            ("GET", "/later", self.later),
            ("GET", "/large", self.large),
            ("GET", "/bug", self.bug),
            ("GET", "/both", self.now),
            ("POST", "/both", self.now),
        ]
        limits = Limits(
            body_bytes_max=BODY_BYTES_MAX,
            take_deadline_s=take_deadline_s,
            body_deadline_s=DEADLINE_S,
            head_deadline_s=DEADLINE_S,
        )
        self.door = server_of(routes, self.faults, limits)

    async def now(self, request: Request) -> Response:
        self.begun.append(request.path)
        return answers.response_of([request.path.encode(), b" ", request.body])

    async def later(self, request: Request) -> Response:
        ((name, _),) = request.query
        self.begun.append(name)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return answers.response_of([name.encode()])

    async def large(self, _request: Request) -> Response:
        return answers.response_of([b"x" * 2**16] * (LARGE // 2**16))

    async def bug(self, _request: Request) -> Response:
        raise ZeroDivisionError

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.door.port)

    async def answer(self, sent: bytes) -> bytes:
        """Return everything that a connection says to some bytes until it ends."""
        reader, writer = await self.connect()
        writer.write(sent)
        async with asyncio.timeout(60):
            said = await reader.read()
        writer.close()
        return said


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    await found.door.listen("127.0.0.1", 0, None)
    yield found
    await found.door.stop(0.01)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


LAST = b"Connection: close\r\n\r\n"


async def test_requests_sent_at_once_are_answered_in_their_order(world: World) -> None:
    asking = asyncio.create_task(
        world.answer(
            b"GET /now/1/x HTTP/1.1\r\nHost: a\r\n\r\nGET /later?2 HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
            b"GET /now/4/x HTTP/1.1\r\nHost: a\r\n" + LAST
        )
    )
    await until(lambda: len(world.begun) == 2)
    world.gate.set()
    said = await asking

    bodies = [part.partition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/now/1/x ", b"2", b"/both hi", b"/now/4/x "]


async def test_a_head_is_answered_without_its_body(world: World) -> None:
    said = await world.answer(b"HEAD /both HTTP/1.1\r\nHost: a\r\n" + LAST)

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
    said = await world.answer(asked + b" HTTP/1.1\r\nHost: a\r\n" + LAST)

    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert allowed in said
    assert b'{"status":"error","errorType":"' in said


async def test_a_body_over_the_limit_is_refused_before_it_has_come(world: World) -> None:
    said = await world.answer(
        b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + bytes(500)
    )

    assert said.startswith(b"HTTP/1.1 422 ")
    assert b"request_bytes" in said
    assert world.begun == []


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET /both HTTP/1.1\r\nHost: a\r\nHost\r\n\r\n",
        b"POST /both HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    ],
)
async def test_what_could_be_read_in_two_ways_or_in_none_is_refused(
    world: World, sent: bytes
) -> None:
    said = await world.answer(sent)

    assert b" 400 " in said[:20]
    assert b'"errorType":"bad_data"' in said
    assert world.begun == []


async def test_who_expects_it_is_told_to_continue(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(
        b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    async with asyncio.timeout(60):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_work_ends_when_its_client_goes(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"GET /later?1 HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: world.begun == ["1"])

    writer.close()

    await until(lambda: world.cancelled == ["1"])


async def test_a_body_that_does_not_come_in_time_is_told(world: World) -> None:
    said = await world.answer(b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh")

    assert b"the body did not come in time" in said
    assert world.begun == []


async def test_a_letter_now_and_then_does_not_put_the_deadline_of_a_head_off(world: World) -> None:
    reader, writer = await world.connect()

    async def drip() -> None:
        writer.write(b"GET /both HTTP/1.1\r\n")
        while True:
            writer.write(b"a: b\r\n")
            await asyncio.sleep(DEADLINE_S / 5)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()


async def test_a_large_answer_is_whole() -> None:
    patient = World(take_deadline_s=60)
    await patient.door.listen("127.0.0.1", 0, None)
    said = await patient.answer(b"GET /large HTTP/1.1\r\nHost: a\r\n" + LAST)
    await patient.door.stop(0.01)

    assert len(said.partition(b"\r\n\r\n")[2]) == LARGE


async def test_a_client_that_does_not_take_its_answer_is_cut_off(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(3 * DEADLINE_S)

    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            assert len(await reader.read()) < LARGE
    writer.close()


async def test_stopping_lets_work_finish_and_then_cuts_off(world: World) -> None:
    idle, idle_writer = await world.connect()
    quick, quick_writer = await world.connect()
    quick_writer.write(b"GET /later?quick HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: world.begun == ["quick"])
    stopping = asyncio.create_task(world.door.stop(10))
    async with asyncio.timeout(60):
        assert await idle.read() == b""
        world.gate.set()
        assert (await quick.read()).endswith(b"\r\n\r\nquick")
        await stopping
    for writer in (idle_writer, quick_writer):
        writer.close()


async def test_the_url_of_a_proxy_s_request_loses_its_authority(world: World) -> None:
    said = await world.answer(b"GET http://h:1/both?c HTTP/1.1\r\nHost: h\r\n" + LAST)

    assert said.endswith(b"/both ")


def test_a_packed_body_is_unpacked_within_the_limit() -> None:
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(b"hello"),
        "deflate": zlib.compress(b"hello"),
        "Deflate": bare.compress(b"hello") + bare.flush(),
        "snappy": b"hello",
        "": b"hello",
    }
    assert {unpacked(body, coding, 99) for coding, body in packed.items()} == {b"hello"}
    with pytest.raises(LimitExceeded):
        unpacked(gzip.compress(bytes(100)), "gzip", 99)
    for damaged in (b"no gzip", gzip.compress(b"hello")[:-9], gzip.compress(b"hello") + b"!"):
        with pytest.raises(BadData):
            unpacked(damaged, "gzip", 99)
