"""What clients are told when the store has trouble: never a lie about what happened."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.state.mirror import StoreWentBack
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import (
    Changes,
    Compare,
    Delete,
    Entry,
    Op,
    Outcome,
    StorageFull,
    StoreError,
    Unavailable,
    WriteInDoubt,
)
from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng
from tests.contract.api.world import PODS, StillClock, World, a_pod, a_world, settled


class TroubledStore:
    """A memory store that fails as told: `commit_error` before or after the write, `is_down`."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.is_down = False
        self.before: StoreError | None = None
        self.after: StoreError | None = None
        self.is_full = False
        self.watch_count = 0
        self.revisions_lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def get(self, key: str) -> tuple[Entry | None, int]:
        if self.is_down:
            raise Unavailable("cut off")
        entry, revision = await self.inner.get(key)
        return entry, revision - self.revisions_lost

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        if self.is_full and not all(isinstance(op, Delete) for op in ops):
            raise StorageFull("over the quota")
        if self.before is not None:
            raise self.before
        outcome = await self.inner.commit(compares, ops)
        if self.after is not None:
            raise self.after
        return replace(outcome, revision=outcome.revision - self.revisions_lost)

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Changes]:
        self.watch_count += 1
        async for changes in self.inner.watch(prefix, after=after):
            if self.is_down:
                raise Unavailable("cut off")
            yield changes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(wrapped=TroubledStore) as one:
        yield one


def _store(world: World) -> TroubledStore:
    assert isinstance(world.store, TroubledStore)
    return world.store


async def test_an_unknown_outcome_is_said_to_be_unknown(world: World) -> None:
    _store(world).after = WriteInDoubt("the deadline passed")
    answer = await world.call("POST", PODS, a_pod())
    _store(world).after = None

    assert (answer.code, answer.tree["reason"]) == (504, "Timeout")
    assert "outcome is unknown" in answer.tree["message"]
    assert (await world.call("GET", f"{PODS}/web")).code == 200


async def _list(world: World) -> Any:
    return await world.call("GET", PODS)


async def _create(world: World) -> Any:
    return await world.call("POST", PODS, a_pod("new"))


async def _delete(world: World) -> Any:
    return await world.call("DELETE", f"{PODS}/nothing")


@pytest.mark.parametrize("asked", [_list, _create, _delete])
async def test_a_store_of_the_past_is_not_served_and_ends_the_server(
    world: World, asked: Callable[[World], Awaitable[Any]]
) -> None:
    """An old copy was put in the store's place: what is in memory is of another future."""
    await world.call("POST", PODS, a_pod())
    # The very next write has a revision that was there before, for another change.
    _store(world).revisions_lost = 1

    answer = await asked(world)

    assert (answer.code, "was at" in answer.tree["message"]) == (503, True)
    async with asyncio.timeout(60):
        with pytest.raises(StoreWentBack):
            await world.server.backend.mirror.ended()


async def test_a_store_that_cannot_be_reached_is_service_unavailable(world: World) -> None:
    _store(world).is_down = True
    _store(world).before = Unavailable("no leader")
    for answer in (
        await world.call("POST", PODS, a_pod()),
        await world.call("GET", PODS),
        await world.call("GET", "/readyz"),
    ):
        assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
    # What may be old is still served.
    assert (await world.call("GET", PODS, query={"resourceVersion": "0"})).code == 200
    assert (await world.call("GET", "/livez")).code == 200


async def test_a_full_store_refuses_writes_and_takes_deletes(world: World) -> None:
    await world.call("POST", PODS, a_pod())
    _store(world).is_full = True
    answer = await world.call("POST", PODS, a_pod("more"))

    assert (answer.code, answer.tree["reason"]) == (503, "StorageFull")
    assert (await world.call("GET", f"{PODS}/web")).code == 200
    assert (await world.call("DELETE", f"{PODS}/web")).code == 200


async def test_an_outage_costs_no_event_and_no_busy_loop(world: World) -> None:
    store = _store(world)
    revision = str((await world.call("GET", PODS)).revision)
    watch = await world.watch(PODS, resourceVersion=revision)
    store.is_down = True
    await world.call("POST", PODS, a_pod("during"))
    await world.clock.advance(10)
    # With a pause of two seconds at most, ten seconds hold few attempts.
    assert 1 < store.watch_count < 15
    store.is_down = False
    await world.clock.advance(5)
    await world.call("POST", PODS, a_pod("after"))

    assert await watch.told() == ("ADDED", "during")
    assert await watch.told() == ("ADDED", "after")


async def test_a_compaction_that_overtakes_the_mirror_is_survived(world: World) -> None:
    store = _store(world)
    store.is_down = True
    for name in ("a", "b", "c"):
        await world.call("POST", PODS, a_pod(name))
    await settled()
    await store.inner.compact((await store.inner.get("/"))[1])
    store.is_down = False
    await world.clock.advance(5)

    assert (await world.call("GET", PODS)).names == ["a", "b", "c"]


async def test_a_read_does_not_wait_for_ever_for_a_mirror_that_stands_still(world: World) -> None:
    store = _store(world)
    store.is_down = True
    await store.inner.commit((), ())
    await world.call("POST", PODS, a_pod())
    await settled()

    async def get(key: str) -> tuple[Entry | None, int]:
        return await store.inner.get(key)

    store.get = get  # type: ignore[method-assign]
    reading = asyncio.create_task(world.call("GET", PODS))
    await settled()
    await world.clock.advance(6)
    assert (await reading).code == 504


async def test_a_bug_is_told_as_such_and_the_server_lives_on(world: World) -> None:
    _store(world).before = RuntimeError("a bug")  # type: ignore[assignment]
    answer = await world.call("POST", PODS, a_pod())
    _store(world).before = None

    assert (answer.code, answer.tree["reason"]) == (500, "InternalError")
    assert "RuntimeError" not in answer.tree["message"]
    assert (await world.call("POST", PODS, a_pod())).code == 201


async def test_a_server_that_is_starting_lives_but_is_not_ready() -> None:
    clock = StillClock()
    env = Env(clock=clock, rng=SeededRng("start"))
    memory = MemoryStore(env)
    server = ApiServer(memory, env, Settings())
    world = World(server, memory, clock)
    assert (await world.call("GET", "/livez")).code == 200
    assert (await world.call("GET", "/readyz")).code == 503
    assert (await world.call("GET", PODS)).code == 503
    await server.start()
    assert (await world.call("GET", "/readyz")).code == 200
    told = await world.call("GET", "/readyz", query={"verbose": ""})
    assert told.body.decode().splitlines() == [
        "[+]ping ok",
        "[+]mirror ok",
        "[+]etcd ok",
        "readyz check passed",
    ]
    await server.stop()
    await memory.close()


async def test_a_store_that_does_not_answer_is_an_unhealthy_part(world: World) -> None:
    _store(world).is_down = True
    (found,) = (await world.call("GET", "/api/v1/componentstatuses/etcd-0")).tree["conditions"]
    assert found["status"] == "False"
    assert "the store does not answer" in found["message"]
