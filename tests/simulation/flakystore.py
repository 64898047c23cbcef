"""One API server's way to the store: late, refused, or carried out without an answer."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from apiserver.storage.store import (
    Changes,
    Compare,
    Entry,
    Op,
    Outcome,
    Page,
    Store,
    Unavailable,
    Usage,
    WriteInDoubt,
)
from tests.simulation.network import Network

type Committed = Callable[[Sequence[Op], int], None]


class FlakyStore:
    """A Store over another; every successful commit is shown to `committed`, at its moment."""

    def __init__(self, inner: Store, network: Network, committed: Committed) -> None:
        self._inner = inner
        self._network = network
        self._committed = committed
        # While it is not set, changes do not arrive: this server's memory falls behind.
        self.flows = asyncio.Event()
        self.flows.set()

    async def get(self, key: str) -> tuple[Entry | None, int]:
        await self._reach()
        return await self._inner.get(key)

    async def list(
        self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = ""
    ) -> Page:
        await self._reach()
        return await self._inner.list(prefix, revision=revision, limit=limit, after=after)

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        await self._reach()
        outcome = await self._inner.commit(compares, ops)
        if outcome.succeeded and ops:
            self._committed(ops, outcome.revision)
        if self._network.happens(self._network.faults.store_doubt):
            await asyncio.sleep(self._network.rng.uniform(0, 2.0))
            raise WriteInDoubt("the store's answer was lost")
        return outcome

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Changes]:
        stream = self._inner.watch(prefix, after=after)
        try:
            async for changes in stream:
                await self.flows.wait()
                yield changes
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # every watch of a store has it

    async def progress(self) -> None:
        await self._inner.progress()

    async def grant(self, ttl_s: int) -> int:
        return await self._inner.grant(ttl_s)

    async def renew(self, lease: int) -> bool:
        return await self._inner.renew(lease)

    async def revoke(self, lease: int) -> None:
        await self._inner.revoke(lease)

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)

    async def usage(self) -> Usage:
        return await self._inner.usage()

    async def defragment(self) -> None:
        await self._inner.defragment()

    async def disarm(self) -> None:
        await self._inner.disarm()

    async def close(self) -> None:
        """The store itself outlives every server."""

    async def _reach(self) -> None:
        network = self._network
        await asyncio.sleep(network.rng.uniform(0.0002, 0.003))
        if network.happens(network.faults.store_refusal):
            raise Unavailable("no leader")
