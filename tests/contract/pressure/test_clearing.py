"""A disk that is cleared for minutes keeps nobody from looking at what else is short."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from kubelet.eviction.limits import Disks
from kubelet.eviction.room import MachineRoom, Share
from kubelet.eviction.watch import Looks, PressureWatch
from kubelet.measure.snapshot import PodUse, Snapshot
from kubelet.measure.usage import Usage
from kubelet.observer import Observer
from kubelet.runtime.fake import FakeMachine, FakeRuntime
from tests.contract.kubelet.test_kubelet import lived
from tests.contract.pressure.test_busy_pods import Stuck, held_by
from tests.contract.pressure.test_disks import known_as
from tests.contract.pressure.test_pressures import MIB, NO_DISK
from tests.given import NOW
from tests.simulation.clock import sim_env

CLEARING_S = 600.0
NO_MEMORY_EITHER = replace(NO_DISK, memory=Share(50 * MIB, 4 << 30))
NO_PIDS_EITHER = replace(NO_DISK, pids=Share(10, 4000))


class Node:
    """A node short of disk, of which the removal of images takes its time; freed: bytes so far."""

    def __init__(self, room: MachineRoom = NO_DISK) -> None:
        self.env, self.room, self.marked = sim_env("clearing"), room, Stuck()
        self.images_bytes = 9 * MIB

    async def lives(self, story: Callable[[], Awaitable[None]]) -> None:
        """Watch its pressures while a story is told."""
        runtime = FakeRuntime(FakeMachine(self.env))
        disks = Disks(self.env, lambda uid, _: held_by(uid), runtime, Observer(runtime))
        pods = [known_as(uid) for uid in ("some", "more", "most")]
        looks = Looks(
            lambda: self.room, lambda: None, self.usage, lambda: pods, disks, lambda: None,
            self.collect,
        )  # fmt: skip
        watch = PressureWatch(
            self.env, looks, lambda: self.marked, lambda _: None, lambda: None, 5.0
        )
        work = asyncio.ensure_future(watch.run())
        try:
            await story()
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def collect(self, wanted_bytes: int) -> int:
        await self.env.clock.sleep(CLEARING_S)
        freed, self.images_bytes = self.images_bytes, 0
        return freed

    async def usage(self) -> Snapshot:
        """Tell of what is in memory that of the pods, the one with least on the disk has most."""
        use = Usage(working_set_bytes=500 * MIB, pid_count=900)
        return Snapshot(NOW, Usage(), (PodUse("default", "some", "some", None, use, ()),))


@pytest.mark.parametrize("room", [NO_MEMORY_EITHER, NO_PIDS_EITHER])
def test_who_takes_all_memory_or_process_ids_is_ended_while_images_are_removed(
    room: MachineRoom,
) -> None:
    node = Node()

    async def story() -> None:
        await node.env.clock.sleep(20)
        assert not node.marked.marked
        node.room = room
        await node.env.clock.sleep(20)
        assert node.marked.marked == {"some"}

    lived(lambda: node.lives(story))


def test_a_pod_is_ended_for_the_disk_once_no_image_is_left_to_remove() -> None:
    node = Node()

    async def story() -> None:
        await node.env.clock.sleep(CLEARING_S + 30)
        assert node.images_bytes == 0
        assert not node.marked.marked
        await node.env.clock.sleep(CLEARING_S)
        assert node.marked.marked == {"most"}

    lived(lambda: node.lives(story))
