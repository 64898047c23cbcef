"""Stops containers of a pod, and sooner than planned where less grace is granted meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from cubernetes.host.clock import Clock
from kubelet.pod.hooks import GRACE_MIN_S
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

    async def stop(self, ids: Sequence[str], grace_s: float, later: Sequence[str] = ()) -> None:
        """Return when all have ended; those of later one after another, once the others have.

        Raises: RuntimeTrouble.
        """
        stopping = asyncio.ensure_future(self._hook_and_stop(ids, later, grace_s))
        try:
            await self._stop_sooner(stopping, ids, later, grace_s)
        finally:
            # Ended with the kubelet: the runtime goes on with the stop that it was asked for.
            stopping.cancel()

    async def _hook_and_stop(
        self, ids: Sequence[str], later: Sequence[str], grace_s: float
    ) -> None:
        """Run every hook at once, and stop each container after its own, in its turn."""
        end_at = self._clock.monotonic() + grace_s
        hooks = [asyncio.ensure_future(self._before(one, grace_s)) for one in later]
        try:
            await _all(self._hook_and_stop_one(one, grace_s) for one in ids)
            for one, hook in zip(later, hooks, strict=True):
                await hook
                await self._runtime.stop(one, self._left_s(end_at, grace_s))
        finally:
            for hook in hooks:
                hook.cancel()

    async def _hook_and_stop_one(self, container_id: str, grace_s: float) -> None:
        left_s = await self._before(container_id, grace_s)
        await self._runtime.stop(container_id, left_s)

    async def _stop_now(self, ids: Sequence[str], later: Sequence[str], grace_s: float) -> None:
        end_at = self._clock.monotonic() + grace_s
        await _all(self._runtime.stop(one, grace_s) for one in ids)
        for one in later:
            await self._runtime.stop(one, self._left_s(end_at, grace_s))

    def _left_s(self, end_at: float, grace_s: float) -> float:
        """Return what is left of a grace for a container whose turn has come."""
        return max(end_at - self._clock.monotonic(), min(grace_s, GRACE_MIN_S))

    async def _stop_sooner(
        self,
        stopping: asyncio.Future[None],
        ids: Sequence[str],
        later: Sequence[str],
        grace_s: float,
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
                await self._stop_now(ids, later, left_s)
                return
        await stopping


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*work)
