"""Images on a disk that fills up, on a fake runtime and virtual time."""

from dataclasses import replace

import pytest

from cubernetes.api.bodies.images import ImagesReport
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request
from cubernetes.host.web.site import HttpRefusal
from kubelet.eviction.collecting import PATH, ImageCollector
from kubelet.eviction.room import MachineRoom, Share
from kubelet.images.pulled import PulledImages
from kubelet.runtime.driver import LocalImage, RuntimeDown, RuntimeTrouble
from kubelet.runtime.fake import FakeMachine, FakeRuntime, image_id_of
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import reasons
from tests.contract.pressure.test_pressures import PLENTY
from tests.given import a_container, a_pod
from tests.simulation.clock import sim_env
from tests.simulation.machines import Disk

OLD, LOADED = "registry.example/old:1", "registry.example/loaded:1"
FILLING = replace(PLENTY, disk=Share(14 << 30, 100 << 30))


async def with_images(world: World, room: MachineRoom) -> None:
    """Have an image of a pod that is gone, one of somebody else's, and that of a pod, for a while.

    The kubelet has ended and begun since.
    """
    world.machine.room = PLENTY
    world.machine.runtime.images.add(LOADED)
    await world.make(a_pod("web", containers=[a_container(image="cubernetes/pulled:1")]))
    for name, image in (("old", OLD), ("loaded", LOADED)):
        # Always: to pull what is here already makes it nobody else's.
        container = replaced(a_container(image=image), image_pull_policy="Always")
        await world.make(a_pod(name, containers=[container]))
        await world.until(lambda name=name: world.is_phase("Running", name))  # type: ignore[misc]
        await world.admin.delete(Pod, name, "default")
        await world.until(lambda name=name: world.is_gone(name))  # type: ignore[misc]
    await world.until(lambda: world.is_phase("Running"))
    await world.end()
    world.begin()
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

            async def is_forgotten() -> bool:
                return world.machine.disk.images == (image_id_of("cubernetes/pulled:1"),)

            # What is gone is not the kubelet's any more, should it come again.
            await world.until(is_forgotten)

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


def a_disk() -> Disk:
    """Return one on which every image is the kubelet's own."""
    return Disk(images=tuple(image_id_of(one) for one in (OLD, "odd:latest")))


def a_collector(env: Env, runtime: FakeRuntime, wanted: str, disk: Disk) -> ImageCollector:
    pulled = PulledImages(disk, env.blocking)
    return ImageCollector(
        env, runtime, pulled, lambda: {wanted}, lambda: FILLING, lambda _told: None
    )


@pytest.mark.parametrize("reason", ["InvalidImageName", "ImageInspectError"])
def test_an_image_that_is_not_resolved_stays_itself_and_keeps_no_other(reason: str) -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, "odd:latest"))
        runtime = Unresolving(machine, "odd", RuntimeTrouble(reason, "refused"))
        disk = a_disk()
        collector = a_collector(env, runtime, "odd", disk)
        await collector.collect(1 << 40)
        await env.clock.sleep(200)
        assert await collector.collect(1 << 40) > 0
        assert machine.images == {"odd:latest"}
        assert disk.images == (image_id_of("odd:latest"),)

    lived(story)


class Holding(FakeRuntime):
    """A runtime that does not give up one image."""

    async def remove_image(self, one: LocalImage) -> None:
        if OLD in one.names:
            raise RuntimeTrouble("ImageInUse", "held")
        await super().remove_image(one)


def test_one_pass_takes_all_that_is_needed_and_passes_over_what_is_held() -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        names = (OLD, *(f"registry.example/{number}:1" for number in range(30)))
        machine = FakeMachine(env, images=("wanted:1", *names))
        disk = Disk(images=tuple(map(image_id_of, names)))
        collector = a_collector(env, Holding(machine), "wanted:1", disk)
        await collector.collect(1 << 40)
        await env.clock.sleep(200)
        assert await collector.collect(1 << 40) > 0
        assert machine.images == {"wanted:1", OLD}

    lived(story)


async def told_by(collector: ImageCollector) -> ImagesReport:
    answer = await collector.answer(Request("GET", PATH))
    assert isinstance(answer.body, bytes)
    return codec.decode(ImagesReport, answer.body)


def test_what_would_leave_is_told_and_stays() -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, LOADED, "wanted:1"))
        disk = Disk(images=(image_id_of(OLD), image_id_of("wanted:1")))
        collector = a_collector(env, FakeRuntime(machine), "wanted:1", disk)
        fresh = {one.name: one.why for one in (await told_by(collector)).images}
        assert fresh[OLD] == "came a moment ago"
        await env.clock.sleep(200)
        report = await told_by(collector)
        assert [(one.name, one.goes, one.why) for one in report.images] == [
            (OLD, "now", ""),
            (LOADED, "no", "was not pulled by this kubelet"),
            ("wanted:1", "no", "in use"),
        ]
        assert report.wanted_bytes == (86 << 30) - (80 << 30)
        assert machine.images == {OLD, LOADED, "wanted:1"}

    lived(story)


def test_what_is_asked_while_the_runtime_is_away_is_refused() -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, "odd:latest"))
        runtime = Unresolving(machine, "odd", RuntimeDown("away"))
        with pytest.raises(HttpRefusal, match="away"):
            await told_by(a_collector(env, runtime, "odd", a_disk()))

    lived(story)


def test_while_the_runtime_does_not_answer_no_image_leaves() -> None:
    async def story() -> None:
        env = sim_env("kubelet")
        machine = FakeMachine(env, images=(OLD, "odd:latest"))
        runtime = Unresolving(machine, "odd", RuntimeDown("away"))
        collector = a_collector(env, runtime, "odd", a_disk())
        for _ in range(2):
            with pytest.raises(RuntimeDown):
                await collector.collect(1 << 40)
            await env.clock.sleep(200)
        assert machine.images == {OLD, "odd:latest"}

    lived(story)


def test_an_image_that_somebody_removed_and_pulled_is_not_the_kubelets_any_more() -> None:
    async def story() -> None:
        env, disk = sim_env("kubelet"), a_disk()
        machine = FakeMachine(env, images=("odd:latest",))
        collector = a_collector(env, FakeRuntime(machine), "odd:latest", disk)
        await collector.collect(0)
        assert disk.images == (image_id_of("odd:latest"),)
        machine.images.add(OLD)
        for _ in range(2):
            assert await collector.collect(1 << 40) == 0
            await env.clock.sleep(200)

    lived(story)
