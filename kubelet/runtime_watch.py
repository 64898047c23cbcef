"""What wakes the pods' workers: the runtime's events, a look at everything, and process checks."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from cubernetes.host.log import Log
from kubelet.pod.parts import Parts
from kubelet.pod.pods import PodWorkers
from kubelet.pod.volumes import VolumeTrouble
from kubelet.runtime.driver import RuntimeDown, RuntimeTrouble

log = Log(__name__)

EVENTS_PAUSE_S = 1.0  # before the runtime's events are followed again
LEFT_S = 30.0  # between two looks for commands that were left


class RuntimeWatch:
    """Follows what happens to this node's containers. on_down: the runtime did not answer."""

    def __init__(self, parts: Parts, workers: PodWorkers, on_down: Callable[[], None]) -> None:
        self._parts, self._workers, self._on_down = parts, workers, on_down

    async def follow_events(self) -> None:
        """Wake a pod's worker when something happens to one of its containers."""
        while True:
            try:
                async with aclosing(self._parts.runtime.events()) as uids:
                    async for uid in uids:
                        self._workers.wake(uid)
            except RuntimeDown as error:
                log.warning("runtime events ended", why=error)
            self._on_down()
            await self._parts.env.clock.sleep(EVENTS_PAUSE_S)
            self._workers.wake_all()

    async def relist(self, network_ready: asyncio.Event, pods_synced: asyncio.Event) -> None:
        """Now and then look at everything: what nobody wants, and what no event told of."""
        await network_ready.wait()
        await pods_synced.wait()
        while True:
            try:
                listing = await self._parts.observer.listing()
                uids = [*listing.found, *listing.silent_pods, *await self._with_volumes()]
                self._workers.adopt_orphans(uids)
                self._workers.wake_all()
            except RuntimeDown as error:
                log.warning("runtime not listed", why=error)
                self._on_down()
            await self._parts.env.clock.sleep(self._parts.settings.relist_s)

    async def check_processes(self) -> None:
        """Look often whether processes are still there: the runtime may not notice their end."""
        while True:
            for uid in sorted(await self._parts.runtime.suspects()):
                self._workers.wake(uid)
            await self._parts.env.clock.sleep(self._parts.settings.vigil_s)

    async def end_left_commands(self) -> None:
        """End what a kubelet that was killed had begun in containers for clients that are gone."""
        while True:
            try:
                await self._parts.runtime.end_left_commands()
            except RuntimeTrouble as error:
                log.warning("commands that were left are not ended", why=error)
            await self._parts.env.clock.sleep(LEFT_S)

    async def _with_volumes(self) -> set[str]:
        try:
            return await self._parts.volumes.pod_uids()
        except VolumeTrouble as error:
            log.warning("volumes not listed", why=error)
            return set()
