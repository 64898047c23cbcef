"""Keeps pods to what they may hold of the disk: measures those with limits, ends those over.

No quota of the file system is used, which would need one that has them: a pod can write more than
its limit between two looks. Measuring costs a bounded share of the time: what takes long to walk is
walked less often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.eviction.storage import (
    MESSAGES,
    Held,
    PodDisk,
    disk_volumes,
    has_limits,
    over_limit,
)
from kubelet.eviction.tree import Walk
from kubelet.eviction.verdict import Eviction, may_be_evicted
from kubelet.observer import Observer
from kubelet.runtime.driver import SANDBOX, Container, RuntimeDriver, RuntimeTrouble, State

log = Log(__name__)

WALK_DEADLINE_S = 30.0  # a walk ends before, with what it has found (tree.WALK_MAX_S)
AT_ONCE_MAX = 4  # pods that are measured side by side
# A pod is measured again after so many times what it took: no more than a twentieth of the time.
PAUSE_FACTOR = 19.0

type WalkVolume = Callable[[str, str], Walk]
"""Walks a volume of a pod, by uid and name. It may block."""


class Disks:
    """What pods hold of the disk, as it was measured last."""

    def __init__(
        self, env: Env, walk: WalkVolume, runtime: RuntimeDriver, observer: Observer
    ) -> None:
        self._env, self._walk = env, walk
        self._runtime, self._observer = runtime, observer
        self._known: dict[str, PodDisk] = {}
        self._due_s: dict[str, float] = {}

    async def measured(self, pods: Sequence[Pod]) -> Mapping[str, PodDisk]:
        """Measure the pods whose turn it is; return what is known of each, by uid.

        What cannot be measured now is as it was, or is not told of.
        """
        now_s, turn = self._env.clock.monotonic(), asyncio.Semaphore(AT_ONCE_MAX)
        due = [pod for pod in pods if self._due_s.get(pod.metadata.uid, now_s) <= now_s]
        try:
            found = await self._observer.found() if due else {}
        except RuntimeTrouble as error:
            log.debug("containers not listed", why=error)
            found = {}

        async def measure(pod: Pod) -> None:
            async with turn:
                await self._measure(pod, found.get(pod.metadata.uid, ()))

        await asyncio.gather(*(measure(pod) for pod in due))
        uids = {pod.metadata.uid for pod in pods}
        return {uid: one for uid, one in self._known.items() if uid in uids}

    def forget_all_but(self, pods: Iterable[Pod]) -> None:
        """Forget the pods that are not here any more."""
        uids = {pod.metadata.uid for pod in pods}
        self._known = {uid: one for uid, one in self._known.items() if uid in uids}
        self._due_s = {uid: due_s for uid, due_s in self._due_s.items() if uid in uids}

    async def _measure(self, pod: Pod, found: Iterable[Container]) -> None:
        uid, clock = pod.metadata.uid, self._env.clock
        began_s, before = clock.monotonic(), self._known.get(uid, PodDisk())
        volumes, containers = dict(before.volumes), dict(before.containers)
        for name in (*(one.name for one in disk_volumes(pod)), MESSAGES):
            await self._note(volumes, name, self._of_volume(uid, name))
        for one in _newest(pod, found):
            await self._note(containers, one.name, self._of_container(one))
        self._known[uid] = PodDisk(volumes, containers)
        now_s = clock.monotonic()
        self._due_s[uid] = now_s + (now_s - began_s) * PAUSE_FACTOR

    async def _note(self, into: dict[str, Held], name: str, measuring: Awaitable[Held]) -> None:
        try:
            into[name] = await measuring
        except (OSError, RuntimeTrouble) as error:
            log.debug("disk use not measured", of=name, why=error)

    async def _of_volume(self, uid: str, name: str) -> Held:
        key = ("volume use", f"{uid}/{name}")
        work = partial(self._walk, uid, name)
        found = await self._env.blocking.run(key, work, deadline_s=WALK_DEADLINE_S)
        if not found.is_whole:
            log.debug("volume walked in part", pod=uid, volume=name, inodes=found.held.inode_count)
        return found.held

    async def _of_container(self, one: Container) -> Held:
        return Held(await self._runtime.disk_bytes(one.id))


class StorageLimits:
    """evict: told of each pod that is over its limits, by uid."""

    def __init__(
        self,
        env: Env,
        pods: Callable[[], Sequence[Pod]],
        disks: Disks,
        evict: Callable[[str, Eviction], None],
        look_s: float,
    ) -> None:
        self._env, self._pods, self._disks = env, pods, disks
        self._evict, self._look_s = evict, look_s

    async def run(self) -> None:
        """Look for ever."""
        while True:
            everyone = self._pods()
            self._disks.forget_all_but(everyone)
            pods = [pod for pod in everyone if may_be_evicted(pod) and has_limits(pod)]
            known = await self._disks.measured(pods)
            for pod in pods:
                uid = pod.metadata.uid
                eviction = over_limit(pod, known.get(uid, PodDisk()))
                if eviction is not None:
                    self._evict(uid, eviction)
            await self._env.clock.sleep(self._look_s)


def _newest(pod: Pod, found: Iterable[Container]) -> list[Container]:
    """Return the container of each name that runs, or ran last; the sandbox among them."""
    names = {SANDBOX, *(one.name for one in every_program(pod.spec))}
    newest: dict[str, Container] = {}
    for one in found:
        if one.name in names and one.state is not State.CREATED:
            before = newest.get(one.name)
            if before is None or before.attempt < one.attempt:
                newest[one.name] = one
    return [newest[name] for name in sorted(newest)]
