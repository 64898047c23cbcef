"""Looks at what this machine has left, tells its pressures, and ends one pod at a time for them.

Clearing the disk of images, and measuring what pods hold of it, takes minutes where there is much:
it is done beside the looks, which go on for everything else that may run short.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from kubelet.eviction import plan
from kubelet.eviction.limits import Disks
from kubelet.eviction.plan import Known, PodUse
from kubelet.eviction.room import SIGNALS, MachineRoom, shares_of
from kubelet.eviction.storage import PodDisk
from kubelet.eviction.thresholds import Amount, Threshold, ThresholdsInvalid, thresholds_of
from kubelet.eviction.verdict import Eviction
from kubelet.measure.snapshot import Snapshot
from kubelet.runtime.driver import RuntimeTrouble

log = Log(__name__)

ROOM, FILE = ("machine", "room"), ("machine", "eviction")
ROOM_DEADLINE_S = 2.0
# The next pod is ended once the one before has given back what it held, or after so long.
VICTIM_MAX_S = 30.0
OF_DISK = ("ephemeral-storage", "inodes")
ALL_BYTES = 1 << 62


class Ending(Protocol):
    """The part of the kubelet that ends pods of this node."""

    def evict(self, uid: str, eviction: Eviction) -> None: ...

    def spare(self, uid: str) -> None:
        """Withdraw an eviction that has not begun."""
        ...

    def is_ending(self, uid: str) -> bool:
        """Whether an evicted pod still holds something here."""
        ...


@dataclass(frozen=True, slots=True)
class Looks:
    """How this machine is read. room and file may block.

    file: an administrator's thresholds; None: there are none. usage: what pods use.
    """

    room: Callable[[], MachineRoom]
    file: Callable[[], bytes | None]
    usage: Callable[[], Awaitable[Snapshot]]
    pods: Callable[[], Sequence[Pod]]
    disks: Disks
    own_node: Callable[[], Node | None]
    collect_images: Callable[[int], Awaitable[int]]


class PressureWatch:
    """pressed: the conditions of this node that are true. on_change: told when they change."""

    def __init__(
        self,
        env: Env,
        looks: Looks,
        ending: Callable[[], Ending],
        tell: Callable[[Record], None],
        on_change: Callable[[], None],
        look_s: float,
    ) -> None:
        self._env, self._looks, self._ending = env, looks, ending
        self._tell, self._on_change, self._look_s = tell, on_change, look_s
        self._known, self._thresholds = Known(), thresholds_of(None)
        self._victim, self._victim_since_s = "", 0.0
        self._passed: set[str] = set()  # victims of this shortage whose end did not come
        self._acting_on = self._refused = ""
        self._clearing: asyncio.Task[Mapping[str, PodUse] | None] | None = None
        self._evictions = env.metrics.counter(
            "cube_kubelet_evictions_total", "Pods ended for what the node lacked.", "signal"
        )

    @property
    def pressed(self) -> frozenset[str]:
        return self._known.pressed

    @property
    def margins(self) -> Mapping[str, Amount]:
        """What this node keeps free by its hard thresholds, by signal."""
        return self._thresholds.margins

    async def run(self) -> None:
        """Look for ever."""
        try:
            while True:
                await self._read_thresholds()
                await self._look()
                await self._env.clock.sleep(self._look_s)
        finally:
            if self._clearing is not None:
                self._clearing.cancel()
                self._clearing = None

    async def _read_thresholds(self) -> None:
        """Take an administrator's thresholds; of a file that is wrong, those of before hold."""
        try:
            before = self.margins
            text = await self._env.blocking.run(FILE, self._looks.file)
            self._thresholds, self._refused = thresholds_of(text), ""
            if self.margins != before:
                self._on_change()
        except (OSError, ThresholdsInvalid) as error:
            node = self._looks.own_node()
            if str(error) != self._refused and node is not None:
                self._refused = str(error)
                log.warning("thresholds of evictions not taken", why=error)
                self._tell(Record(node, "InvalidEvictionThresholds", str(error), "Warning"))

    async def _look(self) -> None:
        try:
            run, room = self._env.blocking.run, self._looks.room
            found = await run(ROOM, room, deadline_s=ROOM_DEADLINE_S)
        except OSError as error:
            log.warning("what this machine has left is not read", why=error)
            return
        now_s, before = self._env.clock.monotonic(), self._known.pressed
        self._known = plan.after_look(self._known, self._thresholds, found, now_s)
        if self._known.pressed != before:
            log.info("pressures of this node", now=sorted(self._known.pressed))
            self._on_change()
        if plan.due(self._known, now_s) is None:
            self._acting_on = ""
            self._passed.clear()
            if self._victim:
                self._ending().spare(self._victim)
                self._victim = ""
            self._forget_cleared()
            return
        is_clearing = self._clearing is not None and not self._clearing.done()
        threshold = plan.due(self._known, now_s, OF_DISK if is_clearing else ())
        if threshold is not None:
            await self._act(threshold, found, now_s)

    def _forget_cleared(self) -> None:
        """Take no old word on the disk where something else comes first, or nothing is short."""
        if self._clearing is not None and self._clearing.done():
            self._clearing = None

    async def _act(self, threshold: Threshold, room: MachineRoom, now_s: float) -> None:
        """End one pod for what is short, unless the one before is not gone yet."""
        resource = SIGNALS[threshold.signal].resource
        node = self._looks.own_node()
        if self._acting_on != resource and node is not None:
            message = f"Attempting to reclaim {resource}"
            self._tell(Record(node, "EvictionThresholdMet", message, "Warning"))
            self._acting_on = resource
        is_late = now_s - self._victim_since_s >= VICTIM_MAX_S
        is_ending = bool(self._victim) and self._ending().is_ending(self._victim)
        if is_ending and not is_late:
            return
        if resource in OF_DISK:
            uses = await self._disk_uses()
        else:
            self._forget_cleared()
            uses = await self._uses()
        if uses is None:
            return
        pods = self._looks.pods()
        passed = self._passed | ({self._victim} if is_ending else set())
        order = plan.ranked(resource, [one for one in pods if one.metadata.uid not in passed], uses)
        if not order:
            log.debug("nobody to evict", resource=resource)
            self._passed.clear()  # they have their turn again
            return
        if is_ending:
            # Of two that are marked, both would end once their evictions can begin.
            self._ending().spare(self._victim)
        self._passed = passed
        pod, grace_max_s = order[0], self._thresholds.grace_max_s
        share, use = shares_of(room)[threshold.signal], uses[pod.metadata.uid]
        self._ending().evict(
            pod.metadata.uid, plan.eviction_of(pod, threshold, share, use, grace_max_s)
        )
        self._victim, self._victim_since_s = pod.metadata.uid, now_s
        self._evictions.labels(threshold.signal).inc()

    async def _has_made_room(self) -> bool:
        """Remove every image that nobody uses, before a pod has to end; whether there was any."""
        try:
            return await self._looks.collect_images(ALL_BYTES) > 0
        except RuntimeTrouble as error:
            log.warning("images not looked through", why=error)
            return False

    async def _disk_uses(self) -> Mapping[str, PodUse] | None:
        """Return what pods hold of the disk; None: it is being cleared, or has just been."""
        if self._clearing is None:
            self._clearing = asyncio.ensure_future(self._cleared())
        await asyncio.wait([self._clearing], timeout=self._look_s)
        if not self._clearing.done():
            return None
        ended, self._clearing = self._clearing, None
        return ended.result()

    async def _cleared(self) -> Mapping[str, PodUse] | None:
        """Remove images; measure what pods hold of the disk where there was none to remove."""
        if await self._has_made_room():
            return None
        measured = await self._looks.disks.measured(self._looks.pods())
        return {uid: disk_use(one) for uid, one in measured.items()}

    async def _uses(self) -> Mapping[str, PodUse]:
        """Measure what pods hold of memory and process ids now."""
        try:
            return uses_of(await self._looks.usage())
        except OSError as error:
            log.warning("control groups not read", why=error)
            return {}


def uses_of(moment: Snapshot) -> Mapping[str, PodUse]:
    """Return what pods hold of memory and process ids, by uid."""
    return {
        pod.uid: PodUse(
            {"memory": pod.usage.working_set_bytes or 0, "pids": pod.usage.pid_count or 0},
            {
                one.name: {
                    "memory": one.usage.working_set_bytes or 0,
                    "pids": one.usage.pid_count or 0,
                }
                for one in pod.containers
            },
        )
        for pod in moment.pods
    }


def disk_use(disk: PodDisk) -> PodUse:
    total = disk.total
    return PodUse(
        {"ephemeral-storage": total.byte_count, "inodes": total.inode_count},
        {
            name: {"ephemeral-storage": held.byte_count, "inodes": held.inode_count}
            for name, held in disk.containers.items()
        },
    )
