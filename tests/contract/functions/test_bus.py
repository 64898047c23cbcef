"""The bus's contract: the same for the one in memory and for Kafka, which is one broker for all.

All that needs the broker is here: it takes long to begin, and a file has one.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from serverless.bus.bus import (
    Bus,
    BusTrouble,
    NoTopic,
    PartitionRef,
    Reader,
    Record,
    Span,
    Start,
    Topic,
)
from serverless.bus.kafka import KafkaBus
from serverless.bus.memory import MemoryBus
from tests.contract.functions.brokers import Broker
from tests.contract.functions.test_admin import Certificates, kubeconfig_of
from tests.contract.functions.test_workflows import a_world, must_end_a_pipeline_that_is_cut

# A broker on a machine that is full takes minutes to begin.
pytestmark = pytest.mark.timeout(400)
PATIENCE_S = 60.0
LOOK_S = 0.05


class World:
    """A bus, and a topic that nobody else knows. again: the bus as another process meets it."""

    def __init__(self, bus: Bus, again: Callable[[], Bus], ends: AsyncExitStack) -> None:
        self.bus, self._again, self._ends = bus, again, ends
        self.topic, self.group = f"test.{uuid.uuid4()}", f"group.{uuid.uuid4()}"

    def again(self) -> Bus:
        bus = self._again()
        self._ends.push_async_callback(bus.close)
        return bus

    def reader(self, group: str = "") -> Reader:
        reader = self.bus.reader(group or self.group)
        self._ends.push_async_callback(reader.close)
        return reader

    async def make(self, partition_count: int = 1) -> None:
        await self.bus.make(Topic(self.topic, partition_count))

    async def write(self, *values: bytes, key: bytes = b"k") -> None:
        for value in values:
            await self.bus.write(self.topic, key, value)


@pytest.fixture(params=["memory", "kafka"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with AsyncExitStack() as ends:
        if request.param == "memory":
            memory = MemoryBus(SystemClock())
            yield World(memory, lambda: memory, ends)
            return
        broker: Broker = request.getfixturevalue("broker")

        def made() -> Bus:
            return KafkaBus(broker.access(), Env().blocking)

        first = made()
        ends.push_async_callback(first.close)
        yield World(first, made, ends)


async def taken(reader: Reader, count: int) -> list[Record]:
    """Return the next records, once there are so many."""
    found: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found += await reader.read()
    return found


async def following(reader: Reader, topic: str, start: Start) -> Mapping[PartitionRef, int]:
    """Follow a topic; a broker that has just begun does not know its groups yet, and says so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await reader.follow(topic, start)
            except BusTrouble:
                await asyncio.sleep(LOOK_S)


async def quiet(reader: Reader) -> list[Record]:
    """Return what comes in one more look, in which nothing is expected."""
    return list(await reader.read())


async def test_what_was_written_is_read_as_it_was_in_the_order_of_its_key(world: World) -> None:
    await world.make(3)
    reader = world.reader()
    await following(reader, world.topic, "earliest")
    for number in range(20):
        key = b"ab"[number % 2 : number % 2 + 1]
        await world.bus.write(world.topic, key, b"%d" % number, (("name", b"\x00x"),))

    found = await taken(reader, 20)

    for key in (b"a", b"b"):
        own = [one for one in found if one.key == key]
        assert len({one.place for one in own}) == 1
        assert [int(one.value) for one in own] == sorted(int(one.value) for one in own)
        assert [one.offset for one in own] == sorted(one.offset for one in own)
    assert {one.headers for one in found} == {(("name", b"\x00x"),)}
    assert all(one.at_ms > 0 for one in found)


async def test_a_group_reads_from_the_beginning_what_was_written_before_it_came(
    world: World,
) -> None:
    """W30: a reader that came after the first record missed it."""
    await world.make()
    await world.write(b"first")
    reader = world.reader()

    begun = await following(reader, world.topic, "earliest")

    assert begun == {PartitionRef(world.topic, 0): 0}
    assert [one.value for one in await taken(reader, 1)] == [b"first"]


async def test_a_group_goes_on_where_it_has_committed_in_another_process_too(
    world: World,
) -> None:
    await world.make()
    await world.write(b"0", b"1", b"2")
    reader = world.reader()
    await following(reader, world.topic, "earliest")
    await taken(reader, 3)
    await reader.commit({PartitionRef(world.topic, 0): 2})
    await reader.close()

    other = world.again().reader(world.group)
    begun = await following(other, world.topic, "earliest")

    assert begun == {PartitionRef(world.topic, 0): 2}
    assert [one.value for one in await taken(other, 1)] == [b"2"]
    await other.close()


async def test_each_group_reads_everything(world: World) -> None:
    await world.make()
    await world.write(b"0")
    for group in ("one", "two"):
        reader = world.reader(f"{world.group}.{group}")
        await following(reader, world.topic, "earliest")
        assert [one.value for one in await taken(reader, 1)] == [b"0"]


async def test_a_group_that_begins_at_the_latest_misses_nothing_from_then_on(
    world: World,
) -> None:
    await world.make()
    await world.write(b"before")
    first = world.reader()
    await following(first, world.topic, "latest")
    await first.close()
    await world.write(b"after")

    second = world.reader()
    await following(second, world.topic, "latest")

    assert [one.value for one in await taken(second, 1)] == [b"after"]


async def test_a_partition_that_is_held_is_read_when_it_is_held_no_longer(world: World) -> None:
    await world.make()
    await world.write(b"0")
    reader = world.reader()
    await following(reader, world.topic, "earliest")
    await taken(reader, 1)
    place = PartitionRef(world.topic, 0)

    await reader.hold(place, is_held=True)
    await world.write(b"1")
    held = await quiet(reader)
    await reader.hold(place, is_held=False)

    assert held == []
    assert [one.value for one in await taken(reader, 1)] == [b"1"]


async def test_a_topic_is_made_once_and_removed_once(world: World) -> None:
    await world.make(2)
    await world.make(2)
    made = await world.bus.topics()
    await world.write(b"0", b"1")
    reader = world.reader()
    spans = await reader.spans(world.topic)
    await world.bus.remove(world.topic)
    await world.bus.remove(world.topic)

    assert made[world.topic] == 2
    assert sorted(span.end - span.first for span in spans.values()) == [0, 2]
    async with asyncio.timeout(PATIENCE_S):
        while world.topic in await world.bus.topics():
            continue


async def test_a_topic_is_shortened_up_to_an_offset_and_read_from_there(world: World) -> None:
    await world.make()
    await world.write(b"0", b"1", b"2")
    place = PartitionRef(world.topic, 0)
    for _ in range(2):
        await world.bus.shorten({place: 2})

    reader = world.reader()
    assert await reader.spans(world.topic) == {place: Span(2, 3)}
    assert await following(reader, world.topic, "earliest") == {place: 2}
    assert [one.value for one in await taken(reader, 1)] == [b"2"]


async def test_a_topic_that_is_not_there_is_said_to_be_none(world: World) -> None:
    with pytest.raises(NoTopic):
        await following(world.reader(), world.topic, "earliest")
    with pytest.raises(NoTopic):
        await world.bus.write(world.topic, b"", b"")


async def test_a_topic_that_is_left_is_read_no_longer(world: World) -> None:
    await world.make()
    reader = world.reader()
    await following(reader, world.topic, "earliest")
    await reader.leave(world.topic)
    await world.write(b"0")

    assert await quiet(reader) == []


async def test_a_pipeline_is_cut_in_its_middle_and_ends_as_if_it_was_not(
    broker: Broker, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    admin = kubeconfig_of(tmp_path, certificates.ca, certificates.admin)
    async with AsyncExitStack() as stack:
        bus = KafkaBus(broker.access(), Env().blocking)
        stack.push_async_callback(bus.close)
        await must_end_a_pipeline_that_is_cut(await a_world(stack, tmp_path, bus), admin, tmp_path)


async def test_who_has_another_certificate_may_neither_see_nor_write(broker: Broker) -> None:
    own = KafkaBus(broker.access(), Env().blocking)
    other = KafkaBus(broker.access("other"), Env().blocking)
    topic = Topic(f"test.{uuid.uuid4()}", 1)
    await own.make(topic)
    try:
        assert topic.name not in await other.topics()
        with pytest.raises((BusTrouble, NoTopic)):
            await other.write(topic.name, b"", b"")
        reader = own.reader("judge")
        assert [span.end for span in (await reader.spans(topic.name)).values()] == [0]
        await reader.close()
    finally:
        await other.close()
        await own.close()
