"""One thread for everybody: turns, the gate before queries, and the group commit."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

import pytest

from cubernetes.host.clock import SystemClock
from tsdb.cooperative import run_in_slices
from tsdb.errors import DiskRefused, Overloaded, QueryTimeout
from tsdb.gate import QueryGate
from tsdb.limits import Limits
from tsdb.storage.commit import Committer


class Work:
    """Steps without end, which note how many were taken and that they were closed."""

    def __init__(self, step_count: int) -> None:
        self.left = step_count
        self.is_closed = False

    def steps(self) -> Generator[None, None, str]:
        try:
            while self.left:
                self.left -= 1
                yield
        finally:
            self.is_closed = True
        return "done"


async def test_work_in_turns_lets_others_run_and_returns_its_value() -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(another())
    assert await run_in_slices(Work(100).steps(), SystemClock(), slice_s=0.0) == "done"
    other.cancel()
    assert turns >= 90


async def test_cancelled_work_ends_at_its_next_turn_and_is_closed() -> None:
    work = Work(10**9)
    task = asyncio.create_task(run_in_slices(work.steps(), SystemClock(), slice_s=0.0))
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert work.is_closed
    assert 0 < work.left < 10**9


async def test_the_gate_lets_some_in_keeps_some_waiting_and_sends_others_away() -> None:
    gate = QueryGate(Limits(queries_at_once=2, queries_waiting=1))
    leave = asyncio.Event()

    async def inside() -> None:
        async with gate.place(5.0):
            await leave.wait()

    tasks = [asyncio.create_task(inside()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (gate.running, gate.waiting) == (2, 1)
    with pytest.raises(Overloaded, match="queries_waiting"):
        await inside()
    leave.set()
    await asyncio.gather(*tasks)
    assert (gate.running, gate.waiting, gate.refused) == (0, 0, 1)


async def test_whoever_waits_too_long_before_the_gate_times_out() -> None:
    gate = QueryGate(Limits(queries_at_once=1, queries_waiting=5))

    async def late() -> None:
        async with gate.place(0.01):
            pass

    async with gate.place(1.0):
        with pytest.raises(QueryTimeout):
            await late()
    await late()
    assert gate.waiting == 0


async def test_one_sync_acknowledges_everybody(small: Any) -> None:
    committer = Committer(small.store, SystemClock(), 0.0)
    small.put("a", 1, 1.0)
    before = small.store.counters.syncs

    await asyncio.gather(*(committer.acknowledge() for _ in range(50)))

    assert small.store.counters.syncs - before == 1


async def test_a_sync_that_fails_acknowledges_nobody(small: Any) -> None:
    committer = Committer(small.store, SystemClock(), 0.0)
    small.put("a", 1, 1.0)
    small.store.wal.broken = "Input/output error"

    told = await asyncio.gather(
        *(committer.acknowledge() for _ in range(5)), return_exceptions=True
    )

    assert [type(one) for one in told] == [DiskRefused] * 5
    small.upkeep()
    await committer.acknowledge()


async def test_with_an_interval_the_sync_comes_later_and_its_failure_is_told(small: Any) -> None:
    committer = Committer(small.store, SystemClock(), 0.02)
    before = small.store.counters.syncs
    await committer.acknowledge()
    assert small.store.counters.syncs == before

    small.store.wal.broken = "Input/output error"

    async def until_refused() -> None:
        async with asyncio.timeout(60):
            while True:
                await committer.acknowledge()
                await asyncio.sleep(0.01)

    with pytest.raises(DiskRefused):
        await until_refused()
    small.store.wal.broken = ""
    await committer.finish()
