"""`pods/portforward` from clients through the API server and the kubelet to a listening program."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from apiserver.settings import Limits
from cubernetes.client.wire import portforward, spdywords
from cubernetes.host.web.spdy.session import Session, Stream
from cubernetes.host.web.upgrade import upgraded_stream
from cubernetes.host.web.websocket.client import Dial, dialled
from tests.contract.api.streams.world import DEADLINE_S, ExecWorld, an_exec_world, until
from tests.contract.api.world import PODS

BIG = bytes(range(256)) * 16_384  # 4 MiB


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path, Limits(exec_sessions_per_user_max=3)) as made:
        yield made


@pytest.fixture
async def program() -> AsyncIterator[int]:
    """A program that gives everything back, and `END` behind it; yields its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
            writer.write(b"END")
            await writer.drain()
        except OSError:
            pass  # the other side has gone
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def url(world: ExecWorld, pod: str = "web-0") -> str:
    return f"https://127.0.0.1:{world.app.port}{PODS}/{pod}/portforward"


@asynccontextmanager
async def running(session: Session) -> AsyncIterator[Session]:
    reading = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield session
    finally:
        await session.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@asynccontextmanager
async def tunnelled(world: ExecWorld) -> AsyncIterator[Session]:
    async with dialled(Dial(url(world), world.tls), (portforward.TUNNEL,)) as socket:

        class Carrier:
            read, write, finish = socket.read, socket.write, socket.finish

            def abort(self) -> None:
                """The context closes it."""

        async with running(Session(Carrier(), is_client=True)) as session:
            yield session


@asynccontextmanager
async def bare(world: ExecWorld) -> AsyncIterator[Session]:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": spdywords.SPDY,
        spdywords.VERSION_HEADER: portforward.PROTOCOL,
    }
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.post(url(world), headers=headers) as answer,
    ):
        assert (answer.status, answer.headers["Upgrade"]) == (101, spdywords.SPDY)
        assert answer.headers[spdywords.VERSION_HEADER] == portforward.PROTOCOL
        stream = upgraded_stream(answer)
        try:
            async with running(Session(stream, is_client=True)) as session:
                yield session
        finally:
            stream.abort()


type Way = Callable[[ExecWorld], AbstractAsyncContextManager[Session]]
WAYS = pytest.mark.parametrize("way", [tunnelled, bare])


async def opened(session: Session, port: int, request: int) -> tuple[Stream, Stream]:
    error = await session.open(portforward.stream_headers("error", port, request), is_last=True)
    return error, await session.open(portforward.stream_headers("data", port, request))


async def all_of(stream: Stream) -> bytes:
    pieces = []
    while (piece := await stream.read()) is not None:
        pieces.append(piece)
    return b"".join(pieces)


async def given_back(session: Session, port: int, request: int, text: bytes) -> bytes:
    """Send a text over a connection of its own, and return what comes back."""
    error, data = await opened(session, port, request)

    async def give() -> None:
        await data.write(text)
        await data.finish()

    giving = asyncio.create_task(give())
    back = await all_of(data)
    await giving
    assert await all_of(error) == b""
    return back


@WAYS
async def test_bytes_go_in_and_come_back_over_many_connections_at_once(
    world: ExecWorld, program: int, way: Way
) -> None:
    async with way(world) as session:
        texts = [BIG, b"", *(str(one).encode() * 1000 for one in range(18))]
        backs = await asyncio.gather(
            *(given_back(session, program, at, text) for at, text in enumerate(texts))
        )
        assert [back == text + b"END" for back, text in zip(backs, texts, strict=True)] == [
            True
        ] * len(texts)
        assert session.stream_count == 0
    await until(lambda: world.server.backend.sessions.count == 0)


@WAYS
async def test_a_port_where_nothing_listens_is_told_and_the_next_is_served(
    world: ExecWorld, program: int, way: Way
) -> None:
    async with way(world) as session:
        error, data = await opened(session, 1, 0)
        assert b"failed to connect" in await all_of(error)
        assert await all_of(data) == b""
        assert await given_back(session, program, 1, b"x") == b"xEND"


async def test_a_stream_without_a_port_is_told(world: ExecWorld) -> None:
    async with tunnelled(world) as session:
        words = {"requestid": "0", "port": "70000"}
        error = await session.open({**words, "streamtype": "error"}, is_last=True)
        await session.open({**words, "streamtype": "data"})
        assert b"must be a number from 1 to 65535" in await all_of(error)


async def test_clients_that_come_and_go_leave_nothing(world: ExecWorld, program: int) -> None:
    """Sessions that end well, and those that are cut while bytes flow."""
    before = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for turn in range(100):
        way = bare if turn % 2 else tunnelled
        async with way(world) as session:
            if turn % 3:
                assert await given_back(session, program, 0, b"x") == b"xEND"
            else:
                _, data = await opened(session, program, 0)
                await data.write(b"cut" * 1000)
    await until(lambda: world.server.backend.sessions.count == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before[0] + 2)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before[1] + 2)


async def refusal(world: ExecWorld, tls: ssl.SSLContext, **headers: str) -> tuple[int, str]:
    connector = aiohttp.TCPConnector(ssl=tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url(world), headers=headers) as answer,
    ):
        return answer.status, (await answer.json())["message"]


async def test_what_cannot_be_served_is_refused_by_name(world: ExecWorld) -> None:
    code, message = await refusal(world, world.tls)
    assert (code, "SPDY/3.1" in message) == (400, True)
    code, message = await refusal(world, world.tls, Connection="Upgrade", Upgrade="SPDY/3.1")
    assert (code, portforward.PROTOCOL in message) == (400, True)
    code, message = await refusal(world, world.tls, Origin="https://evil.example")
    assert (code, "Origin" in message) == (403, True)


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        return (await process.stdout.readline()).decode()


async def asked_through(process: asyncio.subprocess.Process, remote: int) -> None:
    """Ask through a command line that forwards a port of its own choice, twice."""
    line = await line_of(process)
    assert line.startswith("Forwarding from 127.0.0.1:"), line
    assert line.endswith(f" -> {remote}\n")
    local = int(line.split(":")[1].split()[0])
    for _ in range(2):
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(BIG)
            writer.write_eof()
            assert await reader.read(-1) == BIG + b"END"
            writer.close()


async def test_cubectl_forwards_until_it_is_interrupted(world: ExecWorld, program: int) -> None:
    process = await world.cluster.start(f"port-forward pod/web-0 :{program}")
    await asked_through(process, program)
    said = await world.cluster.interrupted(process)
    assert (said.code, said.err) == (0, "")
    assert said.out.count("Handling connection for ") == 2
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_cubectl_that_is_interrupted_ends_open_connections_without_a_word(
    world: ExecWorld, program: int
) -> None:
    process = await world.cluster.start(f"port-forward pod/web-0 :{program}")
    local = int((await line_of(process)).split(":")[1].split()[0])
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        said = await world.cluster.interrupted(process)
        assert (said.code, said.err) == (0, "")
        assert await reader.read() == b""
        writer.close()
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_cubectl_tells_that_a_connection_was_refused_and_that_the_pod_was_lost(
    world: ExecWorld,
) -> None:
    process = await world.cluster.start("port-forward web-0 :1")
    local = int((await line_of(process)).split(":")[1].split()[0])
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        assert await reader.read() == b""
        writer.close()
        world.server.backend.sessions.close()
        _, err = await process.communicate()
    assert process.returncode == 1
    assert f"an error occurred forwarding {local} -> 1: failed to connect".encode() in err
    assert b"lost connection to pod" in err


async def test_cubectl_says_what_it_cannot_forward(world: ExecWorld) -> None:
    for line, code, named in (
        ("port-forward web-9 80", 1, "web-9"),
        ("port-forward web-0", 2, "cubectl port-forward web-0 8080:80"),
        ("port-forward web-0 x:80", 2, "a port must be a number"),
        ("port-forward web-0 http", 1, "does not have a port named 'http'"),
        ("port-forward ns/default 80", 2, "it has no selector"),
    ):
        said = await world.cluster.cubectl(line)
        assert (said.code, named in said.err) == (code, True), said


async def test_the_stock_kubectl_forwards(world: ExecWorld, program: int) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine")
    process = await asyncio.create_subprocess_exec(
        kubectl,
        "port-forward",
        "web-0",
        f":{program}",
        env={"HOME": str(world.folder), "KUBECONFIG": str(world.folder / "admin")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await asked_through(process, program)
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.communicate()
    await until(lambda: world.server.backend.sessions.count == 0)
