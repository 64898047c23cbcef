"""Calls that must survive: accepted by a bus, run at least once, answered once, whoever dies."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.serverless.function import Function, RetrySpec
from cubernetes.host.clock import SystemClock
from serverless.bus.memory import MemoryBus
from serverless.durable.records import DEAD, DeadLetter, read, topic_of
from tests.contract.functions.world import World, functions_world, until


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(SystemClock())


@pytest.fixture
async def world(tmp_path: Path, bus: MemoryBus) -> AsyncIterator[World]:
    async with functions_world(tmp_path, bus) as made:
        yield made


def noting(folder: Path, rest: str = "    return 'done ' + req.body()\n") -> str:
    """Return a function that notes each attempt in a file of its own."""
    return f"""
import os
FOLDER = {str(folder)!r}
def action(req):
    open(FOLDER + f"/ran-{{req.call}}-{{req.attempt}}-{{os.urandom(4).hex()}}", "w").close()
{rest}"""


def attempts(folder: Path) -> list[int]:
    """Return the numbers of the attempts that functions have noted."""
    found = [re.match(r"ran-.*-([0-9]+)-\w+\Z", one.name) for one in folder.iterdir()]
    return sorted(int(one[1]) for one in found if one is not None)


async def made(world: World, code: str, delivery: str = "durable", **fields: object) -> None:
    """Deploy a function `work` at /work."""
    await world.deploy("work", code, **fields)
    await world.loaded("work")
    await world.route("work", "/work", "work", methods=("POST",), delivery=delivery)
    await world.accepted("work")


async def accepted(world: World, body: bytes = b"x") -> str:
    """Ask for a call and no answer; return its id."""
    status, _, headers = await world.call("/work", body, fields={"Prefer": "respond-async"})
    assert status == 202
    assert headers["location"] == f"/calls/{headers['cube-call']}"
    return headers["cube-call"]


async def ended(world: World, call: str) -> tuple[int, str, dict[str, str]]:
    """Return a call's answer, once it has one."""
    answer: list[tuple[int, str, dict[str, str]]] = []

    async def is_ended() -> bool:
        answer[:] = [await world.call(f"/calls/{call}?wait=5")]
        return answer[0][0] not in (202, 503)

    await until(is_ended)
    return answer[0]


async def test_a_durable_call_is_answered_with_what_the_function_returns(
    world: World, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path))

    status, text, headers = await world.call("/work", b"body")

    assert (status, text) == (200, "done body")
    assert (headers["cube-outcome"], headers["cube-attempts"]) == ("ok", "1")
    assert (await world.call(f"/calls/{headers['cube-call']}"))[:2] == (200, "done body")
    assert attempts(tmp_path) == [1]


async def test_an_asynchronous_call_is_accepted_at_once_and_its_result_found_by_its_id(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"""
import os, time
def action(req):
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    return {{"got": req.body()}}
"""
    await made(world, waits, "async")
    status, text, headers = await world.call("/work", b"x")
    call = headers["cube-call"]

    assert status == 202
    assert f'"call":"{call}"' in text
    assert (await world.call(f"/calls/{call}"))[0] == 202
    await asyncio.to_thread(gate.touch)
    assert (await ended(world, call))[:2] == (200, '{"got": "x"}\n')


async def test_a_call_that_fails_is_tried_again_and_knows_which_attempt_it_is(
    world: World, tmp_path: Path
) -> None:
    """W36: a message whose function failed was logged, and forgotten."""
    fails = "    if req.attempt < 2:\n        raise ValueError('not yet')\n    return 'now'\n"
    await made(world, noting(tmp_path, fails))

    status, text, headers = await world.call("/work", b"x")

    assert (status, text, headers["cube-attempts"]) == (200, "now", "2")
    assert attempts(tmp_path) == [1, 2]


async def test_a_call_that_never_succeeds_ends_in_the_dead_letters_and_others_go_on(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    """W36: there were no dead letters."""
    fails = """
    if req.body() == 'poison':
        raise ValueError('poisoned')
    return 'fine'
"""
    await made(world, noting(tmp_path, fails), retry=RetrySpec(attempts=2))
    call = await accepted(world, b"poison")
    assert (await world.call("/work", b"x"))[:2] == (200, "fine")

    status, text, headers = await ended(world, call)

    assert status == 500
    assert "ValueError: poisoned" in text
    assert (headers["cube-outcome"], headers["cube-attempts"]) == ("failed", "2")
    (record,) = (one for place in bus.places(DEAD.name) for one in bus.logs[place].records)
    letter, body = read(record, DeadLetter)
    assert (letter.call.id, body) == (call, b"poison")
    assert [one.error for one in letter.call.failures] == ["ValueError: poisoned"] * 2


async def test_a_refusal_of_the_function_is_a_result_and_not_tried_again(
    world: World, tmp_path: Path
) -> None:
    says = "    from serverless import Response\n    return Response('bad sign', http_status=400)\n"
    await made(world, noting(tmp_path, says))

    assert (await world.call("/work", b"x"))[:2] == (400, "bad sign")
    assert attempts(tmp_path) == [1]


async def test_a_call_that_is_sent_twice_under_one_key_runs_once(
    world: World, tmp_path: Path
) -> None:
    """W36: there was no idempotency key."""
    await made(world, noting(tmp_path), "direct")
    key = {"Idempotency-Key": "order-7"}

    answers = await asyncio.gather(*(world.call("/work", b"x", fields=key) for _ in range(3)))
    later = await world.call("/work", b"x", fields=key)
    other = await world.call("/work", b"x", fields={"Idempotency-Key": "order-8"})

    assert {one[:2] for one in (*answers, later, other)} == {(200, "done x")}
    assert len({one[2]["cube-call"] for one in (*answers, later)}) == 1
    assert other[2]["cube-call"] != later[2]["cube-call"]
    assert attempts(tmp_path) == [1, 1]


async def test_what_was_accepted_outlives_the_program_and_runs_once(
    world: World, tmp_path: Path
) -> None:
    # Not of the pool's size: no instance is there that could begin before the program ends.
    await made(world, noting(tmp_path), idle_seconds=1, resources="medium")

    async def is_at_zero() -> bool:
        return not await world.pods("work")

    await until(is_at_zero)
    world.node.is_stalled = True
    calls = [await accepted(world, b"%d" % number) for number in range(20)]
    await world.end()
    world.node.is_stalled = False
    await world.begin()

    for number, call in enumerate(calls):
        assert (await ended(world, call))[:2] == (200, f"done {number}")
    assert attempts(tmp_path) == [1] * 20
    await world.end()
    await world.begin()
    assert (await ended(world, calls[0]))[:2] == (200, "done 0")
    assert attempts(tmp_path) == [1] * 20


async def test_a_result_that_was_not_acknowledged_is_written_until_it_is(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"""
    import time
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
"""
    await made(world, noting(tmp_path, wait))
    call = await accepted(world)

    async def is_running() -> bool:
        return await asyncio.to_thread(attempts, tmp_path) == [1]

    await until(is_running)
    bus.lost_answers = 2
    await asyncio.to_thread(gate.touch)

    assert (await ended(world, call))[0] == 200
    assert bus.lost_answers == 0
    assert attempts(tmp_path) == [1]


async def test_an_instance_that_dies_under_a_call_costs_it_an_attempt(
    world: World, tmp_path: Path
) -> None:
    dies = "    if req.attempt == 1:\n        os._exit(1)\n    return 'alive'\n"
    await made(world, noting(tmp_path, dies))

    assert (await world.call("/work", b"x"))[:2] == (200, "alive")
    assert attempts(tmp_path) == [1, 2]


async def test_without_an_acknowledgement_nothing_is_accepted_and_direct_calls_go_on(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path))
    await world.route("plain", "/plain", "work", methods=("POST",))
    await world.accepted("plain")
    bus.is_away = True

    status, text, headers = await world.call("/work", b"x")

    assert status == 503
    assert "has not acknowledged" in text
    assert headers["retry-after"] == "1"
    assert (await world.call("/plain", b"y"))[:2] == (200, "done y")
    bus.is_away = False
    assert (await world.call("/work", b"z"))[:2] == (200, "done z")


async def test_a_program_that_begins_without_its_broker_serves_what_needs_none(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path))
    await world.end()
    bus.is_away = world.is_bus_away = True
    await world.begin()

    assert (await world.call("/readyz"))[0] == 503
    assert (await world.call("/work", b"x"))[0] == 503
    bus.is_away = False

    async def is_served() -> bool:
        return (await world.call("/work", b"x"))[0] == 200

    await until(is_served)


async def test_calls_of_a_function_that_is_deleted_end_as_gone_and_its_topic_is_removed(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    """W35: a deleted action left its topic."""
    fails = "    raise ValueError('later')\n"
    await made(world, noting(tmp_path, fails))
    topic = topic_of(await world.status("work")).name
    call = await accepted(world)

    async def is_resting() -> bool:
        return '"resting"' in (await world.call(f"/calls/{call}"))[1]

    await until(is_resting)
    await world.admin.delete(Function, "work", "default")

    assert (await ended(world, call))[0] == 410

    async def is_gone() -> bool:
        return topic not in await bus.topics()

    await until(is_gone)


async def test_a_record_that_is_no_call_is_passed_over(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path))
    await world.call("/work", b"x")
    topic = topic_of(await world.status("work")).name
    for place in bus.places(topic):
        await bus.write(topic, b"%d" % place.partition, b"{}")

    answers = [await world.call("/work", b"%d" % number) for number in range(8)]

    assert [one[0] for one in answers] == [200] * 8


async def test_what_cannot_be_accepted_is_refused_with_its_limit(
    world: World, tmp_path: Path
) -> None:
    await world.deploy("work", noting(tmp_path))
    await world.loaded("work")
    large = 1024 * 1024 + 1
    await world.route(
        "work", "/work", "work", methods=("POST",), delivery="async", body_bytes=large
    )
    await world.accepted("work")

    assert (await world.call("/work", b"x" * (large - 1)))[0] == 202
    assert (await world.call("/work", b"x" * large))[0] == 413
    key = {"Idempotency-Key": "k" * 300}
    assert (await world.call("/work", b"x", fields=key))[0] == 400

    async def is_unknown() -> bool:
        # Until the new topic is read, nobody can say that a call is not in it.
        return (await world.call("/calls/none"))[0] == 404

    await until(is_unknown)
    assert (await world.call("/calls/none?wait=x"))[0] == 400


async def test_without_a_broker_such_calls_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with functions_world(tmp_path / "root") as world:
        await made(world, "def action(req):\n    return 'x'\n")

        status, text, _ = await world.call("/work", b"x")

        assert status == 503
        assert "cuberoot enable serverless" in text
