"""A store that is full, in memory and in a real etcd: what it takes, and how it gets room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Delete, StorageFull, Store, Usage, WriteInDoubt
from cubernetes.host.env import Env
from tests.contract.store.stores import etcd_cluster, etcd_running, etcd_store, write

QUOTA_BYTES = 8 * 1024 * 1024
VALUE = bytes(250_000)


@pytest.fixture(params=["memory", "etcd"])
async def small(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store with a small quota."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            store: Store = MemoryStore(Env(), quota_bytes=QUOTA_BYTES)
            stack.push_async_callback(store.close)
        else:
            server = stack.enter_context(etcd_running("--quota-backend-bytes", str(QUOTA_BYTES)))
            store = await stack.enter_async_context(
                etcd_store(server.address, quota_bytes=QUOTA_BYTES)
            )
        yield store


async def told(store: Store, is_so: Callable[[Usage], bool]) -> Usage:
    """Ask until the store tells it: etcd commits its file ten times a second."""
    async with asyncio.timeout(60):
        while not is_so(usage := await store.usage()):  # noqa: ASYNC110  it must be asked
            await asyncio.sleep(0.02)
    return usage


async def filled(store: Store) -> int:
    """Write one key over and over until no more is taken; return how often it was."""
    for count in range(1000):
        try:
            await write(store, "/a", VALUE)
        except StorageFull:
            return count
    raise AssertionError("it takes whatever comes")


async def test_a_store_tells_how_full_it_is(small: Store) -> None:
    before = await small.usage()
    for _ in range(8):
        await write(small, "/a", VALUE)
    after = await told(small, lambda one: one.used_bytes - before.used_bytes >= 7 * len(VALUE))

    assert (before.quota_bytes, before.is_full) == (QUOTA_BYTES, False)
    assert after.size_bytes >= after.used_bytes
    assert not after.is_full


async def test_a_full_store_says_so_and_deletes(small: Store) -> None:
    assert await filled(small) > 8
    assert (await small.usage()).is_full
    with pytest.raises(StorageFull):
        await write(small, "/b", b"")
    assert (await small.get("/a"))[0] is not None
    assert (await small.commit([], [Delete("/a")])).succeeded


async def test_history_takes_room_until_it_is_compacted(small: Store) -> None:
    for _ in range(8):
        revision = await write(small, "/a", VALUE)
    before = await told(small, lambda one: one.used_bytes >= 7 * len(VALUE))
    await small.compact(revision)
    async with asyncio.timeout(60):
        # It is measured at a write: here are some.
        while (after := await small.usage()).used_bytes >= before.used_bytes / 2:
            await write(small, "/b", b"")
    assert after.size_bytes >= before.size_bytes


async def test_a_full_file_takes_room_until_it_is_defragmented(small: Store) -> None:
    await filled(small)
    full = await small.usage()
    _, revision = await small.get("/a")

    await small.compact(revision)
    assert (await small.usage()).size_bytes >= full.size_bytes
    await small.defragment()
    await told(small, lambda one: one.size_bytes < full.size_bytes / 4)
    # All of that gives room, and does not yet let anybody in.
    with pytest.raises(StorageFull):
        await write(small, "/b", b"")
    await small.disarm()
    assert not (await small.usage()).is_full
    await write(small, "/b", VALUE)
    assert await filled(small) > 8


async def test_who_disarms_a_store_without_room_has_it_full_again(small: Store) -> None:
    await filled(small)
    await small.disarm()
    with pytest.raises(StorageFull):
        await write(small, "/a", VALUE)
    assert (await small.usage()).is_full


async def test_what_is_not_needed_may_be_asked_for(small: Store) -> None:
    await write(small, "/a")
    await small.defragment()
    await small.disarm()
    assert not (await small.usage()).is_full


async def written_at_last(store: Store) -> None:
    """Write until it is answered: what was handed to a leader that died never is."""
    async with asyncio.timeout(60):
        while True:
            with suppress(WriteInDoubt):
                await write(store, "/first", b"")
                return


@pytest.mark.etcd
async def test_a_member_that_is_away_keeps_nobody_from_looking_after_the_others() -> None:
    with etcd_cluster(3) as members:
        async with etcd_store(*(one.address for one in members), quota_bytes=QUOTA_BYTES) as store:
            members[1].kill()
            await written_at_last(store)
            for _ in range(8):
                revision = await write(store, "/a", VALUE)
            before = await told(store, lambda one: one.used_bytes >= 7 * len(VALUE))
            await store.compact(revision)
            smaller_by = 5 * len(VALUE)
            async with asyncio.timeout(60):
                while True:
                    # The member that was asked has forgotten by now; the other one may be behind.
                    await store.defragment()
                    after = await store.usage()
                    if after.size_bytes < before.size_bytes - smaller_by:
                        break
    assert (after.quota_bytes, after.is_full) == (QUOTA_BYTES, False)
