"""One look at the runtime for everybody who asks: listings are shared, never stale."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from kubelet.runtime.driver import Container, RuntimeDriver

type Found = Mapping[str, Sequence[Container]]  # by pod uid


class Observer:
    """Lists the runtime's containers at most once at a time."""

    def __init__(self, runtime: RuntimeDriver) -> None:
        self._runtime = runtime
        self._under_way: asyncio.Task[Found] | None = None
        self._next: asyncio.Task[Found] | None = None

    async def found(self) -> Found:
        """Return a listing that began after this call: it shows everything done before.

        Raises: RuntimeDown.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._list_after(self._under_way))
        return await asyncio.shield(self._next)

    async def _list_after(self, before: asyncio.Task[Found] | None) -> Found:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        by_pod = defaultdict(list)
        for one in await self._runtime.containers():
            by_pod[one.pod_uid].append(one)
        return by_pod

    async def close(self) -> None:
        for task in (self._under_way, self._next):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
