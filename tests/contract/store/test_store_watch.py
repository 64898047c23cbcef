"""What every store promises about watches: in memory and in a real etcd."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from apiserver.storage.store import Change, Changes, Compacted, Delete, Entry, Put, Store
from tests.contract.store.stores import (
    changes_until,
    next_of,
    watching,
    write,
)


async def test_a_watch_tells_each_change_with_what_was_before(store: Store, at: str) -> None:
    start = await write(store, f"{at}old", b"0")
    async with watching(store, at, start) as watch:
        first = await write(store, f"{at}a", b"1")
        second = await write(store, f"{at}a", b"2")
        third = (await store.commit([], [Delete(f"{at}a"), Delete(f"{at}b")])).revision
        seen = await changes_until(watch, third)

    one, two = Entry(f"{at}a", b"1", first), Entry(f"{at}a", b"2", second)
    assert seen == [
        Change(f"{at}a", first, b"1", None),
        Change(f"{at}a", second, b"2", one),
        Change(f"{at}a", third, None, two),
    ]


async def test_a_watch_begins_behind_its_revision_however_old(store: Store, at: str) -> None:
    revisions = [await write(store, f"{at}{number % 3}") for number in range(20)]

    for place in (0, 7, 18):
        async with watching(store, at, revisions[place]) as watch:
            seen = await changes_until(watch, revisions[-1])
        assert [change.revision for change in seen] == revisions[place + 1 :]


async def test_a_watch_hears_of_nothing_outside_its_prefix(store: Store, at: str) -> None:
    start = await write(store, f"{at}p/a")
    async with watching(store, f"{at}p/", start) as watch:
        for key in (f"{at}p", f"{at}p0", f"{at}q/a", at):
            await write(store, key)
        last = await write(store, f"{at}p/b")

        assert [change.key for change in await changes_until(watch, last)] == [f"{at}p/b"]


async def test_the_empty_prefix_is_every_key(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")
    async with watching(store, "", start) as watch:
        last = await write(store, f"{at}b")

        assert [change.key for change in await changes_until(watch, last)] == [f"{at}b"]
    assert f"{at}b" in [entry.key for entry in (await store.list("")).entries]


async def test_the_changes_of_one_revision_come_together(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")
    count = 12
    for _ in range(count):
        # More than etcd sends in one message, so that it must cut them into fragments.
        await store.commit([], [Put(f"{at}{key}", bytes(120_000)) for key in range(10)])

    parts: list[Changes] = []
    async with watching(store, at, start) as watch:
        async for changes in watch:
            parts.append(changes)
            if changes.revision >= start + count:
                break

    told = [{change.revision for change in part.changes} for part in parts]
    assert sum(len(part.changes) for part in parts) == 10 * count
    assert sum(len(each) for each in told) == len(set().union(*told)) == count
    assert all(
        part.revision >= max(change.revision for change in part.changes)
        for part in parts
        if part.changes
    )


async def test_a_watch_misses_nothing_while_many_write(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")

    async def write_some(number: int) -> None:
        for turn in range(20):
            await write(store, f"{at}{number}", str(turn).encode())

    async with watching(store, at, start) as watch:
        writers = asyncio.gather(*(write_some(number) for number in range(20)))
        seen = [await next_of(watch)]
        await writers
        last = (await store.get(at))[1]
        rest = await changes_until(watch, last) if seen[0].revision < last else []

    changes = [*seen[0].changes, *rest]
    assert len(changes) == len({(change.key, change.revision) for change in changes}) == 400
    assert [change.revision for change in changes] == sorted(c.revision for c in changes)
    for number in range(20):
        own = [change.value for change in changes if change.key == f"{at}{number}"]
        assert own == [str(turn).encode() for turn in range(20)]


async def test_progress_reaches_an_idle_watch_at_the_present_revision(
    store: Store, at: str
) -> None:
    start = await write(store, f"{at}a")
    async with (
        watching(store, f"{at}idle/", start) as idle,
        watching(store, f"{at}also/", start) as also,
    ):
        waiting = [asyncio.ensure_future(anext(each)) for each in (idle, also)]
        now = await write(store, f"{at}a")
        # A watch begins with its first step; it may be asked only once it has begun.
        await asyncio.sleep(0.1)
        await store.progress()

        for told in await asyncio.gather(*waiting):
            assert told.changes == ()
            assert told.revision >= now


async def test_progress_asked_for_while_a_consumer_works_is_not_forgotten(
    store: Store, at: str
) -> None:
    start = await write(store, f"{at}idle/a")
    async with watching(store, f"{at}idle/", start - 1) as watch:
        assert (await next_of(watch)).revision == start
        now = await write(store, f"{at}busy")
        await store.progress()

        assert (await next_of(watch, deadline_s=60.0)).revision >= now


async def test_an_idle_watch_tells_the_revision_at_least_every_ten_seconds(
    store: Store, at: str
) -> None:
    start = await write(store, f"{at}a")
    async with watching(store, f"{at}idle/", start) as watch:
        told = await next_of(watch, deadline_s=10.0)

    assert told == Changes((), start)


async def test_a_watch_of_what_is_compacted_is_refused(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")
    last = [await write(store, f"{at}a") for _ in range(5)][-1]
    await store.compact(last)

    async with watching(store, at, start) as watch:
        with pytest.raises(Compacted) as told:
            await next_of(watch)
    assert told.value.revision == last

    async with watching(store, at, last) as watch:
        after = await write(store, f"{at}a")
        assert len(await changes_until(watch, after)) == 1


async def test_a_delete_whose_last_value_is_compacted_is_never_told_without_it(
    store: Store, at: str
) -> None:
    start = await write(store, f"{at}a", b"1")
    deleted = (await store.commit([], [Delete(f"{at}a")])).revision
    await store.compact(deleted)

    async with watching(store, at, start) as watch:
        with pytest.raises(Compacted) as told:
            await next_of(watch)
    assert told.value.revision == deleted


async def test_a_creation_at_the_compacted_revision_is_still_told(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")
    created = await write(store, f"{at}b")
    await store.compact(created)

    async with watching(store, at, start) as watch:
        assert await changes_until(watch, created) == [Change(f"{at}b", created, b"x", None)]


async def test_a_watch_that_falls_behind_a_compaction_is_told_so(store: Store, at: str) -> None:
    revision = start = await write(store, f"{at}a")
    async with watching(store, at, start) as watch:
        revision = await write(store, f"{at}a")
        assert (await next_of(watch)).revision == revision
        # Far more than the buffers between etcd and a consumer that does not read can hold.
        for _ in range(60):
            ops = [Put(f"{at}{key}", bytes(140_000)) for key in range(10)]
            last = (await store.commit([], ops)).revision
        await store.compact(last)
        await write(store, f"{at}a")

        seen: list[Change] = []
        told = 0
        try:
            while not seen or seen[-1].revision < last:
                seen += (await next_of(watch)).changes
        except Compacted as error:
            told = error.revision

    assert told == last
    told_revisions = sorted({change.revision for change in seen})
    assert told_revisions == list(range(revision + 1, revision + 1 + len(told_revisions)))


async def next_change(watch: AsyncIterator[Changes]) -> Change:
    """Return the first change that the watch tells; what tells of none is progress."""
    async with asyncio.timeout(60):
        while True:
            told = await anext(watch)
            if told.changes:
                (change,) = told.changes
                return change


async def test_an_idle_watch_is_not_behind_a_compaction(store: Store, at: str) -> None:
    start = await write(store, f"{at}idle/a")
    async with watching(store, f"{at}idle/", start) as watch:
        # What it has told, it has begun with: one that begins later is behind, and says so.
        first = await write(store, f"{at}idle/a", b"1")
        await changes_until(watch, first)
        waiting = asyncio.ensure_future(next_change(watch))
        await asyncio.sleep(0)  # a consumer waits from its first step on
        for _ in range(5):
            last = await write(store, f"{at}busy")
        await store.compact(last)
        await write(store, f"{at}idle/a", b"2")
        told = await waiting

    assert told.value == b"2"


async def test_closing_the_store_ends_its_watches(store: Store, at: str) -> None:
    start = await write(store, f"{at}a")
    watch = store.watch(at, after=start)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0.1)

    await store.close()

    assert await waiting is None


async def test_a_watch_may_begin_in_the_future(store: Store, at: str) -> None:
    now = await write(store, f"{at}a")
    async with watching(store, at, now + 2) as watch:
        waiting = asyncio.ensure_future(changes_until(watch, now + 3))
        await asyncio.sleep(0.05)
        for _ in range(3):
            await write(store, f"{at}a")

        assert [change.revision for change in await waiting] == [now + 3]
