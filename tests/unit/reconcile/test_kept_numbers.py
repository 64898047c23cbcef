"""Numbers that planners keep reach the store behind the work, and wait while it is away."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng
from cubernetes.reconcile.journal import WAITING_MAX, Journal
from cubernetes.reconcile.plan import Keep
from cubernetes.reconcile.readings import Sample, SourceTrouble, Track
from tests.contract.api.world import StillClock


class One(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Store:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_away = False

    async def samples(self, query: str) -> Sequence[Sample]:
        return []

    async def tracks(self, query: str) -> Sequence[Track]:
        return []

    async def push(self, text: str) -> None:
        if self.is_away:
            raise SourceTrouble("connection refused")
        self.texts.append(text)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[tuple[Journal, StillClock]]:
    clock = StillClock()
    journal = Journal(store, Env(clock=clock, rng=SeededRng("journal")))
    task = asyncio.create_task(journal.run())
    await clock.advance(0)
    try:
        yield journal, clock
    finally:
        task.cancel()
        await asyncio.wait([task])


def a_number(value: float, **labels: str) -> Keep:
    return Keep((One(labels, value),), "decision")


async def test_numbers_are_sent_with_the_time_at_which_they_were_kept() -> None:
    store = Store()
    async with running(store) as (journal, clock):
        journal.keep(a_number(3, b='x"y\\z', a="1"))
        assert store.texts == []
        await clock.advance(1)
        at_ms = 1767225600000
        assert store.texts == [f'decision{{a="1",b="x\\"y\\\\z"}} 3 {at_ms}\n']
        await clock.advance(5)
        assert len(store.texts) == 1


async def test_while_the_store_is_away_they_wait_in_their_order() -> None:
    store = Store()
    store.is_away = True
    async with running(store) as (journal, clock):
        for value in range(3):
            journal.keep(a_number(value))
            await clock.advance(1)
        assert store.texts == []
        store.is_away = False
        await clock.advance(1)
        (text,) = store.texts
        assert [line.split()[1] for line in text.splitlines()] == ["0", "1", "2"]


async def test_at_most_so_many_wait_and_the_oldest_go() -> None:
    store = Store()
    async with running(store) as (journal, clock):
        journal.keep(Keep([One({}, value) for value in range(WAITING_MAX + 2)], "decision"))
        await clock.advance(1)
        lines = "".join(store.texts).splitlines()
        assert (len(lines), lines[0].split()[1]) == (WAITING_MAX, "2")


async def test_without_a_store_nothing_is_kept_and_nothing_waits() -> None:
    journal = Journal(None, Env(clock=StillClock(), rng=SeededRng("journal")))
    journal.keep(a_number(1))
    assert journal.waiting == 0
    await journal.run()  # it ends at once
