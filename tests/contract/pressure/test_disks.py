"""What pods hold of the disk, measured for two who ask: limits of some, pressure of all."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.host.blocking import DEADLINE_S, Key
from cubernetes.host.env import Env
from kubelet.eviction.limits import Disks
from kubelet.eviction.storage import Held
from kubelet.eviction.tree import Walk
from kubelet.observer import Observer
from kubelet.runtime.fake import FakeMachine, FakeRuntime
from tests.contract.kubelet.test_kubelet import lived
from tests.contract.pressure.test_limits import with_cache
from tests.simulation.clock import sim_env

WALK_S = 2.0


class SlowDisk:
    """A disk on which each walk takes its time; walks of its volume, by pod, are counted."""

    def __init__(self) -> None:
        env = sim_env("disks")
        self.env: Env = replace(env, blocking=self)
        self.walks: Counter[str] = Counter()
        runtime = FakeRuntime(FakeMachine(env))
        self.disks = Disks(self.env, self.walk, runtime, Observer(runtime))

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        await self.env.clock.sleep(WALK_S)
        return work()

    def walk(self, uid: str, name: str) -> Walk:
        if name != "cache":
            return Walk(Held())
        self.walks[uid] += 1
        return Walk(Held(100))


def known_as(uid: str) -> Pod:
    pod = with_cache(uid)
    return replaced(pod, metadata=replaced(pod.metadata, uid=uid))


def test_what_is_known_of_a_pod_outlives_a_look_at_others_and_so_does_its_turn() -> None:
    async def story() -> None:
        disk, hog, calm = SlowDisk(), known_as("hog"), known_as("calm")
        assert set(await disk.disks.measured([hog, calm])) == {"hog", "calm"}
        assert set(await disk.disks.measured([calm])) == {"calm"}
        assert await disk.disks.measured([]) == {}

        known = await disk.disks.measured([hog, calm])
        assert known["hog"].total == Held(100)
        assert disk.walks == {"hog": 1, "calm": 1}

    lived(story)


def test_a_pod_that_is_not_here_any_more_is_forgotten() -> None:
    async def story() -> None:
        disk, gone, calm = SlowDisk(), known_as("gone"), known_as("calm")
        await disk.disks.measured([gone, calm])
        disk.disks.forget_all_but([calm])

        await disk.disks.measured([gone, calm])
        assert disk.walks == {"gone": 2, "calm": 1}

    lived(story)
