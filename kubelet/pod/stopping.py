"""Stops containers of a pod, and sooner than planned where less grace is granted meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from cubernetes.host.clock import Clock
from kubelet.runtime.driver import RuntimeDriver

HURRY_S = 1.0  # grace that is shorter by less than this is not worth another call


class Stopping:
    """Stops the containers of one pod. woken: set when the pod may be wanted otherwise.

    grace_left_s: what a planned grace has left by the newest wish.
    before: runs a container's preStop hook within its grace, and returns what is left of it.
    """

    def __init__(
        self,
        runtime: RuntimeDriver,
        clock: Clock,
        woken: asyncio.Event,
        grace_left_s: Callable[[float], float],
        before: Callable[[str, float], Awaitable[float]],
    ) -> None:
        self._runtime, self._clock, self._woken = runtime, clock, woken
        self._grace_left_s, self._before = grace_left_s, before

    async def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """Return when all have ended. Raises: RuntimeTrouble."""
        work = (self._hook_and_stop(one, grace_s) for one in ids)
        stopping = asyncio.ensure_future(_all(work))
        try:
            await self._stop_sooner(stopping, ids, grace_s)
        finally:
            # Ended with the kubelet: the runtime goes on with the stop that it was asked for.
            stopping.cancel()

    async def _hook_and_stop(self, container_id: str, grace_s: float) -> None:
        left_s = await self._before(container_id, grace_s)
        await self._runtime.stop(container_id, left_s)

    async def _stop_sooner(
        self, stopping: asyncio.Future[None], ids: Sequence[str], grace_s: float
    ) -> None:
        """Await a stop, or stop at once with less grace where a newer wish grants less."""
        end_at = self._clock.monotonic() + grace_s
        while not stopping.done():
            # The round that follows this one looks at whatever wakes the worker here.
            self._woken.clear()
            waking = asyncio.ensure_future(self._woken.wait())
            either: list[asyncio.Future[Any]] = [stopping, waking]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            left_s = self._grace_left_s(grace_s)
            if not stopping.done() and self._clock.monotonic() + left_s < end_at - HURRY_S:
                # A hook that still runs is cut off with its container.
                await _all(self._runtime.stop(one, left_s) for one in ids)
                return
        await stopping


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*work)
