"""Init containers and sidecars on a fake runtime: their order, their ends, what is told of them."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from cubernetes.api.condition import condition_of, is_true
from cubernetes.api.core.columns import podcolumns
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.meta import replaced
from kubelet.runtime.driver import SANDBOX
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import IMAGE, World, a_world, lived
from tests.contract.kubelet.test_probes import BEGUN, ILL, READY, a_probe, is_ready, reasons
from tests.given import NOW, a_container, a_pod

QUICK = Behaviour(exits_after_s=3.0)
FAILS = Behaviour(exits_after_s=1.0, exit_code=1)
STARTED = frozenset(
    {"spec.initContainers{first}", "spec.initContainers{second}", "spec.containers{main}"}
)
IMAGES = ("cubernetes/first:1", "cubernetes/second:1")


def initialized_by(*names: str, policy: str = "Always") -> Pod:
    inits = tuple(a_container(name, f"cubernetes/{name}:1") for name in names)
    pod = a_pod("web", node="n1", containers=(a_container("main", IMAGE),))
    return replaced(pod, spec=replaced(pod.spec, init_containers=inits, restart_policy=policy))


async def shown(world: World, title: str = "Status") -> str:
    pod = await world.pod()
    return str(next(one for one in podcolumns.COLUMNS if one.title == title).cell(pod, NOW))


async def are_started(world: World, paths: frozenset[str]) -> bool:
    """Whether events tell of the start of exactly these parts of the pod."""
    events = (await world.admin.list(Event, "default")).items
    return {one.involved_object.field_path for one in events if one.reason == "Started"} == paths


async def inits(world: World) -> list[ContainerStatus]:
    return list((await world.pod()).status.init_container_statuses)


def is_shown(world: World, text: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await shown(world) == text

    return look


def does_run(world: World, *names: str) -> Callable[[], Awaitable[bool]]:
    """Return whether exactly these containers run, beside the sandbox."""

    async def look() -> bool:
        return sorted(name for _, name in world.machine.running()) == [SANDBOX, *names]

    return look


def with_sidecar(policy: str = "Always") -> Pod:
    pod = initialized_by("first", "second", policy=policy)
    first, second = pod.spec.init_containers
    side = replaced(
        first,
        restart_policy="Always",
        startup_probe=a_probe(BEGUN, 1, 100),
        readiness_probe=a_probe(READY, 1, 1),
    )
    return replaced(pod, spec=replaced(pod.spec, init_containers=(side, second)))


async def is_not_ready(world: World) -> bool:
    return not await is_ready(world)


async def has_reason(world: World, reason: str) -> bool:
    return bool(await reasons(world, reason))


async def is_started_again(world: World) -> bool:
    return (await inits(world))[0].restart_count == 1


def ends(world: World) -> dict[str, datetime]:
    """Return when each container that has ended did so last."""
    each = (life.container for life in world.machine.runtime.lives.values())
    return {one.name: one.finished_at for one in each if one.finished_at is not None}


def test_init_containers_run_one_after_another_and_then_the_others() -> None:
    async def story() -> None:
        async with a_world(first=QUICK, second=QUICK) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(initialized_by("first", "second"))
            await world.until(is_shown(world, "Init:0/2"))
            await world.until(is_shown(world, "Init:1/2"))
            await world.until(does_run(world, "second"))
            pod = await world.pod()
            assert pod.status.phase == "Pending"
            initialized = condition_of(pod.status.conditions, "Initialized")
            assert initialized is not None
            assert (initialized.status, initialized.reason) == ("False", "ContainersNotInitialized")
            assert initialized.message == "containers with incomplete status: [second]"
            waiting = pod.status.container_statuses[0].state.waiting
            assert waiting is not None
            assert waiting.reason == "PodInitializing"
            assert [name for _, name in world.machine.running()] == [SANDBOX, "second"]

            await world.until(is_shown(world, "Running"))
            pod = await world.pod()
            assert is_true(pod.status.conditions, "Initialized")
            assert [one.ready for one in pod.status.init_container_statuses] == [True, True]
            await world.until(lambda: are_started(world, STARTED))

    lived(story)


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_one_that_fails_is_started_again_with_pauses(policy: str) -> None:
    async def story() -> None:
        async with a_world(first=FAILS) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(initialized_by("first", policy=policy))
            await world.until(is_shown(world, "Init:CrashLoopBackOff"))
            (one,) = await inits(world)
            assert one.restart_count >= 1
            assert one.last_state.terminated is not None
            assert one.last_state.terminated.exit_code == 1
            assert [name for _, name in world.machine.running()] == [SANDBOX]

            world.machine.runtime.behaviours["cubernetes/first:1"] = QUICK
            await world.until(is_shown(world, "Running"))

    lived(story)


def test_with_never_a_failed_init_container_fails_the_pod() -> None:
    async def story() -> None:
        async with a_world(first=FAILS) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(initialized_by("first", "second", policy="Never"))
            await world.until(lambda: world.is_phase("Failed"))
            assert await shown(world) == "Init:Error"
            assert [one.restart_count for one in await inits(world)] == [0, 0]
            await world.env.clock.sleep(60)
            assert [name for _, name in world.machine.running()] == []

    lived(story)


def test_a_pod_that_lost_its_sandbox_is_initialized_again() -> None:
    async def story() -> None:
        async with a_world(first=QUICK) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(initialized_by("first"))
            await world.until(is_shown(world, "Running"))
            world.machine.runtime.reboot()

            await world.until(is_shown(world, "Init:0/1"))
            await world.until(is_shown(world, "Running"))
            (one,) = await inits(world)
            assert one.restart_count == 1
            assert (await world.container()).restart_count == 1

    lived(story)


def test_a_pod_is_deleted_also_while_it_is_initialized() -> None:
    async def story() -> None:
        async with a_world(first=Behaviour()) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(initialized_by("first"))
            await world.until(does_run(world, "first"))
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            assert world.machine.running() == []

    lived(story)


def test_a_sidecar_gates_the_next_and_then_counts_like_the_others() -> None:
    async def story() -> None:
        async with a_world(second=QUICK) as world:
            world.machine.runtime.images.update(IMAGES)
            ailing = world.machine.asker.ailing
            ailing["web", BEGUN] = ILL
            await world.make(with_sidecar())
            await world.until(lambda: has_reason(world, "Unhealthy"))
            assert await shown(world) == "Init:0/2"
            assert [name for _, name in world.machine.running()] == [SANDBOX, "first"]

            ailing.clear()
            await world.until(lambda: is_ready(world))
            assert await shown(world, "Ready") == "2/2"
            assert [name for _, name in world.machine.running()] == [SANDBOX, "first", "main"]

            ailing["web", READY] = ILL
            await world.until(lambda: is_not_ready(world))
            assert await shown(world, "Ready") == "1/2"
            ailing.clear()
            await world.until(lambda: is_ready(world))

    lived(story)


@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_a_sidecar_that_ends_is_started_again_and_nothing_else_is(policy: str) -> None:
    async def story() -> None:
        async with a_world(second=QUICK) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(with_sidecar(policy))
            await world.until(lambda: is_ready(world))
            found = world.machine.runtime.found((await world.pod()).metadata.uid, "first", 0)
            assert found is not None
            world.machine.runtime.end(found.container.id, 0)

            await world.until(lambda: is_started_again(world))
            await world.until(lambda: is_ready(world))
            pod = await world.pod()
            assert pod.status.phase == "Running"
            assert [one.restart_count for one in pod.status.init_container_statuses] == [1, 0]
            assert (await world.container()).restart_count == 0

    lived(story)


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_completes_although_its_sidecar_runs(code: int, phase: str) -> None:
    async def story() -> None:
        async with a_world(second=QUICK, web=Behaviour(exits_after_s=5.0, exit_code=code)) as world:
            world.machine.runtime.images.update(IMAGES)
            await world.make(with_sidecar("Never"))
            await world.until(lambda: world.is_phase(phase))
            assert world.machine.running() == []
            at = ends(world)
            assert at["second"] < at["main"] <= at["first"]
            assert (await shown(world)) == ("Completed" if code == 0 else "Error")

    lived(story)


def test_a_sidecar_of_a_deleted_pod_ends_after_the_others_and_within_the_grace() -> None:
    async def story() -> None:
        async with a_world(second=QUICK, web=Behaviour(ignores_term=True)) as world:
            world.machine.runtime.images.update(IMAGES)
            pod = with_sidecar()
            pod = replaced(pod, spec=replaced(pod.spec, termination_grace_period_seconds=10))
            await world.make(pod)
            await world.until(does_run(world, "first", "main"))
            await world.admin.delete(Pod, "web", "default")
            await world.env.clock.sleep(5)
            await world.until(does_run(world, "first", "main"))

            assert await world.until(world.is_gone) <= 10

    lived(story)
