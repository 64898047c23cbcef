"""Pods that hold more of the disk than they may, on a fake runtime and virtual time."""

from functools import partial

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.eviction.storage import MESSAGES, Held
from kubelet.runtime.driver import SANDBOX
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_life import look_into
from tests.contract.kubelet.test_probes import reasons
from tests.given import a_pod

MIB = 1 << 20
SAID = 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '


def with_cache(name: str = "web") -> Pod:
    pod = a_pod(name)
    cache = Volume(name="cache", empty_dir=EmptyDir(size_limit=Quantity("1Mi")))
    return replaced(pod, spec=replaced(pod.spec, volumes=(cache,)))


async def uid_of(world: World, name: str = "web") -> str:
    return (await world.pod(name)).metadata.uid


def test_a_pod_whose_volume_is_over_its_size_is_evicted_and_its_neighbour_is_not() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            for name in ("web", "calm"):
                await world.make(with_cache(name))
                await world.until(partial(world.is_phase, "Running", name))
            world.machine.volume_use["cache"] = Held(MIB)
            await world.env.clock.sleep(60)
            assert await world.is_phase("Running")

            uid = await uid_of(world)
            world.machine.volume_use[f"{uid}/cache"] = Held(MIB + 1)
            spent_s = await world.until(lambda: world.is_phase("Failed"))
            assert spent_s < 10  # a look, and a second of grace
            status = (await world.pod()).status
            assert (status.reason, status.message) == ("Evicted", SAID)
            assert status.container_statuses[0].state.terminated is not None
            assert await world.is_phase("Running", "calm")
            assert len(await reasons(world, "Evicted")) == 1

    lived(story)


def test_what_an_evicted_pod_wrote_is_removed_and_its_status_stays() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_cache())
            await world.until(lambda: world.is_phase("Running"))
            uid = await uid_of(world)
            world.machine.volume_use[f"{uid}/cache"] = Held(2 * MIB)

            async def is_freed() -> bool:
                lives = world.machine.runtime.lives.values()
                is_gone = all(one.container.pod_uid != uid for one in lives)
                return is_gone and uid not in world.machine.disk.volumes

            await world.until(is_freed)
            before = (await world.pod()).status
            assert before.phase == "Failed"
            assert before.container_statuses[0].state.terminated is not None

            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert (await world.pod()).status == before
            assert world.machine.running() == []

    lived(story)


def test_an_eviction_that_the_api_has_is_finished_by_the_next_kubelet() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await world.end()
            patch = {"status": {"reason": "Evicted", "message": SAID}}
            await world.admin.patch(Pod, "web", "default", patch, subresource="status")
            world.begin()

            await world.until(lambda: world.is_phase("Failed"))
            status = (await world.pod()).status
            assert (status.reason, status.message) == ("Evicted", SAID)
            assert world.machine.running() == []

    lived(story)


def test_a_pod_that_the_system_needs_is_never_evicted() -> None:
    async def story() -> None:
        async with a_world() as world:
            pod = with_cache()
            critical = replaced(pod.spec, priority_class_name="system-node-critical")
            await world.make(replaced(pod, spec=critical))
            await world.until(lambda: world.is_phase("Running"))
            world.machine.volume_use["cache"] = Held(9 * MIB)
            await world.env.clock.sleep(120)
            assert await world.is_phase("Running")

    lived(story)


def with_limit(name: str = "web") -> Pod:
    pod = a_pod(name)
    (main,) = pod.spec.containers
    limits = {"ephemeral-storage": Quantity("1Mi")}
    limited = replaced(main, resources=replaced(main.resources, limits=limits))
    return replaced(pod, spec=replaced(pod.spec, containers=(limited,)))


async def is_over_its_sum(world: World) -> None:
    await world.until(lambda: world.is_phase("Failed"))
    said = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
    assert (await world.pod()).status.message == said


@pytest.mark.parametrize("name", ["main", SANDBOX])
def test_what_the_pods_containers_and_its_sandbox_hold_counts_against_its_limit(name: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_limit())
            await world.until(lambda: world.is_phase("Running"))
            world.machine.runtime.layer_bytes[name] = 2 * MIB
            await is_over_its_sum(world)

    lived(story)


def test_what_was_added_to_look_into_a_pod_counts_against_its_limit() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_limit())
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            world.machine.runtime.layer_bytes["look"] = 2 * MIB
            await is_over_its_sum(world)

    lived(story)


def test_last_messages_count_against_the_limit_of_their_pod() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_limit())
            await world.until(lambda: world.is_phase("Running"))
            world.machine.volume_use[MESSAGES] = Held(2 * MIB)
            await is_over_its_sum(world)

    lived(story)
