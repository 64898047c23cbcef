"""Images on a disk that fills up, on a fake runtime and virtual time."""

from dataclasses import replace

import pytest

from cubernetes.host.env import Env
from kubelet.eviction.collecting import ImageCollector
from kubelet.eviction.room import MachineRoom, Share
from kubelet.runtime.driver import RuntimeDown, RuntimeTrouble
from kubelet.runtime.fake import FakeMachine, FakeRuntime
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import reasons
from tests.contract.pressure.test_pressures import PLENTY
from tests.given import a_container, a_pod
from tests.simulation.clock import sim_env

OLD, LOADED = "registry.example/old:1", "registry.example/loaded:1"
FILLING = replace(PLENTY, disk=Share(14 << 30, 100 << 30))


async def with_images(world: World, room: MachineRoom) -> None:
    """Have an image that a registry gave, one that was loaded, and that of a pod, for a while."""
    world.machine.room = PLENTY
    world.machine.runtime.images |= {OLD, LOADED}
    world.machine.runtime.pulled |= {OLD, "cubernetes/pulled:1", "cubernetes/pause:1"}
    await world.make(a_pod("web", containers=[a_container(image="cubernetes/pulled:1")]))
    await world.until(lambda: world.is_phase("Running"))
    await world.env.clock.sleep(200)
    assert OLD in world.machine.runtime.images
    world.machine.room = room


async def is_gone(world: World) -> bool:
    return OLD not in world.machine.runtime.images


def test_an_image_that_nobody_uses_leaves_and_no_other() -> None:
    async def story() -> None:
        async with a_world() as world:
            await with_images(world, FILLING)
            await world.until(lambda: is_gone(world))
            left = {LOADED, "cubernetes/pulled:1", "cubernetes/pause:1"}
            assert left <= world.machine.runtime.images

            async def is_told() -> bool:
                return bool(await reasons(world, "ImageGCFailed"))

            # The fake's images are small: what was freed is less than what is needed.
            await world.until(is_told)
            assert await world.is_phase("Running")

    lived(story)


def test_under_pressure_images_go_before_any_pod_does() -> None:
    async def story() -> None:
        async with a_world() as world:
            await with_images(world, replace(PLENTY, disk=Share(1 << 30, 100 << 30)))
            spent_s = await world.until(lambda: is_gone(world))
            assert spent_s < 10
            assert await world.is_phase("Running")

    lived(story)


class Unresolving(FakeRuntime):
    """A runtime that refuses to resolve one name."""

    def __init__(self, machine: FakeMachine, name: str, refusal: RuntimeTrouble) -> None:
        super().__init__(machine)
        self._name, self._refusal = name, refusal

    async def image_id(self, image: str) -> str | None:
        if image == self._name:
            raise self._refusal
        return await super().image_id(image)


def a_collector(env: Env, runtime: FakeRuntime, wanted: str) -> ImageCollector:
    return ImageCollector(
        env, runtime, lambda: {wanted}, lambda: FILLING, lambda: None, lambda _told: None
    )


@pytest.mark.parametrize("reason", ["InvalidImageName", "ImageInspectError"])
def test_an_image_that_is_not_resolved_stays_itself_and_keeps_no_other(reason: str) -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, "odd:latest"))
        machine.pulled |= machine.images
        runtime = Unresolving(machine, "odd", RuntimeTrouble(reason, "refused"))
        collector = a_collector(env, runtime, "odd")
        await collector.collect(1 << 40)
        await env.clock.sleep(200)
        assert await collector.collect(1 << 40) > 0
        assert machine.images == {"odd:latest"}

    lived(story)


def test_while_the_runtime_does_not_answer_no_image_leaves() -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, "odd:latest"))
        machine.pulled |= machine.images
        collector = a_collector(env, Unresolving(machine, "odd", RuntimeDown("away")), "odd")
        for _ in range(2):
            with pytest.raises(RuntimeDown):
                await collector.collect(1 << 40)
            await env.clock.sleep(200)
        assert machine.images == {OLD, "odd:latest"}

    lived(story)
