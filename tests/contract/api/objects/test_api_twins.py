"""Two API servers on one store, one of them behind, and a load that the world does not wait for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.state.items import encoded
from apiserver.state.keys import key_of
from apiserver.state.mirror import LOAD_PAGE_ENTRIES, Mirror
from apiserver.state.selection import selection_of
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Changes, Delete, Op, Outcome, Page, Put, Store
from cubernetes.api.core.pod import Pod
from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng
from tests.contract.api.world import PODS, StillClock, World, a_pod, settled
from tests.given import a_pod as a_whole_pod

ALL = selection_of(Pod, "", "", "")


class HeldStore:
    """A store that others share; this server's view of its changes stands while `flows` is unset.

    `between` is done after the first page of a list, as by another server.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.flows = asyncio.Event()
        self.flows.set()
        self.between: Callable[[], Awaitable[object]] | None = None
        self.get, self.commit = inner.get, inner.commit
        self.grant, self.renew, self.revoke = inner.grant, inner.renew, inner.revoke
        self.compact, self.close = inner.compact, inner.close
        self.usage, self.defragment, self.disarm = inner.usage, inner.defragment, inner.disarm

    async def list(
        self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = ""
    ) -> Page:
        page = await self._inner.list(prefix, revision=revision, limit=limit, after=after)
        if self.between is not None and not after:
            await self.between()
        return page

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Changes]:
        stream = self._inner.watch(prefix, after=after)
        try:
            async for changes in stream:
                await self.flows.wait()
                yield changes
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # every watch of a store has it

    async def progress(self) -> None:
        if self.flows.is_set():
            await self._inner.progress()


@asynccontextmanager
async def twins() -> AsyncIterator[tuple[World, World, HeldStore]]:
    """Yield two servers of one store, and the store as the second one has it."""
    clock = StillClock()
    env = Env(clock=clock, rng=SeededRng("twins"))
    memory = MemoryStore(env)
    held = HeldStore(memory)
    servers = [ApiServer(one, env, Settings()) for one in (memory, held)]
    for server in servers:
        await server.start()
    try:
        yield World(servers[0], memory, clock), World(servers[1], held, clock), held
    finally:
        held.flows.set()
        for server in servers:
            await server.stop()
        await memory.close()


async def test_a_token_of_a_server_that_is_ahead_is_answered_as_that_server_would() -> None:
    async with twins() as (ahead, behind, held):
        for name in ("a", "b"):
            await ahead.call("POST", PODS, a_pod(name))
        await settled()
        held.flows.clear()
        await ahead.call("POST", PODS, a_pod("c"))
        await ahead.call("DELETE", f"{PODS}/b")
        first = (await ahead.call("GET", PODS, query={"limit": "1"})).tree["metadata"]
        assert behind.server.backend.mirror.revision < int(first["resourceVersion"])

        rest = await behind.call("GET", PODS, query={"continue": first["continue"]})

        assert rest.names == ["c"]
        assert rest.tree["metadata"]["resourceVersion"] == first["resourceVersion"]


async def test_a_page_at_a_revision_that_is_not_reached_yet_is_of_that_revision() -> None:
    async with twins() as (ahead, behind, held):
        await ahead.call("POST", PODS, a_pod("a"))
        await settled()
        held.flows.clear()
        made = await ahead.call("POST", PODS, a_pod("b"))
        at = {"resourceVersion": str(made.revision), "resourceVersionMatch": "Exact"}

        asking = asyncio.ensure_future(behind.call("GET", PODS, query=at))
        await settled()
        assert not asking.done()
        held.flows.set()

        assert (await asking).names == ["a", "b"]


def put(name: str) -> Put:
    pod = a_whole_pod(name)
    return Put(key_of(Pod, "default", name), encoded(pod))


async def commit(store: Store, *ops: Op) -> Outcome:
    return await store.commit((), ops)


def shown(mirror: Mirror) -> Sequence[tuple[str, int]]:
    cache = mirror.kinds[Pod]
    return [
        (cache.items[key].object.metadata.name, cache.items[key].revision) for key in cache.keys
    ]


async def test_a_load_of_many_pages_is_of_the_revision_of_the_first() -> None:
    """What is written while it loads comes by the watch, once, and as the change that it was."""
    env = Env(clock=StillClock(), rng=SeededRng("load"))
    memory = MemoryStore(env)
    names = [f"p{number:05}" for number in range(LOAD_PAGE_ENTRIES + 10)]
    for begin in range(0, len(names), 100):
        await commit(memory, *(put(name) for name in names[begin : begin + 100]))
    held = HeldStore(memory)
    held.flows.clear()
    before = (await memory.list("/")).revision

    async def meanwhile() -> None:
        await commit(memory, Delete(key_of(Pod, "default", names[-1])))
        await commit(memory, put("z-new"))
        await commit(memory, put(names[-2]))

    held.between = meanwhile
    mirror = Mirror(held, env.clock, (Pod,), events_max=64)
    await mirror.start()

    assert mirror.revision == before
    assert [name for name, _ in shown(mirror)] == names
    assert max(revision for _, revision in shown(mirror)) <= before
    watch = mirror.kinds[Pod].watch(ALL)
    held.flows.set()
    await mirror.reach(before + 3, 5.0)
    assert [verdict for verdict, _ in watch.take().changes] == ["DELETED", "ADDED", "MODIFIED"]
    assert [name for name, _ in shown(mirror)] == [*names[:-1], "z-new"]
    watch.close()
    await mirror.stop()
    await memory.close()
