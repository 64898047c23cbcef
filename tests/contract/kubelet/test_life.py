"""How long a pod lives, what its readiness hangs on, and who looks into it; on virtual time."""

import pytest

from cubernetes.api.condition import Condition, condition_of, is_true
from cubernetes.api.core.columns import podcolumns
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodReadinessGate
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.meta import replaced
from cubernetes.host.web.messages import Identity, Request
from kubelet.pod.acts import has_begun
from kubelet.pod.volumes import Message
from kubelet.runtime.driver import SANDBOX, State
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import IMAGE, World, a_world, lived, settings_of
from tests.contract.kubelet.test_probes import is_ready, reasons
from tests.given import NOW, a_container, a_pod
from tests.simulation.machines import Disk

GATE = "example.com/warm"
LOOK = "cubernetes/look:1"
ADMIN = Identity("kubernetes-admin", ("system:masters",))


def with_fields(policy: str = "Always", **fields: object) -> Pod:
    pod = a_pod("web", node="n1")
    return replaced(pod, spec=replaced(pod.spec, restart_policy=policy, **fields))


async def has_reason(world: World, reason: str) -> bool:
    return bool(await reasons(world, reason))


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_pod_that_outlives_its_deadline_is_ended_and_has_failed(policy: str) -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(ignores_term=True)) as world:
            fields = {"active_deadline_seconds": 20, "termination_grace_period_seconds": 5}
            await world.make(with_fields(policy, **fields))
            await world.until(lambda: world.is_phase("Running"))

            spent_s = await world.until(lambda: world.is_phase("Failed"))
            assert 20 <= spent_s <= 28  # the deadline, and the grace
            status = (await world.pod()).status
            assert status.reason == "DeadlineExceeded"
            assert status.message == (
                "Pod was active on the node longer than the specified deadline"
            )
            assert world.machine.running() == []
            await world.until(lambda: has_reason(world, "DeadlineExceeded"))

            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert world.machine.running() == []
            assert await world.is_phase("Failed")
            assert len(await reasons(world, "DeadlineExceeded")) == 1

    lived(story)


def test_a_deadline_holds_across_an_end_of_the_kubelet_and_may_be_made_less() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_fields(active_deadline_seconds=3600))
            await world.until(lambda: world.is_phase("Running"))
            await world.end()
            await world.env.clock.sleep(30)
            shorter = {"spec": {"activeDeadlineSeconds": 35}}
            await world.admin.patch(Pod, "web", "default", shorter)
            world.begin()

            assert await world.until(lambda: world.is_phase("Failed")) <= 15

    lived(story)


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_that_ended_in_time_has_kept_its_deadline(code: int, phase: str) -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(exits_after_s=5.0, exit_code=code)) as world:
            await world.make(with_fields("Never", active_deadline_seconds=20))
            await world.until(lambda: world.is_phase(phase))
            await world.env.clock.sleep(60)

            status = (await world.pod()).status
            assert (status.phase, status.reason) == (phase, "")

    lived(story)


def test_a_pod_is_ready_once_its_gates_are_open_and_not_before() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(with_fields(readiness_gates=(PodReadinessGate(condition_type=GATE),)))
            await world.until(lambda: world.is_phase("Running"))
            conditions = (await world.pod()).status.conditions
            ready = condition_of(conditions, "Ready")
            assert ready is not None
            assert is_true(conditions, "ContainersReady")
            assert (ready.status, ready.reason, ready.message) == (
                "False",
                "ReadinessGatesNotReady",
                f'corresponding condition of pod readiness gate "{GATE}" does not exist.',
            )

            await set_gate(world, "True")
            await world.until(lambda: is_ready(world))
            assert await shown_gates(world) == "1/1"

            await set_gate(world, "False")
            await world.until(lambda: is_closed(world))
            assert await shown_gates(world) == "0/1"

    lived(story)


def test_what_others_say_of_a_pod_while_it_is_looked_at_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Disk.message_text

    async def story() -> None:
        async with a_world(web=Behaviour(exits_after_s=5.0, exit_code=1)) as world:

            async def read_late(disk: Disk, message: Message, bytes_max: int) -> str:
                """Read what a container left; meanwhile somebody opens the pod's gate."""
                pod = await world.pod()
                if condition_of(pod.status.conditions, GATE) is None:
                    opened = (*pod.status.conditions, Condition(type=GATE, status="True"))
                    status = replaced(pod.status, conditions=opened)
                    await world.admin.update_status(replaced(pod, status=status))
                    await world.env.clock.sleep(1.0)
                return await read(disk, message, bytes_max)

            monkeypatch.setattr(Disk, "message_text", read_late)
            await world.make(with_fields(readiness_gates=(PodReadinessGate(condition_type=GATE),)))
            await world.until(lambda: is_ready(world))
            assert await shown_gates(world) == "1/1"

    lived(story)


async def set_gate(world: World, status: str) -> None:
    condition = {"type": GATE, "status": status}
    patch = {"status": {"conditions": [condition]}}
    await world.admin.patch(Pod, "web", "default", patch, subresource="status")


async def is_closed(world: World) -> bool:
    ready = condition_of((await world.pod()).status.conditions, "Ready")
    said = f'the status of pod readiness gate "{GATE}" is not "True", but False'
    return ready is not None and (ready.status, ready.message) == ("False", said)


async def shown_gates(world: World) -> str:
    pod = await world.pod()
    column = next(one for one in podcolumns.COLUMNS if one.title == "Readiness Gates")
    return str(column.cell(pod, NOW))


async def look_into(world: World, *names: str, **fields: object) -> None:
    """Add what is not there yet of these; without a name, of one that is called look."""
    added = [{"name": name, "image": LOOK, **fields} for name in names or ("look",)]
    change = {"spec": {"ephemeralContainers": added}}
    await world.admin.patch(Pod, "web", "default", change, subresource="ephemeralcontainers")


async def told(world: World) -> ContainerStatus | None:
    return next(iter((await world.pod()).status.ephemeral_container_statuses), None)


async def runs(world: World) -> bool:
    one = await told(world)
    return one is not None and one.state.running is not None


async def has_ended(world: World) -> bool:
    one = await told(world)
    return one is not None and one.state.terminated is not None


def running(world: World, name: str) -> list[str]:
    lives = world.machine.runtime.lives.values()
    here = (one.container for one in lives if one.is_running)
    return [one.id for one in here if one.name == name]


def a_pod_of(policy: str) -> Pod:
    pod = a_pod("web")
    return replaced(pod, spec=replaced(pod.spec, restart_policy=policy))


def test_one_is_added_to_a_pod_that_runs_and_counts_for_nothing_of_it() -> None:
    async def story() -> None:
        async with a_world(look=Behaviour(exits_after_s=20.0, exit_code=3)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            (main,) = running(world, "main")
            await look_into(world)
            await world.until(lambda: runs(world))
            assert await reasons(world, "Started")

            await world.until(lambda: has_ended(world))
            await world.env.clock.sleep(120)
            one = await told(world)
            assert one is not None
            assert one.state.terminated is not None
            assert (one.state.terminated.exit_code, one.restart_count, one.ready) == (3, 0, False)
            status = (await world.pod()).status
            assert status.phase == "Running"
            assert is_true(status.conditions, "Ready")
            assert running(world, "main") == [main]

    lived(story)


def test_it_is_found_again_by_a_kubelet_that_begins_again_and_ends_with_its_pod() -> None:
    async def story() -> None:
        async with a_world(look=Behaviour(ignores_term=True)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: runs(world))
            before = running(world, "look")
            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert running(world, "look") == before

            await world.admin.delete(Pod, "web", "default")
            # It has no grace of its own, whatever it makes of a signal.
            assert await world.until(world.is_gone) < 10
            assert world.machine.runtime.lives == {}

    lived(story)


def test_one_shares_the_processes_of_its_target_as_they_are_when_it_starts() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world, targetContainerName="main")
            await world.until(lambda: runs(world))
            lives = world.machine.runtime.lives.values()
            (look,) = (one for one in lives if one.container.name == "look")
            assert look.target_id == running(world, "main")[0]

    lived(story)


def test_a_pod_that_failed_keeps_its_network_while_one_looks_into_it() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(exits_after_s=5.0, exit_code=1)) as world:
            await world.make(a_pod_of("Never"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: world.is_phase("Failed"))
            await world.env.clock.sleep(60)
            assert running(world, "look")
            assert running(world, SANDBOX)
            assert (await world.pod()).status.pod_ip

            world.machine.runtime.end(running(world, "look")[0], 0)
            await world.until(lambda: _is_let_go(world))

            await look_into(world, "look", "late")
            await world.until(lambda: _runs_late(world))
            assert (await world.pod()).status.phase == "Failed"

    lived(story)


async def _is_let_go(world: World) -> bool:
    return not world.machine.running()


async def _runs_late(world: World) -> bool:
    return bool(running(world, "late")) and not running(world, "main")


def test_one_that_is_taken_out_again_is_ended_and_leaves_nothing() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: runs(world))
            path = "/api/v1/namespaces/default/pods/web/ephemeralcontainers"
            removal = Request("DELETE", path, (("container", "look"),), identity=ADMIN)
            assert (await world.server.handle(removal)).status == 200

            async def is_taken_out() -> bool:
                return await told(world) is None

            await world.until(is_taken_out)
            await world.env.clock.sleep(10)
            names = [one.container.name for one in world.machine.runtime.lives.values()]
            assert sorted(names) == [SANDBOX, "main"]
            lives = world.machine.runtime.lives.values()
            assert all(one.container.state is State.RUNNING for one in lives)

    lived(story)


def test_a_corrected_image_is_tried_at_once_and_its_failures_are_counted_anew() -> None:
    async def story() -> None:
        missing = Behaviour(pull_error="manifest unknown")
        async with a_world(missing=missing, absent=missing) as world:
            await world.make(a_pod("web", containers=[a_container("main", "cubernetes/missing:1")]))

            async def waits_with(reason: str, image: str) -> bool:
                told = (await world.pod()).status.container_statuses
                waits = [one.state.waiting for one in told]
                return any(one and one.reason == reason and image in one.message for one in waits)

            async def with_image(image: str) -> None:
                patch = {"spec": {"containers": [{"name": "main", "image": image}]}}
                await world.admin.patch(Pod, "web", "default", patch)

            await world.until(lambda: waits_with("ImagePullBackOff", "missing:1"))
            await world.env.clock.sleep(600)  # of the simulated clock: the longest pause
            await with_image("cubernetes/absent:1")
            spent_s = await world.until(lambda: waits_with("ErrImagePull", "absent:1"))
            assert spent_s < 2
            await world.until(lambda: waits_with("ImagePullBackOff", "absent:1"))
            await world.env.clock.sleep(600)
            await with_image("cubernetes/pulled:1")
            assert await world.until(lambda: world.is_phase("Running")) < 2

    lived(story)


def the_found(world: World) -> dict[str, tuple[str, State]]:
    """Return the ids and states of all that is there, by name."""
    lives = world.machine.runtime.lives.values()
    return {one.container.name: (one.container.id, one.container.state) for one in lives}


@pytest.mark.parametrize("ends", ["never", "kubelet", "pod"])
def test_the_first_container_is_made_while_its_sandbox_starts(ends: str) -> None:
    """And it is the one that runs; nothing is left of it where the kubelet or the pod ends."""

    async def story() -> None:
        async with a_world() as world:
            pause = settings_of(world.machine).pause_image
            world.machine.runtime.behaviours[pause] = Behaviour(start_s=30.0)
            await world.make(a_pod("web", containers=[a_container("main"), a_container("more")]))

            async def is_made() -> bool:
                return len(the_found(world)) == 2

            await world.until(is_made)
            found = the_found(world)
            assert {name: state for name, (_, state) in found.items()} == {
                SANDBOX: State.CREATED,
                "main": State.CREATED,
            }
            if ends == "kubelet":
                await world.end()
                world.begin()
            if ends == "pod":
                await world.admin.delete(Pod, "web", "default")
                await world.until(world.is_gone)
                assert the_found(world) == {}
                return
            await world.until(lambda: world.is_phase("Running"))
            ids = {name: one_id for name, (one_id, _) in the_found(world).items()}
            assert ids.keys() == {SANDBOX, "main", "more"}
            assert len(world.machine.runtime.lives) == len(ids)
            if ends == "never":
                assert ids["main"] == found["main"][0]
            assert len(await reasons(world, "Started")) == 2

    lived(story)


def test_what_was_made_beside_a_sandbox_that_never_ran_serves_the_next_one() -> None:
    async def story() -> None:
        async with a_world() as world:
            pause = settings_of(world.machine).pause_image
            world.machine.runtime.behaviours[pause] = Behaviour(start_error="no room")
            await world.make(a_pod("web", containers=[a_container("main")]))

            async def is_made() -> bool:
                return "main" in the_found(world)

            await world.until(is_made)
            for life in world.machine.runtime.lives.values():
                life.behaviour = Behaviour()
            world.machine.runtime.behaviours[pause] = Behaviour()
            await world.until(lambda: world.is_phase("Running"))
            assert {state for _, state in the_found(world).values()} == {State.RUNNING}
            assert len(world.machine.runtime.lives) == 2

    lived(story)


def test_no_container_is_made_early_whose_image_is_to_be_asked_for() -> None:
    async def story() -> None:
        async with a_world() as world:
            pause = settings_of(world.machine).pause_image
            world.machine.runtime.behaviours[pause] = Behaviour(start_s=30.0)
            always = replaced(a_container("main"), image_pull_policy="Always")
            await world.make(a_pod("web", containers=[always]))

            async def has_volumes() -> bool:
                return SANDBOX in the_found(world) and bool(world.machine.disk.volumes)

            await world.until(has_volumes)
            await world.env.clock.sleep(10)
            assert the_found(world).keys() == {SANDBOX}
            await world.until(lambda: world.is_phase("Running"))

    lived(story)


def test_nothing_of_a_pod_that_is_over_is_made_for_who_looks_into_it() -> None:
    """A debugger's sandbox is the first again where the pod's own was taken away."""
    begun = ContainerStatus(name="web", image=IMAGE, image_id="", container_id="docker://a")
    status = a_pod("web").status
    assert not has_begun(a_pod("web"))
    assert has_begun(replaced(a_pod("web"), status=replaced(status, phase="Succeeded")))
    assert has_begun(replaced(a_pod("web"), status=replaced(status, container_statuses=(begun,))))
