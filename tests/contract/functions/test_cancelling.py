"""Calls that are cancelled, and deadlines that are handed down."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.host.clock import SystemClock
from serverless.bus.memory import MemoryBus
from tests.contract.functions.test_durable import accepted, attempts, ended, made, noting
from tests.contract.functions.world import World, functions_world, until

WAITS = """
    import time
    if req.body() == "long":
        time.sleep(600)
    return "short"
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with functions_world(tmp_path / "root", MemoryBus(SystemClock())) as made_world:
        yield made_world


async def cancelled(world: World, call: str) -> tuple[int, str]:
    status, text, _ = await world.call(f"/calls/{call}", method="DELETE")
    return status, text


async def test_a_call_that_runs_is_cancelled_and_its_place_is_another_calls(
    world: World, tmp_path: Path
) -> None:
    """W36: nobody could end what had been begun, but by ending the program."""
    await made(world, noting(tmp_path, WAITS), timeout_seconds=600, concurrency=1, max_instances=1)
    call = await accepted(world, b"long")

    async def is_begun() -> bool:
        return attempts(tmp_path) == [1]

    await until(is_begun)
    answers = [await cancelled(world, call) for _ in range(2)]
    status, text, headers = await ended(world, call)
    after = await world.call("/work", b"short")

    assert answers == [(200, f'{{"call":"{call}","state":"cancelled"}}\n')] * 2
    assert (status, headers["cube-outcome"]) == (410, "cancelled")
    assert "it was cancelled" in text
    assert after[:2] == (200, "short")
    assert (await cancelled(world, after[2]["cube-call"]))[0] == 409
    assert (await cancelled(world, "unknown"))[0] == 404


async def test_a_call_that_rests_is_cancelled_has_no_other_attempt_and_is_so_after_a_restart(
    world: World, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path, "    raise ValueError('never')\n"))
    call = await accepted(world)

    async def is_resting() -> bool:
        _, text, _ = await world.call(f"/calls/{call}")
        # The third attempt is 10 s away from here.
        return attempts(tmp_path) == [1, 2] and '"state":"resting"' in text

    await until(is_resting)
    answer = await cancelled(world, call)
    before = await ended(world, call)
    await world.end()
    await world.begin()
    after = await ended(world, call)

    assert answer[0] == 200
    assert before[0] == after[0] == 410
    assert (after[2]["cube-outcome"], after[2]["cube-attempts"]) == ("cancelled", "3")
    assert attempts(tmp_path) == [1, 2]


async def test_a_deadline_ends_a_direct_call_and_is_handed_down_a_chain(world: World) -> None:
    tells = "def action(req):\n    return {'first': req.param('first'), 'second': req.deadline}\n"
    hands = """
from serverless import Invoke
def action(req):
    return Invoke("second", {"first": req.deadline})
"""
    slow = "import time\ndef action(req):\n    time.sleep(600)\n"
    for name, code in (("second", tells), ("first", hands), ("slow", slow)):
        await world.deploy(name, code, calls=("second",), timeout_seconds=600)
        await world.loaded(name)
        await world.route(name, f"/{name}", name)

    told = json.loads((await world.call("/first", fields={"Cube-Deadline": "300"}))[1])
    status, text, _ = await world.call("/slow", fields={"Cube-Deadline": "0.5"})
    wrong = await world.call("/first", fields={"Cube-Deadline": "soon"})

    assert told["first"] == told["second"] > 0
    assert status == 504
    assert "slow" in text
    assert wrong[0] == 400
    assert "Cube-Deadline must be seconds from now" in wrong[1]


async def test_a_durable_call_is_tried_no_more_when_its_deadline_would_have_passed(
    world: World, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path, "    raise ValueError('never')\n"))

    fields = {"Prefer": "respond-async", "Cube-Deadline": "5"}
    _, _, headers = await world.call("/work", b"x", fields=fields)
    status, _, told = await ended(world, headers["cube-call"])

    # Without a deadline the last of its five attempts is six minutes away.
    assert status >= 500
    assert told["cube-outcome"] == "failed"
    assert int(told["cube-attempts"]) <= 3
