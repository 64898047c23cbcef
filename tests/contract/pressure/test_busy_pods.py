"""Evictions of pods that are busy with something else: a long end, a hook, a deletion."""

import asyncio

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from kubelet.eviction.limits import Disks
from kubelet.eviction.storage import Held
from kubelet.eviction.tree import Walk
from kubelet.eviction.verdict import Eviction
from kubelet.eviction.watch import Looks, PressureWatch
from kubelet.measure.snapshot import Snapshot
from kubelet.observer import Observer
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.contract.kubelet.test_hooks import HELLO, hooked, run, sleep
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import ILL, LIVE, a_probe, probed
from tests.contract.pressure.test_disks import known_as
from tests.contract.pressure.test_pressures import (
    MIB,
    NO_DISK,
    NO_MEMORY,
    PLENTY,
    running,
    uses,
)
from tests.given import a_pod
from tests.simulation.clock import sim_env

DAY_S = 86_400
STUBBORN = Behaviour(ignores_term=True)


async def is_evicted(world: World, limit_s: float) -> None:
    """Let the node run short; wait until the pod web, which holds most, has been evicted."""
    await uses(world, "web", 900)
    world.machine.room = NO_MEMORY
    await world.until(lambda: world.is_phase("Failed"), limit_s)
    assert (await world.pod()).status.reason == "Evicted"


def with_grace(pod: Pod, grace_s: int) -> Pod:
    return replaced(pod, spec=replaced(pod.spec, termination_grace_period_seconds=grace_s))


async def asked(world: World, what: str) -> None:
    """Wait until the pod web has been asked."""

    async def was() -> bool:
        return world.machine.asker.asked["web", what] > 0

    await world.until(was)


def test_a_pod_that_has_a_day_to_end_for_its_probe_is_evicted_all_the_same() -> None:
    async def story() -> None:
        async with a_world(web=STUBBORN) as world:
            world.machine.room = PLENTY
            pod = probed(liveness_probe=a_probe(LIVE, 1, 1))
            await world.make(with_grace(pod, DAY_S))
            await world.until(lambda: world.is_phase("Running"))
            world.machine.asker.ailing["web", LIVE] = ILL
            await world.env.clock.sleep(10)
            await is_evicted(world, 15)

    lived(story)


def test_a_pod_whose_post_start_hook_does_not_end_is_evicted() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            await world.make(with_grace(hooked(post_start=sleep(600)), 600))
            await world.env.clock.sleep(5)
            await is_evicted(world, 15)

    lived(story)


def test_a_pod_that_has_a_day_to_end_for_its_post_start_hook_is_evicted() -> None:
    async def story() -> None:
        async with a_world(web=STUBBORN) as world:
            world.machine.room = PLENTY
            world.machine.asker.ailing["web", HELLO] = "no such command"
            await world.make(with_grace(hooked(post_start=run(HELLO)), DAY_S))
            await asked(world, HELLO)
            await world.env.clock.sleep(5)
            await is_evicted(world, 15)

    lived(story)


def test_a_deletion_with_a_year_of_grace_keeps_no_pod_from_its_eviction() -> None:
    async def story() -> None:
        async with a_world(web=STUBBORN) as world:
            world.machine.room = PLENTY
            await running(world, "web", "calm")
            await world.admin.delete(Pod, "web", "default", grace_s=365 * DAY_S)
            await world.env.clock.sleep(10)
            await uses(world, "web", 900)
            await uses(world, "calm", 100)
            world.machine.room = NO_MEMORY
            await world.until(world.is_gone, 15)
            assert await world.is_phase("Running", "calm")

    lived(story)


def test_a_pod_that_is_deleted_after_its_eviction_has_no_more_grace_than_before() -> None:
    async def story() -> None:
        async with a_world(web=STUBBORN) as world:
            await world.make(with_grace(a_pod("web"), DAY_S))
            await world.until(lambda: world.is_phase("Running"))
            await world.end()
            patch = {"status": {"reason": "Evicted", "message": "of an earlier kubelet"}}
            await world.admin.patch(Pod, "web", "default", patch, subresource="status")
            await world.admin.delete(Pod, "web", "default")
            world.begin()
            await world.until(world.is_gone, 15)

    lived(story)


class Stuck:
    """Takes evictions, of which none begins. marked: who is to be evicted now."""

    def __init__(self) -> None:
        self.marked: set[str] = set()
        self.most = 0

    def evict(self, uid: str, eviction: Eviction) -> None:
        self.marked.add(uid)
        self.most = max(self.most, len(self.marked))

    def spare(self, uid: str) -> None:
        self.marked.discard(uid)

    def is_ending(self, uid: str) -> bool:
        return uid in self.marked


def held_by(uid: str) -> Walk:
    return Walk(Held({"most": 900, "more": 500, "some": 100}[uid] * MIB))


async def no_images(wanted: int) -> int:
    return 0


async def no_usage() -> Snapshot:
    raise AssertionError("the disk is short, not memory")


def test_one_after_another_is_tried_where_no_eviction_begins_and_never_two_at_once() -> None:
    async def story() -> None:
        env, stuck, seen, room = sim_env("stuck"), Stuck(), [], [NO_DISK]
        runtime = FakeRuntime(FakeMachine(env))
        disks = Disks(env, lambda uid, _: held_by(uid), runtime, Observer(runtime))
        pods = [known_as(uid) for uid in ("some", "more", "most")]
        looks = Looks(
            lambda: room[0], lambda: None, no_usage, lambda: pods, disks, lambda: None, no_images
        )
        watch = PressureWatch(env, looks, lambda: stuck, lambda _: None, lambda: None, 5.0)
        work = asyncio.ensure_future(watch.run())
        for _ in range(5):
            await env.clock.sleep(20)
            seen += sorted(stuck.marked)
        assert list(dict.fromkeys(seen)) == ["most", "more", "some"]
        assert stuck.most == 1
        room[0] = PLENTY
        await env.clock.sleep(10)
        assert not stuck.marked
        work.cancel()
        await asyncio.wait([work])

    lived(story)
