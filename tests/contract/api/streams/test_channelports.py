"""Port-forward over channels of a WebSocket, as Python's client libraries ask for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cubernetes.client.wire import channels
from tests.contract.api.streams.test_portforward import BIG, program, url, world
from tests.contract.api.streams.world import DEADLINE_S, ExecWorld, all_told, until

__all__ = ["program", "world"]  # fixtures
NAMED, UNNAMED = (channels.V4,), ()
WAYS = pytest.mark.parametrize("protocols", [NAMED, UNNAMED])


@asynccontextmanager
async def forwarded(
    world: ExecWorld, ports: str, protocols: tuple[str, ...] = NAMED
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    connector = aiohttp.TCPConnector(ssl=world.tls)
    where = f"{url(world)}?ports={ports}"
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        asyncio.timeout(DEADLINE_S),
        http.ws_connect(where, protocols=protocols, max_msg_size=0) as socket,
    ):
        assert socket.protocol == (protocols[0] if protocols else None)
        yield socket


async def told(socket: aiohttp.ClientWebSocketResponse) -> Mapping[int, bytes]:
    """Return what comes on each channel until the server closes."""
    found: dict[int, bytearray] = {}
    async for message in socket:
        found.setdefault(message.data[0], bytearray()).extend(message.data[1:])
    assert socket.close_code == aiohttp.WSCloseCode.OK
    return {channel: bytes(content) for channel, content in found.items()}


async def until_held(socket: aiohttp.ClientWebSocketResponse, channel: int, wanted: bytes) -> None:
    content = b""
    while wanted not in content:
        message = await socket.receive_bytes()
        content += message[1:] if message[0] == channel else b""


@WAYS
async def test_bytes_come_back_and_each_channel_says_its_port_first(
    world: ExecWorld, program: int, protocols: tuple[str, ...]
) -> None:
    port = program.to_bytes(2, "little")
    async with forwarded(world, f"{program},{program}", protocols) as socket:
        assert {await socket.receive_bytes() for _ in range(4)} == {
            bytes((channel,)) + port for channel in range(4)
        }
        back = b""

        async def give() -> None:
            for at in range(0, len(BIG), 65_536):
                await socket.send_bytes(b"\0" + BIG[at : at + 65_536])
            await socket.send_bytes(b"\2second")

        giving = asyncio.create_task(give())
        second = b""
        while len(back) < len(BIG) or second != b"second":
            message = await socket.receive_bytes()
            assert message[0] in (0, 2)
            back, second = (
                (back + message[1:], second) if message[0] == 0 else (back, second + message[1:])
            )
        await giving
        assert back == BIG
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_port_where_nothing_listens_is_told_and_the_others_are_served(
    world: ExecWorld, program: int
) -> None:
    async with forwarded(world, f"1,{program}") as socket:
        await socket.send_bytes(b"\0lost")
        await socket.send_bytes(b"\2x")
        await until_held(socket, 2, b"x")
    async with forwarded(world, "1") as socket:
        found = await told(socket)
    assert found[0] == b"\1\0"
    assert b"failed to connect" in found[1]
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_pod_that_ends_its_side_ends_the_session_after_its_last_byte(
    world: ExecWorld,
) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BIG)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with forwarded(world, str(port)) as socket:
            assert (await told(socket))[0] == port.to_bytes(2, "little") + BIG
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_what_a_client_sent_last_reaches_the_pod(world: ExecWorld) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read(-1))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        async with forwarded(world, str(server.sockets[0].getsockname()[1])) as socket:
            for at in range(0, len(BIG), 65_536):
                await socket.send_bytes(b"\0" + BIG[at : at + 65_536])
        async with asyncio.timeout(DEADLINE_S):
            assert await heard == BIG


async def test_a_channel_that_is_of_no_port_ends_the_session(
    world: ExecWorld, program: int
) -> None:
    async with forwarded(world, str(program)) as socket:
        await socket.send_bytes(b"\2x")
        while not (message := await socket.receive()).type.name.startswith("CLOS"):
            pass
        assert (message.data, "channel 2" in (message.extra or "")) == (1002, True)
    await until(lambda: world.server.backend.sessions.count == 0)


@pytest.mark.parametrize(
    ("ports", "protocols"),
    [("", NAMED), ("0", NAMED), ("80,x", UNNAMED), ("70000", NAMED),
     (",".join(["1"] * 101), NAMED), ("80", ("v4.base64.channel.k8s.io",))],
)  # fmt: skip
async def test_what_cannot_be_forwarded_is_refused_before_the_switch(
    world: ExecWorld, ports: str, protocols: tuple[str, ...]
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with forwarded(world, ports, protocols):
            pass
    assert refused.value.status == 400


async def test_the_audit_tells_the_command_and_the_ports(
    world: ExecWorld, program: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Who ran what, and where: the path alone does not say."""
    caplog.set_level("INFO", logger="apiserver.audit")
    command = ("sh", "-c", "echo 'a b'")
    async with world.dialled([("command", word) for word in command] + [("stdout", "true")]) as one:
        assert (await all_told(one)).code is not None
    async with forwarded(world, f"{program},1"):
        pass
    lines = [one.__dict__["cube_facts"] for one in caplog.records if one.message == "request"]
    ran, passed_on = (
        next(one for one in lines if one["resource"] == f"pods/{name}")
        for name in ("exec", "portforward")
    )
    assert ran["command"] == """sh -c 'echo '"'"'a b'"'"''"""
    assert passed_on["ports"] == f"{program},1"


async def test_clients_that_come_and_go_leave_nothing(world: ExecWorld, program: int) -> None:
    before = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for turn in range(100):
        async with forwarded(world, str(program)) as socket:
            await socket.send_bytes(b"\0abc")
            if turn % 3:
                await until_held(socket, 0, b"abc")
            if turn % 2:
                socket._response.close()
    await until(lambda: world.server.backend.sessions.count == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before[0] + 2)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before[1] + 2)
