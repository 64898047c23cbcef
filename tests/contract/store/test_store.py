"""What every store promises (apiserver/storage/store.py): in memory and in a real etcd."""

import asyncio

import pytest

from apiserver.storage.limits import REQUEST_BYTES_MAX, TXN_OPS_MAX
from apiserver.storage.store import (
    Compacted,
    Compare,
    Delete,
    Entry,
    FutureRevision,
    LeaseEnded,
    Page,
    Put,
    Store,
    TooLarge,
    Unavailable,
)
from tests.contract.store.stores import changes_until, write


async def test_what_was_written_is_read_with_its_revision(store: Store, at: str) -> None:
    assert (await store.get(f"{at}a"))[0] is None

    revision = await write(store, f"{at}a", b"\0\xff")

    assert await store.get(f"{at}a") == (Entry(f"{at}a", b"\0\xff", revision), revision)


async def test_every_commit_that_writes_has_a_new_revision_and_no_other(
    store: Store, at: str
) -> None:
    first = await write(store, f"{at}a")
    second = await store.commit([], [Put(f"{at}a", b"2"), Put(f"{at}b", b"2")])
    nothing = await store.commit([], [Delete(f"{at}absent")])
    asked = await store.commit([Compare(f"{at}a", second.revision)], [])

    assert second.revision == first + 1
    assert (nothing.succeeded, nothing.revision) == (True, second.revision)
    assert (asked.succeeded, asked.revision) == (True, second.revision)
    assert [entry.revision for entry in (await store.list(at)).entries] == [second.revision] * 2


async def test_of_fifty_who_create_the_same_key_one_wins(store: Store, at: str) -> None:
    async def create(number: int) -> bool:
        value = str(number).encode()
        return (await store.commit([Compare(f"{at}a", 0)], [Put(f"{at}a", value)])).succeeded

    won = await asyncio.gather(*(create(number) for number in range(50)))

    assert sum(won) == 1
    entry, _ = await store.get(f"{at}a")
    assert entry is not None
    assert entry.value == str(won.index(True)).encode()


async def test_a_failed_commit_writes_nothing_and_tells_what_stands_there(
    store: Store, at: str
) -> None:
    revision = await write(store, f"{at}a", b"1")

    outcome = await store.commit(
        [Compare(f"{at}a", revision - 1), Compare(f"{at}b", 0), Compare(f"{at}a", revision)],
        [Put(f"{at}b", b"2"), Delete(f"{at}a")],
    )

    stands = Entry(f"{at}a", b"1", revision)
    assert not outcome.succeeded
    assert outcome.found == (stands, None, stands)
    assert await store.list(at) == Page((stands,), revision)


async def test_a_compare_holds_only_at_its_exact_revision(store: Store, at: str) -> None:
    old = await write(store, f"{at}a")
    new = await write(store, f"{at}a")

    assert not (await store.commit([Compare(f"{at}a", old)], [Delete(f"{at}a")])).succeeded
    assert not (await store.commit([Compare(f"{at}a", 0)], [Delete(f"{at}a")])).succeeded
    assert (await store.commit([Compare(f"{at}a", new)], [Delete(f"{at}a")])).succeeded
    assert (await store.commit([Compare(f"{at}a", 0)], [Put(f"{at}a", b"")])).succeeded


async def test_a_key_in_two_ops_is_a_bug_of_the_caller(store: Store, at: str) -> None:
    with pytest.raises(ValueError, match="two ops"):
        await store.commit([], [Put(f"{at}a", b"1"), Delete(f"{at}a")])


async def test_too_many_ops_or_bytes_are_refused_and_change_nothing(store: Store, at: str) -> None:
    with pytest.raises(TooLarge):
        await store.commit([], [Put(f"{at}{i}", b"") for i in range(TXN_OPS_MAX + 1)])
    with pytest.raises(TooLarge):
        await write(store, f"{at}a", bytes(REQUEST_BYTES_MAX))

    assert (await store.list(at)).entries == ()

    assert (await store.commit([], [Put(f"{at}{i}", b"") for i in range(TXN_OPS_MAX)])).succeeded
    await write(store, f"{at}a", bytes(REQUEST_BYTES_MAX - 4096))


async def test_a_list_is_in_key_order_and_only_of_its_prefix(store: Store, at: str) -> None:
    names = ["b", "a", "a/x", "B", "é", "a-", "\U0001f600", "~"]
    for name in [*names, "../outside"]:
        await write(store, f"{at}p/{name}" if name in names else f"{at}p0")
    await write(store, f"{at}p")

    page = await store.list(f"{at}p/")

    assert [entry.key for entry in page.entries] == sorted(f"{at}p/{name}" for name in names)
    assert not page.more


async def test_pages_of_a_pinned_revision_do_not_see_later_writes(store: Store, at: str) -> None:
    for number in range(10):
        await write(store, f"{at}{number}", b"old")
    first = await store.list(at, limit=4)
    await write(store, f"{at}5", b"new")
    await write(store, f"{at}55", b"new")
    await store.commit([], [Delete(f"{at}7"), Delete(f"{at}1")])

    second = await store.list(at, revision=first.revision, limit=4, after=first.entries[-1].key)
    third = await store.list(at, revision=first.revision, limit=4, after=second.entries[-1].key)

    pages = (first, second, third)
    assert [entry.key for page in pages for entry in page.entries] == [
        f"{at}{number}" for number in range(10)
    ]
    assert {entry.value for page in pages for entry in page.entries} == {b"old"}
    assert [page.more for page in pages] == [True, True, False]
    assert {page.revision for page in pages} == {first.revision}
    assert len((await store.list(at)).entries) == 9


async def test_a_list_longer_than_one_message_is_of_one_moment(store: Store, at: str) -> None:
    for begin in range(0, 2500, 100):
        await store.commit([], [Put(f"{at}{begin + i:05}", b"0") for i in range(100)])

    async def write_on() -> None:
        for _ in range(20):
            await store.commit([], [Put(f"{at}{i:05}", b"1") for i in range(0, 2500, 25)])

    page, _ = await asyncio.gather(store.list(at), write_on())

    assert len(page.entries) == 2500
    assert max(entry.revision for entry in page.entries) <= page.revision
    again = await store.list(at, revision=page.revision)
    assert again == page
    cut = await store.list(at, limit=1500)
    assert (len(cut.entries), cut.more) == (1500, True)
    assert not (await store.list(at, limit=2500)).more


async def test_after_need_not_exist_nor_lie_within_the_prefix(store: Store, at: str) -> None:
    await write(store, f"{at}b")

    assert len((await store.list(at, after=f"{at}a")).entries) == 1
    assert len((await store.list(at, after="/")).entries) == 1
    assert (await store.list(at, after=f"{at}b")).entries == ()
    assert (await store.list(at, after="~")).entries == ()


async def test_a_read_ahead_of_the_store_is_refused(store: Store, at: str) -> None:
    revision = await write(store, f"{at}a")

    with pytest.raises(FutureRevision):
        await store.list(at, revision=revision + 10)
    with pytest.raises(FutureRevision):
        await store.compact(revision + 10)


async def test_compaction_forgets_what_was_before_it_and_nothing_else(
    store: Store, at: str
) -> None:
    first = await write(store, f"{at}a", b"1")
    second = await write(store, f"{at}a", b"2")
    third = await write(store, f"{at}a", b"3")

    await store.compact(second)
    await store.compact(second)
    await store.compact(first)

    with pytest.raises(Compacted) as told:
        await store.list(at, revision=first)
    assert told.value.revision == second
    assert (await store.list(at, revision=second)).entries[0].value == b"2"
    assert (await store.list(at, revision=third)).entries[0].value == b"3"


async def test_a_key_goes_when_its_lease_ends(store: Store, at: str) -> None:
    lease = await store.grant(1)
    await store.commit([], [Put(f"{at}a", b"", lease), Put(f"{at}b", b"", lease)])
    revision = await write(store, f"{at}b", b"without a lease now")

    gone = await changes_until(store.watch(at, after=revision), revision + 1)

    assert [(change.key, change.value) for change in gone] == [(f"{at}a", None)]
    assert [entry.key for entry in (await store.list(at)).entries] == [f"{at}b"]
    assert not await store.renew(lease)


async def test_a_lease_that_is_renewed_does_not_end(store: Store, at: str) -> None:
    lease = await store.grant(3)
    await store.commit([], [Put(f"{at}a", b"", lease)])

    # Longer than it was granted for, and each time far sooner.
    for _ in range(5):
        await asyncio.sleep(0.7)
        assert await store.renew(lease)

    assert (await store.get(f"{at}a"))[0] is not None
    await store.revoke(lease)


async def test_a_revoked_lease_takes_its_keys_along_at_once(store: Store, at: str) -> None:
    lease = await store.grant(60)
    revision = (
        await store.commit([], [Put(f"{at}b", b"", lease), Put(f"{at}a", b"", lease)])
    ).revision

    await store.revoke(lease)
    await store.revoke(lease)

    assert await store.list(at) == Page((), revision + 1)
    assert not await store.renew(lease)
    with pytest.raises(LeaseEnded):
        await store.commit([], [Put(f"{at}a", b"", lease)])
    assert not (await store.commit([Compare(f"{at}a", 7)], [Put(f"{at}a", b"", lease)])).succeeded


async def test_two_hundred_commits_at_once_each_get_their_own_answer(store: Store, at: str) -> None:
    old = await write(store, f"{at}taken", b"")
    lease = await store.grant(60)
    await store.revoke(lease)

    async def commit(number: int) -> str:
        key = f"{at}{number:03}"
        match number % 10:
            case 3:
                taken = [Compare(f"{at}taken", 0), Compare(key, 0)]
                outcome = await store.commit(taken, [Put(key, b"")])
                assert outcome.found == (Entry(f"{at}taken", b"", old), None)
            case 7:
                with pytest.raises(LeaseEnded):
                    await store.commit([], [Put(key, b"", lease)])
                return "ended"
            case _:
                outcome = await store.commit([Compare(key, 0)], [Put(key, key.encode())])
                entry, _ = await store.get(key)
                assert entry == Entry(key, key.encode(), outcome.revision)
        return "written" if outcome.succeeded else "taken"

    said = await asyncio.gather(*(commit(number) for number in range(200)))

    assert [said.count(each) for each in ("written", "taken", "ended")] == [160, 20, 20]
    assert len((await store.list(at)).entries) == 161


async def test_counting_with_compares_loses_nothing(store: Store, at: str) -> None:
    async def add(key: str) -> None:
        while True:
            entry, _ = await store.get(key)
            value = str(int(entry.value) + 1 if entry else 1).encode()
            compare = Compare(key, entry.revision if entry else 0)
            if (await store.commit([compare], [Put(key, value)])).succeeded:
                return

    keys = [f"{at}{number % 4}" for number in range(40)]
    await asyncio.gather(*(add(key) for key in keys))

    assert [entry.value for entry in (await store.list(at)).entries] == [b"10"] * 4


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    await store.close()

    with pytest.raises(Unavailable):
        await store.get("/a")
    with pytest.raises(Unavailable):
        await store.commit([], [Put("/a", b"")])
