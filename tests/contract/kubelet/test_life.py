"""How long a pod lives and what else its readiness hangs on, on a fake runtime and virtual time."""

import pytest

from cubernetes.api.condition import condition_of, is_true
from cubernetes.api.core.columns import podcolumns
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodReadinessGate
from cubernetes.api.meta import replaced
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import is_ready, reasons
from tests.given import NOW, a_pod

GATE = "example.com/warm"


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
