"""The transport over real sockets: what a client learns when a server is not as it should be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.client.httptransport import HttpTransport
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request
from tests.given import a_pod
from tests.scripted import bookmark, line

PATIENCE_S = 60.0

type Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
GET = Request("GET", "/api/v1/pods", (("labelSelector", "app in (a,b)"), ("limit", "5")))


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@asynccontextmanager
async def a_server(talk: Talk) -> AsyncIterator[str]:
    """Serve on a free port of the loopback; talk gets each request's head."""

    talks: dict[asyncio.Task[None], None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks[task] = None
        try:
            while True:
                await talk(await reader.readuntil(b"\r\n\r\n"), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def a_transport(*servers: str) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(servers, None)
    try:
        yield transport
    finally:
        await transport.close()


async def well(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def hangs_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def stops_within(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK[:-1])
    await writer.drain()
    writer.close()


async def says_nothing(_: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_a_request_arrives_as_it_was_meant() -> None:
    heads: list[bytes] = []

    async def note(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    async with a_server(note) as url, a_transport(url) as transport:
        answer = await transport.send(GET, deadline_s=PATIENCE_S)

    assert (answer.status, answer.body) == (200, b"{}")
    # Encoded once, in its order.
    first = heads[0].splitlines()[0]
    assert first in (
        b"GET /api/v1/pods?labelSelector=app+in+(a,b)&limit=5 HTTP/1.1",
        b"GET /api/v1/pods?labelSelector=app%20in%20(a,b)&limit=5 HTTP/1.1",
    )


async def test_a_server_that_is_not_there_got_nothing() -> None:
    async with a_server(well) as url:
        pass
    async with a_transport(url) as transport:
        with pytest.raises(Unreachable):
            await transport.send(GET, deadline_s=PATIENCE_S)
        with pytest.raises(Unreachable):
            await transport.open(GET, deadline_s=PATIENCE_S)


@pytest.mark.parametrize("talk", [hangs_up, stops_within])
async def test_without_a_whole_answer_nobody_knows(talk: Talk) -> None:
    write = Request("POST", "/api/v1/pods", body=b"{}")
    async with a_server(talk) as url, a_transport(url) as transport:
        with pytest.raises(UnknownOutcome):
            await transport.send(write, deadline_s=PATIENCE_S)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
async def test_a_write_is_sent_once_also_where_a_server_hangs_up_later(method: str) -> None:
    heard: list[str] = []

    async def once(head: bytes, writer: asyncio.StreamWriter) -> None:
        heard.append(head.split()[0].decode())
        writer.write(OK) if heard == ["GET"] else writer.close()

    async with a_server(once) as url, a_transport(url) as transport:
        await transport.send(GET, deadline_s=PATIENCE_S)
        with pytest.raises(UnknownOutcome):
            await transport.send(Request(method, "/api/v1/pods"), deadline_s=PATIENCE_S)

    assert heard == ["GET", method]


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async with a_server(says_nothing) as url, a_transport(url) as transport:
        with pytest.raises(UnknownOutcome):
            await transport.send(GET, deadline_s=0.3)


async def test_the_next_server_is_asked_where_one_is_gone() -> None:
    async with a_server(well) as gone:
        pass
    async with a_server(well) as url, a_transport(gone, url) as transport:
        with pytest.raises(Unreachable):
            await transport.send(GET, deadline_s=PATIENCE_S)
        answers = [await transport.send(GET, deadline_s=PATIENCE_S) for _ in range(3)]

    assert [one.status for one in answers] == [200, 200, 200]


async def test_a_client_does_not_notice_that_one_of_two_servers_is_gone() -> None:
    async with a_server(well) as gone:
        pass
    async with a_server(_one_pod) as url, a_transport(gone, url) as transport:
        found = await Client(transport, Env()).get(Pod, "web-0", "default")

    assert found == a_pod("web-0")


async def test_a_server_whose_store_is_away_is_left_for_one_that_serves() -> None:
    async def cannot(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")

    async with (
        a_server(cannot) as useless,
        a_server(_one_pod) as url,
        a_transport(useless, url) as transport,
    ):
        found = await Client(transport, Env()).get(Pod, "web-0", "default")
        again = await transport.open(GET, deadline_s=PATIENCE_S)

    assert found == a_pod("web-0")
    assert again.status == 200


async def _one_pod(_: bytes, writer: asyncio.StreamWriter) -> None:
    body = codec.encode(a_pod("web-0"))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def test_a_watch_comes_as_it_is_sent_and_a_cut_is_told() -> None:
    event = line("ADDED", a_pod("web-0", revision=7))

    async def sends_and_stops(_: bytes, writer: asyncio.StreamWriter) -> None:
        # Cut where it pleases the network: within an event, between two, within the next.
        writer.write(CHUNKED)
        for part in (event[:20], event[20:] + bookmark(9), b'{"type":'):
            writer.write(chunk(part))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()

    told: list[tuple[str, str]] = []
    async with a_server(sends_and_stops) as url, a_transport(url) as transport:
        stream = Client(transport, Env()).watch(Pod, revision="5")

        for _ in range(2):
            change = await anext(stream)
            told.append((change.type, change.revision))
        with pytest.raises(UnknownOutcome):
            await anext(stream)

    assert told == [("ADDED", "7"), ("BOOKMARK", "9")]


async def test_a_watch_that_ends_in_good_order_just_ends() -> None:
    async def sends_and_ends(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(bookmark(9)) + chunk(b""))

    async with a_server(sends_and_ends) as url, a_transport(url) as transport:
        stream = Client(transport, Env()).watch(Pod, revision="5")
        told = [change.revision async for change in stream]

    assert told == ["9"]


async def test_a_stream_that_is_left_lets_its_connection_go() -> None:
    closed = asyncio.Event()

    async def goes_on(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        try:
            while True:
                writer.write(chunk(bookmark(9)))
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            closed.set()

    async with a_server(goes_on) as url, a_transport(url) as transport:
        stream = Client(transport, Env()).watch(Pod, revision="5")
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(60):
            assert await closed.wait()
