"""What only a real etcd can show: crashes, lost connections, certificates, quotas, versions."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from apiserver.storage.etcd.store import EtcdStore, connect
from apiserver.storage.settings import EtcdSettings
from apiserver.storage.store import (
    Change,
    Compacted,
    Compare,
    Delete,
    Put,
    StorageFull,
    Unavailable,
    WriteInDoubt,
)
from cubernetes.host.env import Env
from tests.contract.store.certificates import write_certificates
from tests.contract.store.stores import (
    EtcdServer,
    changes_until,
    etcd_cluster,
    etcd_running,
    etcd_store,
    next_of,
    wire_to,
    write,
)
from tests.ports import free_ports

pytestmark = pytest.mark.etcd

DEADLINE_S = 120.0  # so long that no test could wait for it
# Calls of Python code in two seconds of watches whose etcd is down; a loop without a pause has
# a million.
CALLS_MAX = 100_000


@contextmanager
def calls_counted() -> Iterator[list[int]]:
    """Count the calls of Python code in the block: its one entry."""
    monitoring, tool, counted = sys.monitoring, sys.monitoring.PROFILER_ID, [0]

    def count(*_: object) -> None:
        counted[0] += 1

    monitoring.use_tool_id(tool, "calls")
    try:
        monitoring.register_callback(tool, monitoring.events.PY_START, count)
        monitoring.set_events(tool, monitoring.events.PY_START)
        yield counted
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


async def write_through_trouble(store: EtcdStore, at: str, count: int) -> None:
    """Write count values under one key, each exactly once, whatever the store says meanwhile."""
    revision = 0
    for number in range(count):
        value = str(number).encode()
        while True:
            try:
                outcome = await store.commit([Compare(at, revision)], [Put(at, value)])
            except (Unavailable, WriteInDoubt):
                await asyncio.sleep(0.02)
                continue
            if not outcome.succeeded:
                # An unknown outcome turns out to have been a success.
                (found,) = outcome.found
                assert found is not None
                assert found.value == value
                revision = found.revision
            else:
                revision = outcome.revision
            break


async def test_a_watch_has_no_gap_and_no_twin_over_two_crashes_of_etcd() -> None:
    with etcd_running() as server:
        async with etcd_store(server.address) as store:
            start = await write(store, "/outside")
            async with aclosing(store.watch("/q/", after=start)) as watch:
                seen: list[Change] = []

                async def read() -> None:
                    while not seen or seen[-1].value != b"299":
                        seen.extend((await next_of(watch)).changes)

                work = asyncio.gather(read(), write_through_trouble(store, "/q/a", 300))
                for _ in range(2):
                    await asyncio.sleep(0.1)
                    server.kill()
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(server.start)
                await work

    assert [change.value for change in seen] == [str(number).encode() for number in range(300)]
    assert [change.revision for change in seen] == list(range(start + 1, start + 301))
    assert [change.previous.value for change in seen[1:] if change.previous] == [
        change.value for change in seen[:-1]
    ]


async def test_a_cut_watch_goes_on_where_it_was(etcd: EtcdServer) -> None:
    async with (
        wire_to(etcd) as wire,
        etcd_store(wire.address) as far,
        etcd_store(etcd.address) as near,
    ):
        start = await write(near, "/cut/a")
        async with aclosing(far.watch("/cut/", after=start)) as watch:
            for _ in range(3):
                await wire.cut()
                await write(near, "/cut/a")
                last = await write(near, "/cut/b")
                await wire.heal()
                seen = await changes_until(watch, last)

                assert [change.revision for change in seen] == [last - 1, last]


async def test_a_watch_that_was_cut_over_a_compaction_is_told_so(etcd: EtcdServer) -> None:
    async with (
        wire_to(etcd) as wire,
        etcd_store(wire.address) as far,
        etcd_store(etcd.address) as near,
    ):
        start = await write(near, "/cut/a")
        async with aclosing(far.watch("/cut/", after=start)) as watch:
            last = await write(near, "/cut/a")
            await changes_until(watch, last)
            await wire.cut()
            await write(near, "/cut/a")
            last = await write(near, "/cut/a")
            await near.compact(last)
            await wire.heal()

            with pytest.raises(Compacted) as told:
                await next_of(watch)
    assert told.value.revision == last


async def test_a_watch_leaves_a_connection_that_fell_silent(etcd: EtcdServer) -> None:
    async with (
        wire_to(etcd) as wire,
        etcd_store(wire.address, etcd.address) as store,
        etcd_store(etcd.address) as near,
    ):
        start = await write(near, "/silent/a")
        async with aclosing(store.watch("/silent/", after=start)) as watch:
            await changes_until(watch, await write(near, "/silent/a"))
            wire.answers_pass.clear()
            last = await write(near, "/silent/a")

            assert [change.revision for change in await changes_until(watch, last)] == [last]


async def test_a_write_whose_answer_is_lost_is_unknown_and_may_have_happened(
    etcd: EtcdServer,
) -> None:
    async with (
        wire_to(etcd) as wire,
        etcd_store(wire.address, deadline_s=2.0) as far,
        etcd_store(etcd.address) as near,
    ):
        await far.get("/lost")
        wire.answers_pass.clear()
        # The first goes alone, the others share a transaction: each is told the same.
        said = await asyncio.gather(
            *(write(far, f"/lost/{number}") for number in range(5)), return_exceptions=True
        )
        read = await asyncio.gather(far.get("/lost/0"), return_exceptions=True)

        assert [type(each) for each in said] == [WriteInDoubt] * 5
        assert [type(each) for each in read] == [Unavailable]
        assert len((await near.list("/lost/")).entries) == 5


async def test_a_connection_that_breaks_under_a_write_leaves_it_unknown(etcd: EtcdServer) -> None:
    async with (
        wire_to(etcd) as wire,
        etcd_store(wire.address) as far,
        etcd_store(etcd.address) as near,
    ):
        await far.get("/broken")
        wire.answers_pass.clear()
        writing = asyncio.ensure_future(write(far, "/broken/a"))
        async with asyncio.timeout(60):
            while (await near.get("/broken/a"))[0] is None:  # noqa: ASYNC110  etcd has it
                await asyncio.sleep(0.02)
        await wire.cut()

        with pytest.raises(WriteInDoubt):
            await writing


async def test_with_etcd_down_a_write_did_not_happen_and_says_so_at_once() -> None:
    with etcd_running() as server:
        async with etcd_store(server.address, deadline_s=DEADLINE_S) as store:
            await write(store, "/a")
            server.kill()
            begun = time.monotonic()
            said: list[object] = []
            while Unavailable not in said and time.monotonic() < begun + 5:
                # The first may meet the dying connection, and then cannot know.
                (error,) = await asyncio.gather(write(store, "/a"), return_exceptions=True)
                said.append(type(error))
            # It is known at once: nothing waits for the deadline, which is far off.
            with pytest.raises(Unavailable):
                async with asyncio.timeout(DEADLINE_S / 2):
                    await write(store, "/a")

    assert set(said) <= {Unavailable, WriteInDoubt}


async def test_a_second_endpoint_answers_where_the_first_is_dead(etcd: EtcdServer) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    async with etcd_store(dead, etcd.address) as store:
        revision = await write(store, "/second/a")
        assert (await store.get("/second/a"))[1] >= revision
        async with aclosing(store.watch("/second/", after=revision - 1)) as watch:
            assert len(await changes_until(watch, revision)) == 1


@pytest.mark.parametrize("fate", ["kill", "freeze"])
async def test_a_cluster_goes_on_without_the_member_in_use(fate: str) -> None:
    with etcd_cluster(3) as members:
        async with etcd_store(*(each.address for each in members), deadline_s=1.0) as store:
            start = await write_when_up(store)
            async with aclosing(store.watch("/q/", after=start)) as watch:
                seen: list[Change] = []

                async def read() -> None:
                    while not seen or seen[-1].value != b"199":
                        seen.extend((await next_of(watch)).changes)

                work = asyncio.gather(read(), write_through_trouble(store, "/q/a", 200))
                await asyncio.sleep(0.1)
                if fate == "kill":
                    members[0].kill()
                else:
                    members[0].freeze()
                async with asyncio.timeout(60):
                    await work

    assert [change.value for change in seen] == [str(number).encode() for number in range(200)]


async def test_watches_cost_next_to_nothing_while_etcd_is_down() -> None:
    with etcd_running() as server:
        async with etcd_store(server.address) as store:
            watches = [store.watch("/a", after=1) for _ in range(10)]
            waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
            await asyncio.sleep(0.2)
            server.kill()
            with calls_counted() as calls:
                await asyncio.sleep(2.0)
            await asyncio.to_thread(server.start)
            last = await write_when_up(store)
            told = await asyncio.gather(*waiting)

    assert calls[0] < CALLS_MAX
    assert all(changes.revision <= last for changes in told)


async def write_when_up(store: EtcdStore) -> int:
    async with asyncio.timeout(60):
        while True:
            try:
                return await write(store, "/a")
            except (Unavailable, WriteInDoubt):
                await asyncio.sleep(0.05)


async def test_a_watch_that_its_consumer_closes_ends_in_etcd_too(etcd: EtcdServer) -> None:
    name = "etcd_debugging_mvcc_watcher_total"

    async def until_watchers(count: int) -> None:
        async with asyncio.timeout(60):
            # etcd has no way to tell of it but the number itself.
            while await asyncio.to_thread(etcd.metric, name) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async with etcd_store(etcd.address) as store:
        start = await write(store, "/closed")
        # Those of the tests before.
        await until_watchers(0)
        async with aclosing(store.watch("/closed", after=start - 1)) as watch:
            await next_of(watch)
            await until_watchers(1)

        await until_watchers(0)


async def fill(store: EtcdStore, value: bytes) -> None:
    for number in range(1000):
        await write(store, f"/full/{number}", value)


async def test_a_full_etcd_still_reads_and_deletes() -> None:
    with etcd_running("--quota-backend-bytes", str(4 * 1024 * 1024)) as server:
        async with etcd_store(server.address) as store:
            with pytest.raises(StorageFull):
                await fill(store, bytes(1_000_000))
            # The alarm, by which every write is refused, comes a moment after the first refusal.
            with pytest.raises(StorageFull):
                await fill(store, b"")

            assert (await store.get("/full/1"))[0] is not None
            assert (await store.commit([], [Delete("/full/1")])).succeeded
            # Together, the delete must not suffer from the puts beside it.
            said = await asyncio.gather(
                *(write(store, f"/more/{number}") for number in range(3)),
                store.commit([], [Delete("/full/2")]),
                return_exceptions=True,
            )
            assert [type(each) for each in said[:3]] == [StorageFull] * 3
            assert not isinstance(said[3], BaseException)


async def test_only_a_client_with_our_certificate_is_served(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    flags = [
        "--client-cert-auth", "--trusted-ca-file", f"{tmp_path}/ca.crt",
        "--cert-file", f"{tmp_path}/server.crt", "--key-file", f"{tmp_path}/server.key",
    ]  # fmt: skip
    with etcd_running(*flags, scheme="https") as server:
        ours = EtcdSettings(
            endpoints=(server.address,),
            ca_file=f"{tmp_path}/ca.crt",
            cert_file=f"{tmp_path}/client.crt",
            key_file=f"{tmp_path}/client.key",
        )
        store = await connect(ours, Env())
        revision = await write(store, "/a")
        async with aclosing(store.watch("/a", after=revision - 1)) as watch:
            assert (await next_of(watch)).revision == revision
        await store.close()

        with pytest.raises(Unavailable):
            await connect(EtcdSettings(endpoints=ours.endpoints, deadline_s=1.0), Env())


async def test_nothing_that_answers_is_unavailable_at_the_start() -> None:
    with pytest.raises(Unavailable):
        await connect(EtcdSettings(endpoints=(f"127.0.0.1:{free_ports(1)[0]}",)), Env())


async def test_a_plain_connection_beyond_loopback_is_refused() -> None:
    with pytest.raises(ValueError, match="certificates"):
        await connect(EtcdSettings(endpoints=("192.0.2.1:2379",)), Env())
