"""Looks at what pods use: for a client that asks, and now and then, so that speeds are known."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from cubernetes.api.core.pod import Pod
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.measure.snapshot import Rates, Snapshot, rates_of, running_ids, snapshot_of
from kubelet.measure.usage import Tree

log = Log(__name__)

PAUSE_S = 5.0
# A look so young answers the next client as well: nobody makes a node look more often.
FRESH_S = 0.9
# Speeds are of this long: short enough to follow a load, long enough to be steady.
WINDOW_S = 15.0
KEPT_MAX = 32
MEMORY_KEPT_S = 60.0
MEMORY_KEPT_MAX = 80
DEADLINE_S = 5.0

type ReadGroups = Callable[[Mapping[str, Sequence[str]]], Tree]
"""By the uids of pods, with the ids of each one's running containers."""


class Measuring:
    """One for a node; its clients share looks."""

    def __init__(
        self,
        pods: Callable[[], Sequence[Pod]],
        read: ReadGroups,
        env: Env,
        read_details: ReadGroups | None = None,
        read_peak: Callable[[str], int | None] = lambda _uid: None,
    ) -> None:
        self._pods, self._read, self._env = pods, read, env
        self._read_details, self._read_peak = read_details or read, read_peak
        self._kept: deque[Snapshot] = deque(maxlen=KEPT_MAX)
        # What each container held in the last minute, by its id.
        self._memory: deque[tuple[datetime, Mapping[str, int]]] = deque(maxlen=MEMORY_KEPT_MAX)
        self._turn = asyncio.Lock()
        self._looked_s = float("-inf")
        self._looks = env.metrics.counter(
            "cube_kubelet_measure_passes_total", "Passes over the control groups of pods."
        )
        self._files = env.metrics.counter(
            "cube_kubelet_measure_files_total", "Files that these passes have read."
        )
        self.is_whole = True

    async def run(self) -> None:
        while True:
            # A client that looks every second is not given what was seen in between.
            wait_s = self._looked_s + PAUSE_S - self._env.clock.monotonic()
            if wait_s > 0:
                await self._env.clock.sleep(wait_s)
                continue
            try:
                await self.look()
            except OSError as error:
                log.warning("control groups not read", why=error)
                await self._env.clock.sleep(PAUSE_S)

    async def look(self, *, is_detailed: bool = False) -> Snapshot:
        """Return what is used now, or a moment ago; with details where they are asked for.

        Raises: OSError: the kernel did not answer in time.
        """
        async with self._turn:
            clock = self._env.clock
            is_fresh = self._kept and clock.monotonic() - self._looked_s < FRESH_S
            if is_fresh and (self._kept[-1].is_detailed or not is_detailed):
                return self._kept[-1]
            pods = self._pods()
            wanted = {pod.metadata.uid: running_ids(pod) for pod in pods}
            at, began_s = clock.now(), clock.monotonic()
            work = partial(self._read_details if is_detailed else self._read, wanted)
            tree = await self._env.blocking.run(("measure", "pods"), work, deadline_s=DEADLINE_S)
            self._looks.inc()
            self._files.inc(tree.file_count)
            self._looked_s, self.is_whole = began_s, not tree.is_cut
            self._keep(snapshot_of(tree, pods, at, is_detailed=is_detailed))
            return self._kept[-1]

    async def speeds(self) -> tuple[Snapshot, Rates]:
        """Return what is used now, and how fast.

        Raises: OSError: the kernel did not answer in time.
        """
        now = await self.look(is_detailed=True)
        return now, rates_of(list(self._kept))

    def _keep(self, moment: Snapshot) -> None:
        """Keep a look, and those before it as far as the window goes; one of them at least."""
        if self._kept and moment.at <= self._kept[-1].at:
            self._memory.clear()
            self._kept.clear()  # the clock was set back: no speed follows from what it said before
        self._kept.append(moment)
        self._keep_memory(moment)
        oldest_at = moment.at - timedelta(seconds=WINDOW_S)
        while len(self._kept) > 2 and self._kept[1].at <= oldest_at:
            self._kept.popleft()

    def memory_of(self, container_id: str) -> list[tuple[datetime, int]]:
        """Return what a container held in the last minute, the oldest first."""
        return [(at, held[container_id]) for at, held in self._memory if container_id in held]

    async def peak_of(self, uid: str) -> int | None:
        """Return the most that a pod held of memory at one time; None where it is not known."""
        try:
            work = partial(self._read_peak, uid)
            return await self._env.blocking.run(("measure", "peak"), work, deadline_s=DEADLINE_S)
        except OSError as error:
            log.warning("the peak of a pod not read", pod=uid, why=error)
            return None

    def _keep_memory(self, moment: Snapshot) -> None:
        held = {
            one.id: one.usage.working_set_bytes
            for pod in moment.pods
            for one in pod.containers
            if one.usage.working_set_bytes is not None
        }
        self._memory.append((moment.at, held))
        oldest_at = moment.at - timedelta(seconds=MEMORY_KEPT_S)
        while self._memory[0][0] < oldest_at:
            self._memory.popleft()
