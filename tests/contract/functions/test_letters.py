"""Dead letters are told and redriven, and a call's story is told, by `cubectl function`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.serverless.function import RetrySpec
from cubernetes.host.clock import SystemClock
from serverless.bus.memory import MemoryBus
from tests.contract.functions.test_admin import Certificates, cubectl, kubeconfig_of
from tests.contract.functions.world import World, functions_world, until

FAILS_BEFORE = """
import os
def action(req):
    print("attempt", req.attempt)
    if not os.path.exists({gate!r}):
        raise ValueError("no gate")
    return "through with " + req.body() + " " + req.origin.get("redriven", "")
"""


@pytest.fixture
def admin(tmp_path: Path) -> Path:
    """Return an administrator's kubeconfig."""
    certificates = Certificates(tmp_path)
    return kubeconfig_of(tmp_path, certificates.ca, certificates.admin)


@pytest.fixture
async def world(tmp_path: Path, admin: Path) -> AsyncIterator[World]:
    told = {
        "cert": str(tmp_path / "server.crt"),
        "key": str(tmp_path / "server.key"),
        "client_ca": str(tmp_path / "ca.crt"),
        "admin_port": 0,
    }
    assert admin.exists()
    async with functions_world(tmp_path / "root", MemoryBus(SystemClock()), None, **told) as made:
        code = FAILS_BEFORE.format(gate=str(tmp_path / "gate"))
        await made.deploy("work", code, retry=RetrySpec(attempts=1))
        await made.loaded("work")
        yield made


async def died(world: World, admin: Path, body: str) -> str:
    """Have a call fail for ever; return its id."""
    _, call, _ = await cubectl(world, admin, "invoke", "work", "-d", body, "--async")
    code, _, told = await cubectl(world, admin, "result", call.strip(), "--wait", "60")
    assert (code, "ValueError: no gate" in told) == (1, True)
    return call.strip()


async def test_dead_letters_are_told_and_redriven_once_each(
    world: World, admin: Path, tmp_path: Path
) -> None:
    one, two = await died(world, admin, "a"), await died(world, admin, "b")
    _, dead, _ = await cubectl(world, admin, "dead", "work")
    await asyncio.to_thread((tmp_path / "gate").touch)

    _, first, _ = await cubectl(world, admin, "redrive", "work", one)
    _, rest, _ = await cubectl(world, admin, "redrive", "work")
    _, none, _ = await cubectl(world, admin, "redrive", "work")
    again = await cubectl(world, admin, "redrive", "work", one)
    redriven = {line.split()[0]: line.split()[-1] for line in (first + rest).splitlines()}

    assert [line.split()[1] for line in dead.splitlines()[::2]] in ([one, two], [two, one])
    assert "ValueError: no gate" in dead
    assert none == "0 dead letters redriven\n"
    assert again[0] == 1
    assert "has no dead letter" in again[2]
    for old, body in ((one, "a"), (two, "b")):
        read = await cubectl(world, admin, "result", redriven[old], "--wait", "60")
        assert read == (0, f"through with {body} {old}\n", "")
    _, told, _ = await cubectl(world, admin, "dead", "work")
    assert told.count("(ok)") == 2


async def test_a_letter_that_was_redriven_before_a_crash_means_the_same_call_after_it(
    world: World, admin: Path, tmp_path: Path
) -> None:
    call = await died(world, admin, "a")
    await asyncio.to_thread((tmp_path / "gate").touch)
    function = await world.status("work")
    letters = world.platform.letters
    assert letters is not None
    # The call is acknowledged, its mark is not: whoever asks is told that it is not done.
    memory = world.bus
    assert isinstance(memory, MemoryBus)
    (first,) = await letters.redrive(function)
    for place in memory.places("cube.dead"):
        log = memory.logs[place]
        log.records = [
            one for one in log.records if b'"redriven":"' + first.redriven.encode() not in one.value
        ]
    await world.end()
    await world.begin()

    letters = world.platform.letters
    assert letters is not None
    (second,) = await letters.redrive(function)

    assert second.redriven == first.redriven
    assert second.letter.call.id == call

    async def ran_once() -> bool:
        _, told, _ = await cubectl(world, admin, "trace", first.redriven)
        return "ended, ok with 200" in told

    await until(ran_once)


async def test_a_call_and_the_instances_of_its_function_are_explained(
    world: World, admin: Path
) -> None:
    call = await died(world, admin, "a")

    _, trace, _ = await cubectl(world, admin, "trace", call)
    _, why, _ = await cubectl(world, admin, "why", "work")
    unknown = await cubectl(world, admin, "trace", "none")

    assert trace.startswith(f"call {call}: ended, failed with 500\nfunction default/work\n")
    assert "attempt 1 failed: ValueError: no gate" in trace
    assert "attempt 1\n" in trace
    assert "wanted 1 with 1 in hand" in why or "wanted 1 with 0 in hand" in why
    assert "because: " in why
    assert unknown[0] == 1
