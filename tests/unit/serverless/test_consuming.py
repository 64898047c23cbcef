"""What a group reads of a bus in memory: what it has done is removed, where it alone reads it."""

import asyncio
from collections.abc import Mapping

import pytest

from serverless.bus.bus import BusTrouble, NoTopic, PartitionRef, Record, Topic
from serverless.bus.memory import MemoryBus
from serverless.durable.consuming import SHORTEN_S, Consuming
from tests.simulation.clock import SimClock
from tests.simulation.loop import run_simulated

CALLS = Topic("calls", 1)
PLACE = PartitionRef("calls", 0)


class Refusing(MemoryBus):
    """A bus that lets its records be read and written, and not removed while is_refusing."""

    is_refusing = True
    why: Exception = BusTrouble("not authorized")

    async def shorten(self, offsets: Mapping[PartitionRef, int]) -> None:
        if self.is_refusing:
            raise self.why
        await super().shorten(offsets)


async def consumed(bus: MemoryBus, *, is_only_reader: bool, held: bytes = b"") -> Consuming:
    """Write three records and read them; the one that is held never ends."""
    await bus.make(CALLS)
    for value in (b"0", b"1", b"2"):
        await bus.write("calls", b"", value)

    async def handle(record: Record) -> None:
        if record.value == held:
            await asyncio.Event().wait()

    consuming = Consuming(bus, "group", handle, SimClock(), is_only_reader=is_only_reader)
    consuming.want({"calls": "earliest"})
    return consuming


async def kept(bus: MemoryBus, consuming: Consuming, span_s: float) -> list[bytes]:
    """Run for a while; return the records that are there afterwards."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(span_s):
            await consuming.run()
    return [one.value for one in bus.logs[PLACE].records]


@pytest.mark.parametrize(
    ("is_only_reader", "held", "left"),
    [
        (True, b"", []),
        (True, b"1", [b"1", b"2"]),
        (True, b"0", [b"0", b"1", b"2"]),
        (False, b"", [b"0", b"1", b"2"]),
    ],
)
def test_what_is_committed_is_removed_where_nobody_else_reads_it(
    is_only_reader: bool, held: bytes, left: list[bytes]
) -> None:
    async def run() -> None:
        bus = MemoryBus(SimClock())
        consuming = await consumed(bus, is_only_reader=is_only_reader, held=held)
        assert await kept(bus, consuming, SHORTEN_S + 5) == left

    run_simulated(run())


@pytest.mark.parametrize("why", [BusTrouble("not authorized"), NoTopic("calls")])
def test_a_bus_that_keeps_everything_is_read_on_and_shortened_once_it_lets_us(
    why: Exception,
) -> None:
    async def run() -> None:
        bus = Refusing(SimClock())
        bus.why = why
        consuming = await consumed(bus, is_only_reader=True)
        running = asyncio.create_task(consuming.run())
        await asyncio.sleep(SHORTEN_S + 5)
        await bus.write("calls", b"", b"3")
        await asyncio.sleep(5)
        assert bus.committed["group", PLACE] == 4
        assert len(bus.logs[PLACE].records) == 4
        bus.is_refusing = False
        await asyncio.sleep(SHORTEN_S)
        assert bus.logs[PLACE].records == []
        running.cancel()

    run_simulated(run())
