"""Nobody holds a connection by doing nothing: heads, answers, and how many there may be."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import RoutedSite

# Short for those who dawdle, and long for a busy machine.
DEADLINE_S = 1.0
BODY = b"x" * 60_000
ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def answer(_: Request) -> Response:
    return Response(200, BODY)


def a_server(limits: Limits) -> HttpServer:
    return HttpServer(RoutedSite([("GET", "/", answer)], limits), limits)


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    found = a_server(
        Limits(
            head_deadline_s=DEADLINE_S,
            take_deadline_s=DEADLINE_S,
            connections_max=2,
        )
    )
    await found.listen("127.0.0.1", 0, None)
    yield found
    await found.stop(0.1)


async def connect(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the server has ended the connection."""
    async with asyncio.timeout(60):
        try:
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            return True
    return True


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  it comes by itself, or not at all
            await asyncio.sleep(0.01)


async def test_who_asks_and_never_reads_is_let_go(server: HttpServer) -> None:
    """Also where every answer is small: they wait behind one another."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", server.port))
        # More than the system's own buffers take.
        await loop.sock_sendall(deaf, ASK * 300)
        await until(lambda: bool(server.connections))
        await until(lambda: not server.connections)


async def test_who_reads_slowly_gets_all_of_it(server: HttpServer) -> None:
    reader, writer = await connect(server)
    writer.write(ASK * 20)
    taken = 0
    async with asyncio.timeout(60):
        while taken < 20 * len(BODY):
            taken += len(await reader.read(100_000))
            await asyncio.sleep(DEADLINE_S / 30)
    assert taken > 20 * len(BODY)
    assert len(server.connections) == 1
    writer.close()


async def test_who_never_finishes_a_head_is_let_go(server: HttpServer) -> None:
    reader, writer = await connect(server)
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await ended(reader)
    writer.close()


async def test_over_the_limit_nobody_is_kept(server: HttpServer) -> None:
    kept = [await connect(server) for _ in range(2)]
    for reader, writer in kept:
        writer.write(ASK)
        assert await reader.readuntil(b"\r\n\r\n")
    reader, writer = await connect(server)

    assert await ended(reader)
    for _, one in (*kept, (reader, writer)):
        one.close()


async def test_silent_connections_of_one_address_push_each_other_out() -> None:
    """A thousand that say nothing: the server keeps a few, and who asks is answered."""
    found = a_server(
        Limits(
            head_deadline_s=60,
            take_deadline_s=60,
            connections_max=50,
            unknown_max=10,
        )
    )
    await found.listen("127.0.0.1", 0, None)
    silent = [await connect(found) for _ in range(200)]
    await until(lambda: found.unknown_count == 10)
    assert await ended(silent[0][0])
    reader, writer = await connect(found)
    writer.write(ASK)
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert found.connection_count <= 11
    await found.stop(0.1)
    for _, one in (*silent, (reader, writer)):
        one.close()


async def test_a_connection_that_ends_gives_its_place_back(server: HttpServer) -> None:
    for _ in range(5):
        reader, writer = await connect(server)
        writer.write(ASK)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await until(lambda: server.connection_count == 0)


async def test_an_address_that_is_taken_is_told(server: HttpServer) -> None:
    other = a_server(Limits())
    with pytest.raises(OSError, match=r"127\.0\.0\.1 port [0-9]+: address already in use"):
        await other.listen("127.0.0.1", server.port, None)
