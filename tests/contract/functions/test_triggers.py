"""Triggers: records of topics and times of schedules call functions, and nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.serverless.function import RetrySpec
from cubernetes.api.serverless.trigger import (
    CronSource,
    KafkaSource,
    Match,
    Trigger,
    TriggerSpec,
)
from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from serverless.bus.bus import Topic
from serverless.bus.memory import MemoryBus
from serverless.durable.records import DEAD, RESULTS
from tests.contract.functions.world import World, functions_world, until

TOPIC = "orders"


class AheadClock(SystemClock):
    """The machine's clock, set ahead by hand."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def clock() -> AheadClock:
    """It is half past, so that no hour ends by itself while a test runs."""
    made = AheadClock()
    made.ahead = timedelta(minutes=30 - made.now().minute)
    return made


@pytest.fixture
def bus(clock: AheadClock) -> MemoryBus:
    return MemoryBus(clock)


@pytest.fixture
async def world(tmp_path: Path, bus: MemoryBus, clock: AheadClock) -> AsyncIterator[World]:
    async with functions_world(tmp_path, bus, Env(clock=clock)) as made:
        await bus.make(Topic(TOPIC, 2))
        yield made


def noting(folder: Path, rest: str = "") -> str:
    """Return a function that appends what it is given to a file."""
    return f"""
import json, os, time
def action(req):
    line = json.dumps([req.body(), req.attempt, req.source, req.origin, req.call])
    with open({str(folder / "noted")!r}, "a") as file:
        file.write(line + "\\n")
{rest}    return "noted"
"""


def noted(folder: Path) -> list[list[Any]]:
    path = folder / "noted"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def until_noted(folder: Path, count: int) -> list[list[Any]]:
    async def are_noted() -> bool:
        return len(await asyncio.to_thread(noted, folder)) >= count

    await until(are_noted)
    return noted(folder)


async def until_result(bus: MemoryBus, call: str) -> None:
    async def has_result() -> bool:
        found = [one for place in bus.places(RESULTS.name) for one in bus.logs[place].records]
        return any(one.key == call.encode() for one in found)

    await until(has_result)


async def made(world: World, code: str, spec: TriggerSpec, **fields: object) -> Trigger:
    """Deploy a function `work` and a trigger that calls it; return once it is accepted."""
    await world.deploy("work", code, **fields)
    await world.loaded("work")
    meta = ObjectMeta(name="orders", namespace="default")
    trigger = await world.admin.create(Trigger(metadata=meta, spec=spec))
    await until_told(world, "True")
    return trigger


async def until_told(world: World, status: str) -> str:
    told = ""

    async def is_told() -> bool:
        nonlocal told
        found = await world.admin.get(Trigger, "orders", "default")
        told = "".join(one.message for one in found.status.conditions)
        return any(one.status == status for one in found.status.conditions)

    await until(is_told)
    return told


def from_topic(**fields: object) -> TriggerSpec:
    source = KafkaSource(topic=TOPIC, start="earliest")
    return replaced(TriggerSpec(function="work", kafka=source), **fields)


async def test_each_record_is_a_call_also_one_that_came_before_the_trigger(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    """W30: what came before a reader was lost."""
    await bus.write(TOPIC, b"shop", b"first", (("Kind", b"sale"),))
    tells = "    assert req.header('kind') in ('sale', '')\n"
    await made(world, noting(tmp_path, tells), from_topic())
    await bus.write(TOPIC, b"shop", b"second")

    found = await until_noted(tmp_path, 2)

    assert sorted(str(one[0]) for one in found) == ["first", "second"]
    assert {one[2] for one in found} == {"kafka"}
    origins = [one[3] for one in found]
    assert {(one["topic"], one["key"]) for one in origins} == {(TOPIC, "shop")}

    async def is_committed() -> bool:
        return any(at.topic == TOPIC and offset == 2 for (_, at), offset in bus.committed.items())

    await until(is_committed)
    await world.end()
    await world.begin()
    await bus.write(TOPIC, b"shop", b"third")
    assert [one[0] for one in (await until_noted(tmp_path, 3))[2:]] == ["third"]


async def test_records_of_a_key_are_called_with_one_after_the_other_through_failures(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    # Another key waits for none of it: its next attempt goes on when that was called.
    fails = (
        "    if req.body() == 'a1' and req.attempt == 1:\n"
        "        raise ValueError('not yet')\n"
        f"    while req.body() == 'a1' and 'b1' not in open({str(tmp_path / 'noted')!r}).read():\n"
        "        time.sleep(0.01)\n"
    )
    await made(world, noting(tmp_path, fails), from_topic(order="key"))
    for value in (b"a1", b"a2", b"b1", b"a3"):
        await bus.write(TOPIC, value[:1], value)

    found = await until_noted(tmp_path, 5)

    of_a = [(one[0], one[1]) for one in found if str(one[0]).startswith("a")]
    assert of_a == [("a1", 1), ("a1", 2), ("a2", 1), ("a3", 1)]
    assert [one[0] for one in found].index("b1") < [one[0] for one in found].index("a2")


async def test_a_poison_record_is_a_dead_letter_and_those_behind_it_go_on(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    """W36: a message that could not be answered was forgotten."""
    fails = "    if req.body() == 'poison':\n        raise ValueError('poisoned')\n"
    spec, retry = from_topic(order="key"), RetrySpec(attempts=2)
    await made(world, noting(tmp_path, fails), spec, retry=retry)
    for value in (b"poison", b"x" * (1024 * 1024 + 1), b"fine"):
        await bus.write(TOPIC, b"k", value)

    found = await until_noted(tmp_path, 3)

    assert [one[0] for one in found] == ["poison", "poison", "fine"]

    async def are_dead() -> bool:
        dead = [one for place in bus.places(DEAD.name) for one in bus.logs[place].records]
        told = b"".join(one.value for one in dead)
        return len(dead) == 2 and b"poisoned" in told and b"1048577 bytes, at most" in told

    await until(are_dead)


async def test_records_that_do_not_match_are_passed_over(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    match = Match(field="order.kind", equals="sale")
    await made(world, noting(tmp_path), from_topic(filter=(match,)))
    for value in (b"none", b'{"order": {"kind": "return"}}', b'{"order": {"kind": "sale"}}'):
        await bus.write(TOPIC, b"k", value)

    assert [one[0] for one in await until_noted(tmp_path, 1)] == ['{"order": {"kind": "sale"}}']


async def test_a_paused_trigger_calls_nothing_and_goes_on_where_it_was(
    world: World, bus: MemoryBus, tmp_path: Path
) -> None:
    await made(world, noting(tmp_path), from_topic())
    await world.admin.patch(Trigger, "orders", "default", {"spec": {"paused": True}})
    assert await until_told(world, "False") == "spec.paused"
    await bus.write(TOPIC, b"k", b"waits")
    await world.admin.patch(Trigger, "orders", "default", {"spec": {"paused": False}})

    assert [one[0] for one in await until_noted(tmp_path, 1)] == ["waits"]


async def test_a_trigger_says_what_it_waits_for(world: World, tmp_path: Path) -> None:
    source = KafkaSource(topic="absent")
    spec = TriggerSpec(function="nobody", kafka=source)
    meta = ObjectMeta(name="orders", namespace="default")
    await world.admin.create(Trigger(metadata=meta, spec=spec))

    assert await until_told(world, "False") == "there is no Function nobody in the namespace"
    await world.deploy("nobody", noting(tmp_path))

    async def is_about_the_topic() -> bool:
        return "topic absent is not followed" in await until_told(world, "False")

    await until(is_about_the_topic)


async def test_each_time_of_a_schedule_is_one_call_however_often_the_program_begins(
    world: World, bus: MemoryBus, clock: AheadClock, tmp_path: Path
) -> None:
    spec = TriggerSpec(function="work", cron=CronSource(schedule="0 * * * *"))
    await made(world, noting(tmp_path), spec)
    clock.ahead += timedelta(hours=1)
    (first,) = await until_noted(tmp_path, 1)
    # A program that ends before a result is acknowledged runs the same call again.
    await until_result(bus, first[4])
    await world.end()
    await world.begin()
    clock.ahead += timedelta(hours=2)

    found = await until_noted(tmp_path, 2)

    assert len(found) == 2
    assert first[2] == "cron"
    due = [datetime.fromisoformat(one[3]["due"]) for one in found]
    # Of the two hours that passed unseen the last is made up for.
    assert due[1] - due[0] == timedelta(hours=2)

    async def is_shown() -> bool:
        status = (await world.admin.get(Trigger, "orders", "default")).status
        return status.last_fired == due[1] and status.next_fire == due[1] + timedelta(hours=1)

    await until(is_shown)


async def test_without_a_broker_a_trigger_says_so(tmp_path: Path) -> None:
    async with functions_world(tmp_path / "root") as world:
        meta = ObjectMeta(name="orders", namespace="default")
        await world.admin.create(Trigger(metadata=meta, spec=from_topic()))

        assert "there is no broker" in await until_told(world, "False")
