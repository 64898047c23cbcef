"""`pods/exec` from a client through the API server and the kubelet to a fake runtime, over TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from apiserver.settings import Limits
from cubernetes.client.wire import channels
from cubernetes.client.wire.channels import V4, V5, Channel, Size
from cubernetes.client.wire.exitcodes import exit_code_in
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.websocket.client import HandshakeRefused
from tests.contract.api.streams.world import (
    DEADLINE_S,
    ExecWorld,
    all_told,
    an_exec_world,
    asking,
    until,
)
from tests.contract.api.world import a_pod, a_service
from tests.contract.runtime.worlds import CAT, EXIT_3, SLEEP, SPEAK

IN_OUT = ("stdin", "stdout", "stderr")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path, Limits(exec_sessions_per_user_max=3)) as made:
        yield made


def stdin(text: bytes) -> bytes:
    return channels.message_of(Channel.STDIN, text)


async def refusal(
    world: ExecWorld, method: str, query: list[tuple[str, str]], **headers: str
) -> tuple[int, str]:
    """Return the code and the message of a refusal."""
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, world.url(query), headers=headers) as answer,
    ):
        tree = await answer.json()
        assert tree["kind"] == "Status"
        return answer.status, tree["message"]


async def test_a_command_is_run_and_its_streams_stay_apart(world: ExecWorld) -> None:
    async with world.dialled(asking(SPEAK)) as socket:
        told = await all_told(socket)
    assert (told.out, told.err, told.code) == (b"out\n", b"err\n", 0)
    assert told.status is not None
    assert told.status.status == "Success"
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_nothing_is_closed_before_the_client_has_read_all_of_it(world: ExecWorld) -> None:
    """A pager that is left alone for a while loses nothing."""
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        asyncio.timeout(DEADLINE_S),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(
            world.url(asking(SPEAK)), protocols=channels.PROTOCOLS, autoping=False, autoclose=False
        ) as socket,
    ):
        seen: list[tuple[aiohttp.WSMsgType, bytes]] = []

        async def next_of(kind: aiohttp.WSMsgType, *, is_empty: bool) -> bytes:
            while True:
                message = await socket.receive()
                content = bytes(message.data or b"") if isinstance(message.data, bytes) else b""
                seen.append((message.type, content))
                assert message.type is not aiohttp.WSMsgType.CLOSE
                if message.type is kind and (not content) == is_empty:
                    return content

        ping = aiohttp.WSMsgType.PING
        mark = await next_of(ping, is_empty=False)
        for _ in range(2):  # it shows that it is there, and does not close
            await next_of(ping, is_empty=True)
        written = [content for kind, content in seen if kind is aiohttp.WSMsgType.BINARY]
        assert {channels.frame_of(one).channel for one in written} == {
            Channel.STDOUT,
            Channel.STDERR,
        }
        await socket.pong(mark)
        # Nothing but the close is behind the end: a client may leave at it.
        end = await next_of(aiohttp.WSMsgType.BINARY, is_empty=False)
        assert channels.frame_of(end).channel is Channel.ERROR
        while (message := await socket.receive()).type is ping and not message.data:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(("command", "code"), [(EXIT_3, 3), (("no-such",), 127)])
async def test_an_exit_code_comes_as_kubernetes_tells_it(
    world: ExecWorld, command: tuple[str, ...], code: int
) -> None:
    async with world.dialled(asking(command)) as socket:
        told = await all_told(socket)
    assert told.code == code
    assert told.status is not None
    assert told.status.details is not None
    cause = told.status.details.causes[0]
    assert (told.status.reason, cause.reason, cause.message) == (
        "NonZeroExitCode",
        "ExitCode",
        str(code),
    )


async def test_the_end_of_stdin_is_a_message_and_output_still_comes(world: ExecWorld) -> None:
    async with world.dialled(asking(CAT, *IN_OUT)) as socket:
        await socket.write(stdin(b"one"))
        await socket.write(stdin(b"two"))
        await socket.write(channels.closing(Channel.STDIN))
        told = await all_told(socket)
    assert (told.out, told.code) == (b"onetwo", 0)


async def test_twenty_megabytes_go_in_and_come_back(world: ExecWorld) -> None:
    piece, count = b"x" * 65536, 320
    async with world.dialled(asking(CAT, *IN_OUT)) as socket:

        async def give() -> None:
            for _ in range(count):
                await socket.write(stdin(piece))
            await socket.write(channels.closing(Channel.STDIN))

        giving = asyncio.create_task(give())
        told = await all_told(socket)
        await giving
    assert len(told.out) == count * len(piece)
    assert told.code == 0


async def test_who_does_not_read_can_send_only_what_the_kernels_buffers_hold(
    world: ExecWorld,
) -> None:
    """Each of the connections has some megabytes; beyond them everybody waits."""
    piece, count, given = b"x" * 65536, 4000, 0
    async with world.dialled(asking(CAT, *IN_OUT)) as socket:

        async def give() -> None:
            nonlocal given
            for _ in range(count):
                await socket.write(stdin(piece))
                given += 1

        giving = asyncio.create_task(give())
        seen = -1
        while given != seen:
            seen = given
            await asyncio.sleep(1)
        assert given < count
        giving.cancel()


async def test_v4_is_spoken_too_without_a_way_to_end_stdin(world: ExecWorld) -> None:
    async with world.dialled(asking(CAT, *IN_OUT), [V4]) as socket:
        await socket.write(stdin(b"one"))
        message = await socket.read()
        assert message == channels.message_of(Channel.STDOUT, b"one")
        await socket.write(channels.closing(Channel.STDIN))
        told = await all_told(socket)
    # A message of v5 is none of v4: the session ends, and the command with it.
    assert told.status is None
    await until(lambda: world.running_count == 0)


async def received(socket: aiohttp.ClientWebSocketResponse) -> tuple[aiohttp.WSMsgType, bytes]:
    async with asyncio.timeout(DEADLINE_S):
        message = await socket.receive()
    return message.type, bytes(message.data) if isinstance(message.data, bytes) else b""


@pytest.mark.parametrize("flags", [("stdout", "stderr"), ("stdin", "stdout", "tty")])
async def test_nothing_is_sent_before_the_client_has_shown_that_it_reads(
    world: ExecWorld, flags: tuple[str, ...]
) -> None:
    """kubectl 1.32 drops what comes before its streams are made, and then ends with 0."""
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(
            world.url(asking(EXIT_3, *flags)), protocols=channels.PROTOCOLS, autoping=False
        ) as socket,
    ):
        # The first one asks; the next shows that nothing else was sent for as long.
        for _ in range(2):
            assert await received(socket) == (aiohttp.WSMsgType.PING, b"")
        await socket.pong()
        if "tty" in flags:
            await socket.send_bytes(channels.size_message(Size(80, 24)))
        while (message := await received(socket))[0] is aiohttp.WSMsgType.PING:
            await socket.pong(message[1])
        assert channels.frame_of(message[1]).channel is Channel.ERROR


async def test_a_client_that_shows_nothing_is_told_all_the_same(world: ExecWorld) -> None:
    """Others than kubectl need not send the size of a terminal."""
    async with world.dialled(asking(EXIT_3, "stdin", "stdout", "tty")) as socket:
        assert (await all_told(socket)).code == 3


async def test_a_client_that_answers_no_ping_is_told_how_its_command_ended(
    world: ExecWorld,
) -> None:
    """It is told well before its session is given up, and behind what the command has written."""
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(
            world.url(asking(SPEAK, "stdout", "stderr")),
            protocols=channels.PROTOCOLS,
            autoping=False,
        ) as socket,
    ):
        frames: list[channels.Frame] = []
        while not frames or frames[-1].channel is not Channel.ERROR:
            kind, content = await received(socket)
            if kind is aiohttp.WSMsgType.BINARY:
                frames.append(channels.frame_of(content))
        assert {one.channel for one in frames[:-1]} == {Channel.STDOUT, Channel.STDERR}
        assert exit_code_in(frames[-1].content) == 0


async def test_a_command_that_cannot_start_is_told_on_the_stream_of_errors(
    world: ExecWorld,
) -> None:
    world.machine.exec_error = "no more processes"
    async with world.dialled(asking(CAT, *IN_OUT)) as socket:
        await socket.write(stdin(b"lost"))
        told = await all_told(socket)
    assert told.status is not None
    assert (told.status.status, told.status.reason) == ("Failure", "InternalError")
    assert "the command cannot start: no more processes" in told.status.message
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_terminal_gets_its_sizes(world: ExecWorld) -> None:
    async with world.dialled(asking(SLEEP, "stdin", "stdout", "tty")) as socket:
        await socket.write(channels.size_message(Size(120, 40)))
        await until(lambda: world.running_count == 1)
        (execution,) = world.machine.lives[world.container_id].executions
        await until(lambda: execution.sizes == [(120, 40)])
        await socket.write(channels.size_message(Size(80, 24)))
        await until(lambda: execution.sizes == [(120, 40), (80, 24)])


@pytest.mark.parametrize("message", [b"", b"\x09x", b"\x01out", b"\x04{}", b"\xff\x01"])
async def test_what_is_no_message_of_a_client_ends_the_session(
    world: ExecWorld, message: bytes
) -> None:
    async with world.dialled(asking(SLEEP, *IN_OUT)) as socket:
        await until(lambda: world.running_count == 1)
        await socket.write(message)
        assert await socket.read() is None
    await until(lambda: world.running_count == 0)
    assert world.server.backend.sessions.count == 0


async def test_a_client_that_vanishes_leaves_no_command_no_session_and_no_descriptor(
    world: ExecWorld,
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        reader, writer = await handshaken(world, asking(SLEEP, *IN_OUT))
        await until(lambda: world.running_count == 1)
        writer.transport.abort()
        await until(lambda: world.running_count == 0)
        await until(lambda: world.server.backend.sessions.count == 0)
        del reader
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_a_client_that_vanishes_while_its_command_reads_nothing_is_found_out(
    world: ExecWorld,
) -> None:
    """Nobody reads from its connection then; pings tell, for they meet no one."""
    _, writer = await handshaken(world, asking(SLEEP, *IN_OUT))
    with suppress(TimeoutError):
        async with asyncio.timeout(3):
            while True:
                writer.write(a_masked_message(stdin(b"x" * 60_000)))
                await writer.drain()
    assert world.running_count == 1
    writer.transport.abort()
    await until(lambda: world.running_count == 0)
    await until(lambda: world.server.backend.sessions.count == 0)


def a_masked_message(content: bytes) -> bytes:
    """Return a frame as a client sends it, by RFC 6455; a mask of zeros changes nothing."""
    return b"\x82\xfe" + len(content).to_bytes(2, "big") + bytes(4) + content


async def handshaken(
    world: ExecWorld, query: list[tuple[str, str]]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin a session by hand, on a connection that a test can cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.app.port, ssl=world.tls)
    path = world.url(query).partition(str(world.app.port))[2]
    head = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"]
    head += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
    head += [f"Sec-WebSocket-Protocol: {V5}", "", ""]
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(DEADLINE_S):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_kubelet_that_vanishes_ends_the_session_without_a_status(world: ExecWorld) -> None:
    async with world.dialled(asking(SLEEP, *IN_OUT)) as socket:
        await until(lambda: world.running_count == 1)
        await world.kubelet.stop(0.1)
        told = None
        try:
            told = await all_told(socket)
        except Broken:
            return
        assert told.status is None
    await until(lambda: world.running_count == 0)


async def test_an_api_server_that_stops_ends_its_sessions(world: ExecWorld) -> None:
    async with world.dialled(asking(SLEEP, *IN_OUT)) as socket:
        await until(lambda: world.running_count == 1)
        async with asyncio.timeout(DEADLINE_S):
            world.server.backend.sessions.close()
            await world.app.stop()
        with suppress(Broken):
            told = await all_told(socket)
            assert told.status is None
    await until(lambda: world.running_count == 0)


async def test_a_user_has_so_many_sessions_and_gets_another_when_one_ends(
    world: ExecWorld,
) -> None:
    query = asking(SLEEP, *IN_OUT)
    async with world.dialled(query), world.dialled(query):
        async with world.dialled(query):
            with pytest.raises(HandshakeRefused) as refused:
                async with world.dialled(query):
                    raise AssertionError("it was let in")
            assert refused.value.status == 429
        await until(lambda: world.server.backend.sessions.count == 2)
        async with world.dialled(query):
            assert world.server.backend.sessions.count == 3
    await until(lambda: world.running_count == 0)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ([("stdout", "true")], "command: "),
        ([("command", "")], "command: "),
        ([("command", "x")], "stdin, stdout, stderr: "),
        (asking(CAT, "stdout", tty="perhaps"), "tty: "),
        (asking(CAT, stdin="2"), "stdin: "),
        (asking(CAT, container="No/Name"), "container: "),
        (asking(CAT, container="other"), "container other"),
        (asking(("a\0b",)), "command: "),
    ],
)
async def test_what_is_wrong_is_named(
    world: ExecWorld, query: list[tuple[str, str]], named: str
) -> None:
    code, message = await refusal(world, "GET", query)
    assert (code, message[: len(named)]) == (400, named)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_protocols_of_spdy_that_are_not_spoken_are_refused_by_name(
    world: ExecWorld, method: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    headers["X-Stream-Protocol-Version"] = "v3.channel.k8s.io"
    code, message = await refusal(world, method, asking(CAT), **headers)
    assert (code, V4 in message) == (400, True)
    assert world.running_count == 0


async def test_the_first_reason_is_told_also_to_who_cannot_be_served(world: ExecWorld) -> None:
    """kubectl asks again by SPDY when its WebSocket was refused, and shows that second answer."""
    world.machine.end(world.container_id, 0)
    code, message = await refusal(world, "POST", asking(CAT), Upgrade="SPDY/3.1")
    assert (code, "is not running" in message) == (400, True)


async def test_a_subprotocol_that_is_not_spoken_is_refused_by_name(world: ExecWorld) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "base64.channel.k8s.io",
    }
    code, message = await refusal(world, "GET", asking(CAT), **headers)
    assert (code, "'base64.channel.k8s.io'" in message, V5 in message) == (400, True, True)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://["])
async def test_a_page_of_another_site_gets_no_session(world: ExecWorld, origin: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": origin}
    code, message = await refusal(world, "GET", asking(CAT), **headers)
    assert (code, "Origin" in message) == (403, True)


async def test_a_refused_upgrade_leaves_a_connection_on_which_others_can_ask(
    world: ExecWorld,
) -> None:
    connector = aiohttp.TCPConnector(ssl=world.tls, limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(3):
            headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
            async with asyncio.timeout(60):
                async with session.get(world.url(asking(CAT)), headers=headers) as answer:
                    assert answer.status == 400
                    await answer.read()
                async with session.get(world.url([])) as answer:
                    assert answer.status == 400
                    await answer.read()


async def test_cubectl_runs_a_command_and_ends_with_its_code(world: ExecWorld) -> None:
    said = await world.cluster.cubectl("exec web-0 --", *SPEAK)
    assert (said.code, said.out, said.err) == (0, "out\n", "err\n")
    said = await world.cluster.cubectl("exec web-0 -c main --", *EXIT_3)
    assert (said.code, said.out) == (3, "")
    assert said.err == "cubectl: command terminated with exit code 3\n"
    said = await world.cluster.cubectl("exec -i web-0 --", *CAT, stdin="in and out\n" * 1000)
    assert (said.code, said.out, said.err) == (0, "in and out\n" * 1000, "")


async def test_cubectl_runs_a_command_in_a_pod_of_what_has_a_selector(world: ExecWorld) -> None:
    tree = a_pod("other")
    tree["metadata"]["labels"] = {"app": "other"}
    await world.another_pod(tree, "talks")
    service = a_service("front", selector={"app": "other"})
    await world.call("POST", "/api/v1/namespaces/default/services", service)

    said = await world.cluster.cubectl("exec svc/front --", *SPEAK)
    assert (said.code, said.out, said.err) == (0, "out\n", "err\n")
    said = await world.cluster.cubectl("exec po/other --", *EXIT_3)
    assert said.code == 3
    said = await world.cluster.cubectl("exec svc/none --", *SPEAK)
    assert (said.code, "not found" in said.err) == (1, True)


async def test_cubectl_says_why_nothing_ran(world: ExecWorld) -> None:
    said = await world.cluster.cubectl("exec web-9 --", *CAT)
    assert (said.code, said.out) == (1, "")
    assert "web-9" in said.err
    assert "not found" in said.err
    said = await world.cluster.cubectl("exec web-0 -c other --", *CAT)
    assert (said.code, "container other" in said.err) == (1, True)
    said = await world.cluster.cubectl("exec web-0", *CAT)
    assert (said.code, "--" in said.err) == (2, True)


async def test_cubectl_that_is_interrupted_leaves_no_command(world: ExecWorld) -> None:
    process = await world.cluster.start("exec -i web-0 --", *SLEEP)
    await until(lambda: world.running_count == 1)
    said = await world.cluster.interrupted(process)
    assert said.code == 130
    await until(lambda: world.running_count == 0)
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_cubectl_that_is_killed_leaves_no_command(world: ExecWorld) -> None:
    process = await world.cluster.start("exec -i web-0 --", *SLEEP)
    await until(lambda: world.running_count == 1)
    process.kill()
    await process.communicate()
    await until(lambda: world.running_count == 0)
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_cubectl_tells_that_the_stream_broke(world: ExecWorld) -> None:
    process = await world.cluster.start("exec -i web-0 --", *SLEEP)
    await until(lambda: world.running_count == 1)
    world.server.backend.sessions.close()
    await world.app.stop()
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    # Which of the two depends on whether a ping was to be answered just then.
    told = (b"the stream ended before the command did", b"the connection broke")
    assert any(words in err for words in told), err
