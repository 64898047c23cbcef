"""`pods/attach`, and exec and attach over SPDY/3.1, from clients through both servers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from multidict import CIMultiDict

from apiserver.settings import Limits
from cubernetes.api.bodies.envelopes import Status
from cubernetes.api.coding import codec
from cubernetes.client.wire import channels, endings, spdywords
from cubernetes.client.wire.channels import V4, V5, Channel, Size
from cubernetes.client.wire.exitcodes import exit_code_in
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.spdy.session import Session, Stream
from cubernetes.host.web.upgrade import upgraded_stream
from cubernetes.host.web.websocket.client import Dial, HandshakeRefused, dialled
from kubelet.runtime.driver import State
from kubelet.runtime.fake import Behaviour
from tests.contract.api.streams.world import (
    DEADLINE_S,
    ExecWorld,
    all_told,
    an_exec_world,
    asking,
    until,
)
from tests.contract.api.world import PODS, a_pod
from tests.contract.runtime.worlds import CAT, COMMANDS, EXIT_3, SLEEP, SPEAK

IN_OUT = ("stdin", "stdout", "stderr")
BIG = bytes(range(256)) * 16_384  # 4 MiB


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path, Limits(exec_sessions_per_user_max=3)) as made:
        yield made


def url(world: ExecWorld, verb: str, query: list[tuple[str, str]], pod: str = "web-0") -> str:
    return f"https://127.0.0.1:{world.app.port}{PODS}/{pod}/{verb}?{urlencode(query)}"


async def an_echo(world: ExecWorld, *, tty: bool = False) -> str:
    """Let the pod `echo` run, which says what it hears from its only client; return its id."""
    world.machine.behaviours["echo"] = Behaviour(echoes=True, commands=COMMANDS)
    world.machine.images.add("echo")
    tree = a_pod("echo")
    tree["spec"]["containers"][0] |= {"stdin": True, "stdinOnce": True, "tty": tty}
    return await world.another_pod(tree, "echo", has_stdin=True, is_stdin_once=True)


def flags(*names: str) -> list[tuple[str, str]]:
    return [(name, "true") for name in names]


async def test_a_client_reaches_the_program_that_runs_and_it_ends_with_its_input(
    world: ExecWorld,
) -> None:
    made = await an_echo(world)
    dial = Dial(url(world, "attach", flags(*IN_OUT), "echo"), world.tls)
    async with dialled(dial, channels.PROTOCOLS) as socket:
        await socket.write(channels.message_of(Channel.STDIN, b"one\n"))
        assert await socket.read() == channels.message_of(Channel.STDOUT, b"one\n")
        await socket.write(channels.closing(Channel.STDIN))
        told = await all_told(socket)
    assert told.status is not None
    assert told.status.status == "Success"
    assert world.machine.lives[made].container.state is State.EXITED
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_a_program_outlives_a_client_that_only_looks(world: ExecWorld) -> None:
    dial = Dial(url(world, "attach", flags("stdout")), world.tls)
    async with dialled(dial, channels.PROTOCOLS) as socket:
        reading = asyncio.create_task(socket.read())

        def is_seen() -> bool:
            # What is written before the client is there it does not see.
            world.machine.write(world.container_id, b"seen\n")
            return reading.done()

        await until(is_seen)
        assert reading.result() == channels.message_of(Channel.STDOUT, b"seen\n")
    await until(lambda: world.server.backend.sessions.count == 0)
    assert world.machine.is_running(world.container_id)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ([], "stdin, stdout, stderr: "),
        (flags("stdin", "stdout"), "stdin: container 'main' was made without an input"),
        (flags("stdout", "tty"), "tty: container 'main' was made without a terminal"),
        ([*flags("stdout"), ("container", "other")], "container other"),
    ],
)
async def test_what_cannot_be_attached_to_is_refused_by_name(
    world: ExecWorld, query: list[tuple[str, str]], named: str
) -> None:
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url(world, "attach", query)) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["message"].startswith(named)


async def test_who_may_read_may_not_attach(world: ExecWorld) -> None:
    dial = Dial(url(world, "attach", flags("stdout")), world.tls, headers={"Origin": "https://x"})
    with pytest.raises(HandshakeRefused) as refused:
        async with dialled(dial, channels.PROTOCOLS):
            raise AssertionError("it was let in")
    assert refused.value.status == 403


@dataclass
class Spdy:
    """A session as kubectl before 1.31 has it: a stream for each channel."""

    session: Session
    streams: dict[str, Stream] = field(default_factory=dict)

    async def told(self) -> tuple[bytes, bytes, Status]:
        """Read everything to its end."""

        async def all_of(name: str) -> bytes:
            stream, pieces = self.streams.get(name), list[bytes]()
            while stream is not None and (piece := await stream.read()) is not None:
                pieces.append(piece)
            return b"".join(pieces)

        async with asyncio.timeout(DEADLINE_S):
            out, err, error = await asyncio.gather(*map(all_of, ("stdout", "stderr", "error")))
        return out, err, endings.status_in(error)


@asynccontextmanager
async def spdy(world: ExecWorld, target: str, names: tuple[str, ...]) -> AsyncIterator[Spdy]:
    headers = CIMultiDict({"Connection": "Upgrade", "Upgrade": spdywords.SPDY})
    for protocol in (V5, V4, "v3.channel.k8s.io"):  # a line for each, as kubectl sends them
        headers.add(spdywords.VERSION_HEADER, protocol)
    connector = aiohttp.TCPConnector(ssl=world.tls)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.post(target, headers=headers) as answer,
    ):
        assert answer.status == 101, await answer.text()
        assert answer.headers[spdywords.VERSION_HEADER] == V4
        carrier = upgraded_stream(answer)
        one = Spdy(Session(carrier, is_client=True))
        reading = asyncio.create_task(one.session.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                for name in ("error", *names):
                    one.streams[name] = await one.session.open({"streamtype": name})
                yield one
        finally:
            await one.session.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            carrier.abort()


async def test_a_command_is_run_over_spdy_and_its_streams_stay_apart(world: ExecWorld) -> None:
    async with spdy(world, world.url(asking(SPEAK)), ("stdout", "stderr")) as one:
        out, err, status = await one.told()
    assert (out, err, status.status) == (b"out\n", b"err\n", "Success")
    async with spdy(world, world.url(asking(EXIT_3)), ("stdout", "stderr")) as one:
        assert exit_code_in(codec.encode((await one.told())[2])) == 3
    await until(lambda: world.server.backend.sessions.count == 0)


async def test_megabytes_go_in_and_come_back_over_spdy_to_the_end_of_stdin(
    world: ExecWorld,
) -> None:
    async with spdy(world, world.url(asking(CAT, *IN_OUT)), IN_OUT) as one:

        async def give() -> None:
            await one.streams["stdin"].write(BIG)
            await one.streams["stdin"].finish()

        giving = asyncio.create_task(give())
        out, _, status = await one.told()
        await giving
    assert (out == BIG, status.status) == (True, "Success")


async def test_a_terminal_gets_its_sizes_over_spdy_however_they_are_cut(world: ExecWorld) -> None:
    query = asking(SLEEP, "stdin", "stdout", "tty")
    async with spdy(world, world.url(query), ("stdin", "stdout", "resize")) as one:
        first, second = (channels.size_message(Size(*size))[1:] for size in ((120, 40), (80, 24)))
        text = first + b"\n" + second + b"\n"
        for at in range(0, len(text), 7):
            await one.streams["resize"].write(text[at : at + 7])
        await until(lambda: world.running_count == 1)
        (execution,) = world.machine.lives[world.container_id].executions
        await until(lambda: execution.sizes == [(120, 40), (80, 24)])
    await until(lambda: world.running_count == 0)


async def test_attach_is_spoken_over_spdy_too(world: ExecWorld) -> None:
    await an_echo(world, tty=True)
    target = url(world, "attach", flags("stdin", "stdout", "tty"), "echo")
    async with spdy(world, target, ("stdin", "stdout", "resize")) as one:
        await one.streams["stdin"].write(b"one\n")
        await one.streams["stdin"].finish()
        out, _, status = await one.told()
    assert (out, status.status) == (b"one\n", "Success")


async def test_clients_of_spdy_that_come_and_go_leave_nothing(world: ExecWorld) -> None:
    before = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for turn in range(60):
        command = SPEAK if turn % 2 else SLEEP
        async with spdy(world, world.url(asking(command, *IN_OUT)), IN_OUT) as one:
            if turn % 2:
                await one.told()
            else:
                await one.streams["stdin"].write(b"cut" * 1000)
    await until(lambda: world.server.backend.sessions.count == 0)
    await until(lambda: world.running_count == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before[0] + 2)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before[1] + 2)


async def test_a_client_that_opens_a_stream_nobody_wants_is_told_and_served(
    world: ExecWorld,
) -> None:
    query = asking(CAT, "stdin", "stdout")
    async with spdy(world, world.url(query), ("stdin",)) as one:
        for name in ("stderr", "resize", "nonsense"):
            with pytest.raises(Broken):
                await (await one.session.open({"streamtype": name})).read()
        one.streams["stdout"] = await one.session.open({"streamtype": "stdout"})
        await one.streams["stdin"].finish()
        assert (await one.told())[2].status == "Success"


async def test_cubectl_attaches_and_ends_with_the_program(world: ExecWorld) -> None:
    await an_echo(world)
    said = await world.cluster.cubectl("attach -i echo", stdin="one\n" * 1000)
    assert (said.code, said.out, said.err) == (0, "one\n" * 1000, "")
    said = await world.cluster.cubectl("attach -i web-0", stdin="x")
    assert (said.code, "without an input" in said.err) == (1, True)
    said = await world.cluster.cubectl("attach -c other web-0")
    assert (said.code, "'other' is none of main" in said.err) == (2, True)
