"""What the store in memory promises beyond the contract: it is bounded, quiet and repeatable."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from apiserver.storage.memory import CHANGES_PER_YIELD_MAX, MemoryStore
from apiserver.storage.store import Changes, Compacted, Delete, Put
from cubernetes.host.env import Env


class HandClock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, span_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (self._now + span_s, waiter)
        self.sleepers.append(sleeper)
        try:
            await waiter
        finally:
            self.sleepers.remove(sleeper)

    async def advance(self, span_s: float) -> None:
        await settle()
        self._now += span_s
        for until, waiter in list(self.sleepers):
            if until <= self._now and not waiter.done():
                waiter.set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lease_ends_exactly_when_its_time_is_over() -> None:
    clock = HandClock()
    store = MemoryStore(Env(clock=clock))
    lease = await store.grant(10)
    await store.commit([], [Put("/a", b"", lease)])

    await clock.advance(9)
    assert await store.renew(lease)
    await clock.advance(9.5)
    assert (await store.get("/a"))[0] is not None
    await clock.advance(0.5)

    assert await store.get("/a") == (None, 3)
    assert not await store.renew(lease)
    await store.close()


async def test_without_watches_and_leases_nothing_waits_for_time() -> None:
    clock = HandClock()
    store = MemoryStore(Env(clock=clock))
    watch = store.watch("/", after=1)
    waiting = asyncio.ensure_future(anext(watch))
    lease = await store.grant(10)
    await settle()
    assert len(clock.sleepers) == 2

    await store.commit([], [Put("/a", b"")])
    await waiting
    await watch.aclose()
    await store.revoke(lease)
    await settle()

    assert clock.sleepers == []


async def test_an_idle_watch_is_told_of_time_passing() -> None:
    clock = HandClock()
    store = MemoryStore(Env(clock=clock))
    watch = store.watch("/idle/", after=1)
    waiting = asyncio.ensure_future(anext(watch))
    await settle()
    await store.commit([], [Put("/busy", b"")])
    await clock.advance(10)

    assert await waiting == Changes((), 2)
    await watch.aclose()
    await store.close()


async def test_history_is_bounded_and_the_oldest_goes_first() -> None:
    store = MemoryStore(Env(), history_revisions_max=10)
    for number in range(100):
        await store.commit([], [Put("/a", str(number).encode())])

    _, revision = await store.get("/a")
    assert (await store.list("/", revision=revision - 10)).entries[0].value == b"89"
    with pytest.raises(Compacted) as told:
        await store.list("/", revision=revision - 20)
    assert told.value.revision <= revision - 10


async def test_a_long_backlog_comes_in_parts() -> None:
    store = MemoryStore(Env())
    for _ in range(CHANGES_PER_YIELD_MAX // 100 + 2):
        await store.commit([], [Put(f"/{key}", b"") for key in range(100)])

    watch = store.watch("/", after=1)
    first, second = await anext(watch), await anext(watch)
    await watch.aclose()
    await store.close()

    assert [len(first.changes), len(second.changes)] == [CHANGES_PER_YIELD_MAX, 200]


async def test_a_watch_from_the_very_beginning_tells_everything() -> None:
    store = MemoryStore(Env())
    await store.commit([], [Put("/a", b"")])
    await store.compact(1)

    watch = store.watch("/", after=0)
    changes = await anext(watch)
    await watch.aclose()
    await store.close()

    assert [change.key for change in changes.changes] == ["/a"]


async def test_keys_of_a_lease_go_in_one_revision_and_in_order() -> None:
    store = MemoryStore(Env())
    lease = await store.grant(5)
    for key in ("/c", "/a", "/b", "/taken-away"):
        await store.commit([], [Put(key, b"", lease)])
    await store.commit([], [Delete("/taken-away"), Put("/kept", b"", lease)])
    last = (await store.commit([], [Put("/kept", b"")])).revision
    await store.revoke(lease)

    watch = store.watch("/", after=last)
    changes = await anext(watch)
    await watch.aclose()
    await store.close()

    assert [change.key for change in changes.changes] == ["/a", "/b", "/c"]
    assert changes.revision == last + 1
