"""One look at the runtime for everybody who asks: listings are shared, never stale."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kubelet.runtime.driver import Container, PartlySilent, RuntimeDown, RuntimeDriver

type Found = Mapping[str, Sequence[Container]]  # by pod uid


class Listing(NamedTuple):
    """What the runtime told; of pods of which it did not tell all, nothing is in found."""

    found: Found
    silent: PartlySilent | None = None

    @property
    def silent_pods(self) -> Sequence[str]:
        """Return the uids of the pods of which it is not known what they have."""
        return sorted(self.silent.why) if self.silent is not None else ()

    def of_pod(self, uid: str) -> Sequence[Container]:
        """Return a pod's containers. Raises: RuntimeDown: the runtime did not tell of all."""
        if self.silent is not None and uid in self.silent.why:
            raise RuntimeDown(f"a container of the pod is not known: {self.silent.why[uid]}")
        return self.found.get(uid, ())


class Observer:
    """Lists the runtime's containers at most once at a time."""

    def __init__(self, runtime: RuntimeDriver) -> None:
        self._runtime = runtime
        self._under_way: asyncio.Task[Listing] | None = None
        self._next: asyncio.Task[Listing] | None = None

    async def found(self) -> Found:
        """Return every container, as listing does. Raises: RuntimeDown, also where it is partly."""
        listing = await self.listing()
        if listing.silent is not None:
            raise listing.silent
        return listing.found

    async def listing(self) -> Listing:
        """Return a listing that began after this call: it shows everything done before.

        Raises: RuntimeDown.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._list_after(self._under_way))
        return await asyncio.shield(self._next)

    async def _list_after(self, before: asyncio.Task[Listing] | None) -> Listing:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        silent = None
        try:
            containers = await self._runtime.containers()
        except PartlySilent as error:
            containers, silent = error.found, error
        by_pod = defaultdict(list)
        for one in containers:
            if silent is None or one.pod_uid not in silent.why:
                by_pod[one.pod_uid].append(one)
        return Listing(by_pod, silent)

    async def close(self) -> None:
        for task in (self._under_way, self._next):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
