"""A kubelet asks the containers of its pods, on a fake runtime whose containers answer as told."""

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from cubernetes.api.condition import is_true
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.probes.actions import HTTPGetAction
from cubernetes.api.core.podspec.probes.probe import Probe
from cubernetes.api.meta import replaced
from kubelet.probes.fake import FakeAsker
from kubelet.probes.prober import Prober
from kubelet.runtime.driver import Container as Found
from kubelet.runtime.driver import State
from kubelet.runtime.fake import Behaviour, FakeMachine
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.given import NOW, a_container, a_pod
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated

READY, LIVE, BEGUN = "/ready", "/live", "/begun"
ILL = "HTTP probe failed with statuscode: 503"


def a_probe(path: str, period_s: int = 2, failures: int = 3, grace_s: int | None = None) -> Probe:
    return Probe(
        http_get=HTTPGetAction(path=path, port=8080),
        period_seconds=period_s,
        failure_threshold=failures,
        termination_grace_period_seconds=grace_s,
    )


def probed(policy: str = "Always", **probes: Probe) -> Pod:
    container: Container = replaced(a_container(), **probes)
    pod = a_pod("web", node="n1", containers=(container,))
    return replaced(pod, spec=replaced(pod.spec, restart_policy=policy))


async def is_ready(world: World) -> bool:
    return is_true((await world.pod()).status.conditions, "Ready")


async def reasons(world: World, reason: str) -> list[str]:
    events = (await world.admin.list(Event, "default")).items
    return [event.message for event in events if event.reason == reason]


def test_readiness_takes_a_pod_out_and_back_without_a_restart() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(probed(readiness_probe=a_probe(READY)))
            await world.until(lambda: is_ready(world))
            ailing = world.machine.asker.ailing

            ailing["web", READY] = ILL

            async def is_out() -> bool:
                return not await is_ready(world)

            spent_s = await world.until(is_out)
            assert 4 <= spent_s <= 7  # the third failure, two seconds apart
            container = await world.container()
            assert (container.ready, container.started, container.restart_count) == (False, True, 0)
            ailing.clear()
            assert await world.until(lambda: is_ready(world)) <= 3
            assert (await world.container()).restart_count == 0
            assert f"Readiness probe failed: {ILL}" in await reasons(world, "Unhealthy")

    lived(story)


def test_a_failed_liveness_ends_the_container_with_the_probes_grace_and_starts_another() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            await world.make(probed(liveness_probe=a_probe(LIVE, grace_s=5)))
            await world.until(lambda: is_ready(world))
            world.machine.asker.ailing["web", LIVE] = ILL

            async def is_again() -> bool:
                container = await world.container()
                return container.restart_count == 1 and container.state.running is not None

            spent_s = await world.until(is_again)
            assert 9 <= spent_s <= 14  # three failures, and a grace of five seconds
            ended = (await world.container()).last_state.terminated
            assert ended is not None
            assert ended.exit_code == 137
            killing = await reasons(world, "Killing")
            assert "Container main failed liveness probe, will be restarted" in killing

    lived(story)


@pytest.mark.parametrize(("policy", "phase"), [("Never", "Failed"), ("OnFailure", "Running")])
def test_what_follows_a_failed_liveness_the_restart_policy_says(policy: str, phase: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(probed(policy, liveness_probe=a_probe(LIVE)))
            await world.until(lambda: is_ready(world))
            world.machine.asker.ailing["web", LIVE] = ILL

            async def is_over() -> bool:
                container = await world.container()
                return container.restart_count == 1 or container.state.terminated is not None

            await world.until(is_over)
            assert await world.is_phase(phase)

    lived(story)


def test_startup_protects_a_slow_start_and_gates_the_others() -> None:
    async def story() -> None:
        async with a_world() as world:
            ailing, asked = world.machine.asker.ailing, world.machine.asker.asked
            ailing["web", BEGUN] = ailing["web", LIVE] = ILL
            await world.make(
                probed(
                    startup_probe=a_probe(BEGUN, 1, 30),
                    liveness_probe=a_probe(LIVE, 1, 1),
                    readiness_probe=a_probe(READY, 1),
                )
            )
            await world.until(lambda: world.is_phase("Running"))
            await world.env.clock.sleep(20)
            container = await world.container()
            assert (container.ready, container.started, container.restart_count) == (
                False,
                False,
                0,
            )
            assert asked["web", LIVE] == asked["web", READY] == 0

            ailing.clear()
            assert await world.until(lambda: is_ready(world)) <= 3
            begun_count = asked["web", BEGUN]
            await world.env.clock.sleep(10)
            assert asked["web", BEGUN] == begun_count
            assert asked["web", LIVE] >= 9

    lived(story)


def test_a_start_that_takes_too_long_is_ended() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.asker.ailing["web", BEGUN] = ILL
            await world.make(probed(startup_probe=a_probe(BEGUN, 1, 5)))

            async def is_again() -> bool:
                return (await world.container()).restart_count == 1

            await world.until(lambda: world.is_phase("Running"))
            await world.until(is_again)
            killing = await reasons(world, "Killing")
            assert "Container main failed startup probe, will be restarted" in killing

    lived(story)


def test_a_kubelet_that_begins_again_does_not_take_ready_pods_out() -> None:
    async def story() -> None:
        async with a_world() as world:
            readiness = a_probe(READY, period_s=30)
            await world.make(
                probed(readiness_probe=readiness, startup_probe=a_probe(BEGUN, period_s=30))
            )
            await world.until(lambda: is_ready(world))
            revision = (await world.pod()).metadata.resource_version

            await world.end()
            world.begin()
            await world.env.clock.sleep(45)

            pod = await world.pod()
            assert is_true(pod.status.conditions, "Ready")
            assert pod.metadata.resource_version == revision

    lived(story)


def test_a_runtime_that_is_down_says_nothing_of_a_containers_health() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(probed(liveness_probe=a_probe(LIVE, 1)))
            await world.until(lambda: is_ready(world))
            world.machine.runtime.is_down = True
            await world.env.clock.sleep(20)
            world.machine.runtime.is_down = False
            await world.env.clock.sleep(20)

            assert (await world.container()).restart_count == 0

    lived(story)


def test_of_a_pod_that_ends_liveness_is_asked_no_more() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            await world.make(
                probed(liveness_probe=a_probe(LIVE, 1), readiness_probe=a_probe(READY))
            )
            await world.until(lambda: is_ready(world))
            await world.admin.delete(Pod, "web", "default", grace_s=20)
            await world.env.clock.sleep(2)
            asked = dict(world.machine.asker.asked)
            await world.env.clock.sleep(10)
            after = world.machine.asker.asked

            assert after["web", LIVE] == asked["web", LIVE]
            assert after["web", READY] > asked["web", READY]

    lived(story)


def a_found(index: int) -> Found:
    return Found(
        id=f"c{index}", pod_uid=f"u{index}", pod_name=f"web-{index}", namespace="default",
        name="main", attempt=0, state=State.RUNNING, image="i", image_id="i", started_at=NOW,
    )  # fmt: skip


class Everything(FakeMachine):
    """A machine on which every container runs."""

    def is_running(self, container_id: str) -> bool:
        return True


def test_a_probe_costs_no_task_between_its_questions_and_each_is_asked_once_a_period() -> None:
    async def story() -> None:
        env = sim_env("many")
        asker = FakeAsker(Everything(env))
        prober = Prober(env, asker, lambda *_: None, lambda _: None)
        running = asyncio.ensure_future(prober.run())
        before = len(asyncio.all_tasks())
        for index in range(200):
            pod = probed(
                startup_probe=a_probe(BEGUN, 10),
                liveness_probe=a_probe(LIVE, 10),
                readiness_probe=a_probe(READY, 10),
            )
            named = replaced(pod.metadata, name=f"web-{index}", uid=f"u{index}")
            prober.follow(replaced(pod, metadata=named), [a_found(index)], "10.244.1.5")
        await env.clock.sleep(105)

        counts = {key: count for key, count in asker.asked.items() if key[1] != BEGUN}
        assert len(counts) == 400
        assert {10, 11} >= set(counts.values())
        assert {asker.asked[f"web-{index}", BEGUN] for index in range(200)} == {1}
        assert len(asyncio.all_tasks()) <= before + 2
        running.cancel()
        await asyncio.wait([running])

    run_simulated(story(), limit_s=600)


@pytest.mark.parametrize(("age_s", "first_count"), [(-1, 200), (3600, 20)])
def test_first_runs_are_spread_over_a_period_only_where_the_kubelet_is_new(
    age_s: int, first_count: int
) -> None:
    """Containers that began after the kubelet are asked at once; older ones in their turn."""

    async def story() -> None:
        env = sim_env("new")
        asker = FakeAsker(Everything(env))
        prober = Prober(env, asker, lambda *_: None, lambda _: None)
        running = asyncio.ensure_future(prober.run())
        began_at = env.clock.now() - timedelta(seconds=age_s)
        for index in range(200):
            pod = probed(liveness_probe=a_probe(LIVE, 100))
            named = replaced(pod.metadata, name=f"web-{index}", uid=f"u{index}")
            found = dataclasses.replace(a_found(index), started_at=began_at)
            prober.follow(replaced(pod, metadata=named), [found], "10.244.1.5")
        await env.clock.sleep(5)

        assert abs(len(asker.asked) - first_count) <= first_count / 2
        await env.clock.sleep(100)
        assert len(asker.asked) == 200
        running.cancel()
        await asyncio.wait([running])

    run_simulated(story(), limit_s=600)


def test_probes_that_hang_hold_up_no_more_than_their_lane() -> None:
    """The turns are bounded, and each question gets its own in the order of its instant."""

    async def story() -> None:
        env = sim_env("hang")
        asker = FakeAsker(Everything(env))
        prober = Prober(env, asker, lambda *_: None, lambda _: None)
        running = asyncio.ensure_future(prober.run())
        for index in range(300):
            probe = replaced(a_probe(LIVE, 5), timeout_seconds=5)
            pod = probed(liveness_probe=probe)
            named = replaced(pod.metadata, name=f"web-{index}", uid=f"u{index}")
            asker.mute.add((f"web-{index}", LIVE))
            prober.follow(replaced(pod, metadata=named), [a_found(index)], "10.244.1.5")
        await env.clock.sleep(4)
        assert len(asker.asked) == 128
        await env.clock.sleep(12)
        assert len(asker.asked) == 300
        running.cancel()
        await asyncio.wait([running])

    run_simulated(story(), limit_s=600)
