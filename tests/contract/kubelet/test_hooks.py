"""Hooks at the start and the end of containers, on a fake runtime and virtual time."""

from cubernetes.api.condition import is_true
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.probes.actions import ExecAction, SleepAction
from cubernetes.api.core.podspec.probes.probe import Lifecycle, LifecycleHandler
from cubernetes.api.meta import replaced
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import ILL, LIVE, a_probe, is_ready, reasons
from tests.given import a_container, a_pod

BYE, HELLO = "say bye", "say hello"


def run(command: str) -> LifecycleHandler:
    return LifecycleHandler(exec=ExecAction(command=tuple(command.split())))


def sleep(span_s: int) -> LifecycleHandler:
    return LifecycleHandler(sleep=SleepAction(seconds=span_s))


def hooked(
    *,
    post_start: LifecycleHandler | None = None,
    pre_stop: LifecycleHandler | None = None,
    is_probed: bool = False,
) -> Pod:
    lifecycle = Lifecycle(post_start=post_start, pre_stop=pre_stop)
    container = replaced(a_container(), lifecycle=lifecycle)
    if is_probed:
        container = replaced(container, liveness_probe=a_probe(LIVE, 1, 1))
    pod = a_pod("web", node="n1", containers=(container,))
    return replaced(pod, spec=replaced(pod.spec, termination_grace_period_seconds=10))


async def gone_after(world: World) -> float:
    await world.admin.delete(Pod, "web", "default")
    return await world.until(world.is_gone)


def test_a_pre_stop_hook_comes_before_the_end_and_is_part_of_the_grace() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(hooked(pre_stop=sleep(5)))
            await world.until(lambda: is_ready(world))

            assert 5 <= await gone_after(world) <= 7

    lived(story)


def test_a_pre_stop_hook_that_does_not_end_leaves_two_seconds_and_is_told() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.asker.mute.add(("web", BYE))
            await world.make(hooked(pre_stop=run(BYE)))
            await world.until(lambda: is_ready(world))

            assert 10 <= await gone_after(world) <= 13
            told = await reasons(world, "FailedPreStopHook")
            assert told[0].startswith("PreStopHook failed: no answer within ")

    lived(story)


def test_a_container_has_between_term_and_kill_what_its_hook_left() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            await world.make(hooked(pre_stop=sleep(4)))
            await world.until(lambda: is_ready(world))

            assert 10 <= await gone_after(world) <= 12

    lived(story)


def test_a_deletion_without_grace_runs_no_hook() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(hooked(pre_stop=run(BYE)))
            await world.until(lambda: is_ready(world))
            await world.admin.delete(Pod, "web", "default", grace_s=0)
            await world.until(world.is_gone)
            await world.env.clock.sleep(5)

            assert world.machine.asker.asked["web", BYE] == 0

    lived(story)


def test_less_grace_cuts_a_hook_off() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.asker.mute.add(("web", BYE))
            await world.make(hooked(pre_stop=run(BYE)))
            await world.until(lambda: is_ready(world))
            await world.admin.delete(Pod, "web", "default")
            await world.env.clock.sleep(2)
            await world.admin.delete(Pod, "web", "default", grace_s=3)

            assert await world.until(world.is_gone) <= 3
            assert world.machine.asker.asked["web", BYE] == 1

    lived(story)


def test_a_container_that_does_not_live_says_goodbye_as_well() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(hooked(pre_stop=run(BYE), is_probed=True))
            await world.until(lambda: is_ready(world))
            world.machine.asker.ailing["web", LIVE] = ILL

            async def is_again() -> bool:
                return (await world.container()).restart_count == 1

            await world.until(is_again)
            assert world.machine.asker.asked["web", BYE] >= 1

    lived(story)


def test_a_container_runs_only_once_its_post_start_hook_has_ended() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(hooked(post_start=sleep(6)))
            await world.env.clock.sleep(4)
            pod = await world.pod()
            assert pod.status.phase == "Pending"
            assert not is_true(pod.status.conditions, "Ready")
            await world.until(lambda: is_ready(world), 5)

    lived(story)


def test_a_post_start_hook_that_fails_ends_the_container() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.asker.ailing["web", HELLO] = "no such command"
            await world.make(hooked(post_start=run(HELLO)))

            async def is_again() -> bool:
                statuses = (await world.pod()).status.container_statuses
                return any(one.restart_count >= 1 for one in statuses)

            await world.until(is_again)
            told = await reasons(world, "FailedPostStartHook")
            assert told == ["PostStartHook failed: no such command"]
            # The kubelet has ended it: that is told, and no death beside it.
            await world.env.clock.sleep(10)
            assert "Stopping container main: FailedPostStartHook" in await reasons(world, "Killing")
            assert await reasons(world, "ContainerDied") == []
            assert not await is_ready(world)

    lived(story)


def test_a_pod_is_deleted_also_while_its_post_start_hook_hangs() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.asker.mute.add(("web", HELLO))
            await world.make(hooked(post_start=run(HELLO)))
            await world.env.clock.sleep(3)
            assert world.machine.asker.asked["web", HELLO] == 1

            assert await gone_after(world) <= 2

    lived(story)
