"""`cubectl logs -f` of many pods: each line whole, later pods too, and an end when all have one."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.host.web.keepalive import KEEPALIVE_S
from kubelet.runtime.fake import Behaviour
from tests.contract.api.streams.world import DEADLINE_S, ExecWorld, an_exec_world, until
from tests.contract.api.world import PODS, Tree, a_pod

# What /proc/net/tcp calls them.
ESTABLISHED, KEEPALIVE_TIMER, TICKS_PER_S = "01", "02", 100
LOOPBACK = "0100007F"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path) as made:
        yield made


async def a_speaker(world: ExecWorld, name: str, *lines: bytes) -> str:
    """Let a pod run that has said something; return its container's id."""
    world.machine.behaviours[name] = Behaviour(output=lines)
    world.machine.images.add(name)
    tree: Tree = a_pod(name)
    tree["metadata"]["labels"] = {"app": "speaks"}
    made = await world.another_pod(tree, name)
    await told(world, name, "Running", "running")
    return made


async def told(world: ExecWorld, name: str, phase: str, state: str) -> None:
    tree: Tree = a_pod(name)
    tree["metadata"]["labels"] = {"app": "speaks"}
    life: Tree = {"startedAt": "2026-03-01T10:00:00Z"}
    if state == "terminated":
        life |= {"finishedAt": "2026-03-01T10:00:01Z", "exitCode": 0}
    one = {"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 0,
           "state": {state: life}}  # fmt: skip
    status = {"phase": phase, "containerStatuses": [one]}
    await world.call("PUT", f"{PODS}/{name}/status", tree | {"status": status})


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        return await process.stdout.readline()


async def test_a_pod_that_comes_later_is_followed_too_and_it_ends_when_all_have_ended(
    world: ExecWorld,
) -> None:
    ids = {
        name: await a_speaker(world, name, name.encode() + b" runs\n") for name in ("a-0", "a-1")
    }
    process = await world.cluster.start("logs -f -l app=speaks --prefix")
    assert {await line_of(process), await line_of(process)} == {
        b"[pod/a-0/main] a-0 runs\n",
        b"[pod/a-1/main] a-1 runs\n",
    }

    # Of the first ones the last ten lines are told, as of every selector; of it, all.
    lines = [b"line %d\n" % count for count in range(12)]
    ids["a-2"] = await a_speaker(world, "a-2", *lines)
    for line in lines:
        assert await line_of(process) == b"[pod/a-2/main] " + line

    for name, made in ids.items():
        world.machine.end(made, 0)
        await told(world, name, "Succeeded", "terminated")
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (out, err, process.returncode) == (b"", b"", 0)


async def test_what_has_no_place_waits_for_the_end_of_another(world: ExecWorld) -> None:
    """Also where nobody reads what has come: it is more than a pipe and our reader hold."""
    lines = [b"%d " % count + b"x" * 4000 + b"\n" for count in range(200)]
    first = await a_speaker(world, "a-0", *lines)
    process = await world.cluster.start("logs -f -l app=speaks --max-log-requests 1 --tail=-1")
    assert await line_of(process) == lines[0]

    await a_speaker(world, "a-1", b"second\n")
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        assert b"use --max-log-requests to increase" in await process.stderr.readline()
    for line in lines[1:]:
        assert await line_of(process) == line
    world.machine.end(first, 0)
    assert await line_of(process) == b"second\n"
    said = await world.cluster.interrupted(process)
    assert (said.code, said.out) == (130, "")


async def test_a_pod_that_was_named_is_followed_until_it_is_gone(world: ExecWorld) -> None:
    made = await a_speaker(world, "a-0", b"first\n")
    process = await world.cluster.start("logs -f a-0 --all-containers")
    assert await line_of(process) == b"first\n"
    world.machine.end(made, 0)
    await world.call("DELETE", f"{PODS}/a-0", {"gracePeriodSeconds": 0})
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (out, err, process.returncode) == (b"", b"", 0)


async def test_a_quiet_log_that_is_followed_holds_up_no_stop_and_its_client_is_told(
    world: ExecWorld,
) -> None:
    await a_speaker(world, "a-0", b"first\n")
    process = await world.cluster.start("logs -f a-0")
    assert await line_of(process) == b"first\n"
    await world.server.stop()
    # The API server still serves: what is told is not that its connections were closed.
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"the connection broke" in err


async def test_a_machine_that_loses_its_power_is_found_out_at_each_step_of_a_quiet_log(
    world: ExecWorld,
) -> None:
    await a_speaker(world, "a-0", b"first\n")
    process = await world.cluster.start("logs -f a-0")
    assert await line_of(process) == b"first\n"

    # Both ends of two connections: cubectl's with the API server, that one's with the kubelet.
    def are_watched() -> bool:
        asked_s = asks_again_in(world.app.port, world.kubelet.port)
        return len(asked_s) >= 4 and max(asked_s) <= KEEPALIVE_S + 1

    await until(are_watched)
    assert (await world.cluster.interrupted(process)).code == 130


def asks_again_in(*ports: int) -> list[float]:
    """Return when the kernel asks whether the other side is there, by the ends of connections."""
    seconds = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        here, there, state, _, timer = line.split()[1:6]
        ends = [one.split(":") for one in (here, there)]
        is_ours = any(address == LOOPBACK and int(port, 16) in ports for address, port in ends)
        if is_ours and state == ESTABLISHED:
            kind, _, ticks = timer.partition(":")
            seconds.append(int(ticks, 16) / TICKS_PER_S if kind == KEEPALIVE_TIMER else math.inf)
    return seconds


async def test_a_server_that_goes_away_is_told_and_the_code_is_1(world: ExecWorld) -> None:
    await a_speaker(world, "a-0", b"first\n")
    process = await world.cluster.start("logs -f -l app=speaks")
    assert await line_of(process) == b"first\n"
    await world.app.stop()
    await world.server.stop()
    async with asyncio.timeout(DEADLINE_S):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err
