"""A node that runs short: whom it ends, whom it refuses, and what it says; on virtual time."""

from dataclasses import replace
from functools import partial

from cubernetes.api.condition import condition_of, is_true
from cubernetes.api.core.node import Node
from cubernetes.api.core.podspec.security.context import PodSecurityContext, Sysctl
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from kubelet.eviction.room import MachineRoom, Share
from kubelet.eviction.storage import Held
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import reasons
from tests.contract.pressure.test_limits import uid_of, with_cache
from tests.given import a_container, a_pod

MIB = 1 << 20
PLENTY = MachineRoom(*(Share(2 << 30, 4 << 30),) * 4)
NO_MEMORY = replace(PLENTY, memory=Share(50 * MIB, 4 << 30))
NO_DISK = replace(PLENTY, disk=Share(200 * MIB, 4 << 30))
SAID = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "


async def running(world: World, *names: str) -> None:
    for name in names:
        await world.make(a_pod(name))
        await world.until(partial(world.is_phase, "Running", name))


async def uses(world: World, name: str, mib: int) -> None:
    world.machine.memory_use[await uid_of(world, name)] = mib * MIB


async def is_pressed(world: World, kind: str) -> bool:
    node = await world.admin.get(Node, "n1")
    return is_true(node.status.conditions, kind)


async def is_calm(world: World) -> bool:
    node = await world.admin.get(Node, "n1")
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure")
    return not any(is_true(node.status.conditions, kind) for kind in kinds)


def test_the_pod_that_uses_most_is_ended_and_once_there_is_room_no_other() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            await running(world, "small", "large")
            await uses(world, "small", 100)
            await uses(world, "large", 900)
            world.machine.room = NO_MEMORY
            await world.until(lambda: is_pressed(world, "MemoryPressure"))
            await world.until(lambda: world.is_phase("Failed", "large"))
            world.machine.room = PLENTY
            await world.env.clock.sleep(60)

            assert await world.is_phase("Running", "small")
            status = (await world.pod("large")).status
            assert (status.reason, status.message) == ("Evicted", SAID)
            target = condition_of(status.conditions, "DisruptionTarget")
            assert target is not None
            assert target.reason == "TerminationByKubelet"
            assert await reasons(world, "EvictionThresholdMet")
            # The pressure is told for five minutes more.
            assert await is_pressed(world, "MemoryPressure")
            assert 200 < await world.until(lambda: is_calm(world), 400) < 300

    lived(story)


def test_one_pod_ends_at_a_time_while_the_pressure_lasts() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            names = ("one", "three", "two")
            await running(world, *names)
            for name, mib in zip(names, (100, 300, 200), strict=True):
                await uses(world, name, mib)
            world.machine.room = NO_MEMORY
            await world.until(lambda: world.is_phase("Failed", "three"))
            assert await world.is_phase("Running", "two")
            await world.until(lambda: world.is_phase("Failed", "two"))
            assert await world.is_phase("Running", "one")
            await world.until(lambda: world.is_phase("Failed", "one"))

    lived(story)


def test_the_next_pod_waits_until_the_one_before_has_given_back_what_it_held() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            await running(world, "first", "second")
            await uses(world, "first", 300)
            await uses(world, "second", 200)
            world.machine.disk.trouble = "its volume cannot be removed"
            world.machine.room = NO_MEMORY
            await world.until(lambda: world.is_phase("Failed", "first"))
            await world.env.clock.sleep(15)
            assert await world.is_phase("Running", "second")
            world.machine.disk.trouble = ""
            await world.until(lambda: world.is_phase("Failed", "second"))

    lived(story)


def test_a_full_disk_ends_who_holds_much_of_it_and_nobody_who_holds_next_to_nothing() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            await world.make(with_cache("holds"))
            await world.until(lambda: world.is_phase("Running", "holds"))
            await running(world, "light")
            world.machine.volume_use["cache"] = Held(MIB, 3)
            world.machine.room = NO_DISK
            await world.until(lambda: world.is_phase("Failed", "holds"))
            await world.env.clock.sleep(120)
            assert await world.is_phase("Running", "light")
            said = "The node was low on resource: ephemeral-storage. Threshold quantity: "
            message = (await world.pod("holds")).status.message
            assert message.startswith(f"{said}429496729, available: 200Mi. ")

    lived(story)


def test_a_soft_threshold_waits_for_its_grace() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            world.machine.eviction_text = b"""{"evictionHard": {},
                "evictionSoft": {"memory.available": "100Mi"},
                "evictionSoftGracePeriod": {"memory.available": "40s"}}"""
            await running(world, "web")
            await uses(world, "web", 500)
            world.machine.room = NO_MEMORY
            await world.until(lambda: is_pressed(world, "MemoryPressure"))
            spent_s = await world.until(lambda: world.is_phase("Failed"))
            assert 30 < spent_s < 50

    lived(story)


def test_thresholds_that_are_wrong_are_told_and_the_defaults_hold() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.eviction_text = b'{"evictionHard": {"memory": "1Gi"}}'
            world.machine.room = NO_MEMORY
            await world.until(lambda: is_pressed(world, "MemoryPressure"))

            async def is_told() -> bool:
                return len(await reasons(world, "InvalidEvictionThresholds")) == 1

            await world.until(is_told)

    lived(story)


def test_what_is_reserved_is_not_for_pods_and_a_file_that_is_wrong_changes_nothing() -> None:
    async def story() -> None:
        async with a_world() as world:

            async def usable(name: str) -> int:
                node = await world.admin.get(Node, "n1")
                has, rest = node.status.capacity[name], node.status.allocatable[name]
                return has.milli - rest.milli

            world.machine.reserves_text = b"""{"systemReserved": {"cpu": "300m", "memory": "1Gi"},
                "kubeReserved": {"cpu": "200m"}, "allowedUnsafeSysctls": ["kernel.msg*"]}"""

            async def is_kept() -> bool:
                memory = await usable("memory")
                return await usable("cpu") == 500 and memory == 1000 * ((1 << 30) + 100 * MIB)

            await world.until(is_kept)
            assert world.machine.limits is not None
            for name, settings in (("may", "kernel.msgmax"), ("may-not", "kernel.sem")):
                pod = a_pod(name)
                context = PodSecurityContext(sysctls=(Sysctl(name=settings, value="1"),))
                await world.make(replaced(pod, spec=replaced(pod.spec, security_context=context)))
            await world.until(lambda: world.is_phase("Running", "may"))
            await world.until(lambda: world.is_phase("Failed", "may-not"))
            assert (await world.pod("may-not")).status.reason == "SysctlForbidden"

            world.machine.reserves_text = b'{"systemReserved": {"cpu": "some"}}'
            await world.until(lambda: reasons(world, "InvalidNodeReserves"))
            await world.env.clock.sleep(30)
            assert await is_kept()

            world.machine.reserves_text = None
            await world.until(lambda: has_lapsed(world))
            assert world.machine.limits is None

    async def has_lapsed(world: World) -> bool:
        node = await world.admin.get(Node, "n1")
        return node.status.capacity["cpu"].milli - node.status.allocatable["cpu"].milli == 100

    lived(story)


def test_a_kubelet_that_begins_while_its_file_is_being_written_judges_no_pod_by_half_of_it() -> (
    None
):
    async def story() -> None:
        async with a_world() as world:
            await world.end()
            world.machine.reserves_text = b""
            context = PodSecurityContext(sysctls=(Sysctl(name="kernel.msgmax", value="1"),))
            pod = a_pod("may")
            await world.make(replaced(pod, spec=replaced(pod.spec, security_context=context)))
            world.begin()
            await world.env.clock.sleep(3)
            world.machine.reserves_text = b'{"allowedUnsafeSysctls": ["kernel.msg*"]}'
            await world.until(lambda: world.is_phase("Running", "may"))

    lived(story)


def test_a_short_node_refuses_pods_that_do_not_bear_it() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = replace(NO_MEMORY, disk=NO_DISK.disk)
            await world.until(lambda: is_pressed(world, "DiskPressure"))
            await world.make(a_pod("plain"))
            await world.until(lambda: world.is_phase("Failed", "plain"))
            status = (await world.pod("plain")).status
            said = "Pod was rejected: The node had condition: [DiskPressure MemoryPressure]. "
            assert (status.reason, status.message) == ("Evicted", said)

            bears = Toleration(
                key="node.kubernetes.io/disk-pressure", operator="Exists", effect="NoSchedule"
            )
            asks = a_pod("asks", containers=[a_container(memory="64Mi")])
            await world.make(replaced(asks, spec=replaced(asks.spec, tolerations=(bears,))))
            await world.until(lambda: world.is_phase("Running", "asks"))
            needed = a_pod("needed")
            critical = replaced(needed.spec, priority_class_name="system-node-critical")
            await world.make(replaced(needed, spec=critical))
            await world.until(lambda: world.is_phase("Running", "needed"))

    lived(story)


def test_nobody_is_ended_while_the_api_server_is_away() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.room = PLENTY
            await running(world, "web")
            await uses(world, "web", 500)
            await world.server.stop()
            world.machine.room = NO_MEMORY
            await world.env.clock.sleep(120)
            assert len(world.machine.running()) == 2

    lived(story)
