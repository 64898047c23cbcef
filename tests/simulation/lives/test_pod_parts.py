"""Pods with init containers, sidecars and probes, on nodes that run short and lose kubelets."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.probes.actions import ExecAction
from cubernetes.api.core.podspec.probes.probe import Probe
from cubernetes.api.meta import replaced
from kubelet.eviction.room import MachineRoom, Share
from kubelet.runtime.driver import Container, State
from tests.simulation.calm import CalmCluster, calm_cluster
from tests.simulation.judges.agreement import doubles
from tests.simulation.loop import run_simulated
from tests.simulation.machines import TASK, SimMachine
from tests.simulation.workloads import workload

COUNT, FAULT_COUNT, SEEDS = 4, 8, range(2)
PLENTY = MachineRoom(*(Share(2 << 30, 4 << 30),) * 4)
SHORT = replace(PLENTY, memory=Share(50 << 20, 4 << 30))


def whole_pods() -> ReplicaSet:
    """Return pods of a sidecar, an init container, and a container that is asked if it is ready."""
    one = workload("web", "default", COUNT, 1)
    probe = Probe(exec=ExecAction(command=("true",)), period_seconds=1, failure_threshold=1)
    (main,) = one.spec.template.spec.containers
    side = Wanted(name="side", image="cubernetes/web:1", restart_policy="Always")
    spec = replaced(
        one.spec.template.spec,
        init_containers=(side, Wanted(name="init", image=TASK)),
        containers=(replaced(main, readiness_probe=probe),),
    )
    template = replaced(one.spec.template, spec=spec)
    return replaced(one, spec=replaced(one.spec, template=template))


def containers(machine: SimMachine) -> Sequence[Container]:
    return [life.container for life in machine.runtime.lives.values()]


def out_of_turn(machines: Sequence[SimMachine]) -> Iterator[str]:
    """Yield what runs though its init container has not ended well in the same sandbox."""
    for machine in machines:
        found = containers(machine)
        done = {
            one.sandbox_id
            for one in found
            if one.name == "init" and one.state is State.EXITED and one.exit_code == 0
        }
        for one in found:
            if one.name == "main" and one.state is State.RUNNING and one.sandbox_id not in done:
                yield f"{machine.name}: {one.pod_name} runs before its init container has ended"


class Life:
    """What goes wrong, by a seed: kubelets die, runtimes hang, nodes run short, probes fail."""

    def __init__(self, cluster: CalmCluster, seed: int) -> None:
        self.cluster, self.rng = cluster, random.Random(f"pod parts {seed}")
        self.kubelets = [one for one in cluster.programs if one.recipe.name.startswith("kubelet")]
        for machine in cluster.machines:
            machine.room = PLENTY

    def pods(self) -> list[Pod]:
        return [one for one in self.cluster.ledger.all(Pod) if not is_finished(one)]

    def check(self) -> None:
        found = [*out_of_turn(self.cluster.machines), *doubles(self.cluster.machines)]
        assert found == []

    async def one_fault(self) -> None:
        machine = self.rng.choice(self.cluster.machines)
        span_s = self.rng.choice((1.0, 5.0, 20.0))
        match self.rng.choice(("death", "runtime", "short", "ails", "reboot")):
            case "death":
                await self._without_kubelet(span_s)
            case "runtime":
                machine.trouble(self.rng)
                await self.checked(span_s)
            case "short":
                for pod in self.pods():
                    machine.memory_use[pod.metadata.uid] = self.rng.randint(100, 900) << 20
                machine.room = SHORT
                await self.checked(span_s)
                machine.room = PLENTY
            case "ails":
                names = [one.metadata.name for one in self.pods()]
                machine.asker.ailing = {(name, "main"): "not well" for name in names}
                await self.checked(span_s)
                machine.asker.ailing = {}
            case _:
                machine.reboot()
        machine.mend()

    async def _without_kubelet(self, span_s: float) -> None:
        program = self.rng.choice(self.kubelets)
        await program.die()
        await self.checked(span_s)
        program.begin()

    async def checked(self, span_s: float) -> None:
        for _ in range(int(span_s / 0.5)):
            await asyncio.sleep(0.5)
            self.check()

    def is_whole(self) -> bool:
        """Whether so many pods as wanted are ready, and on machines nothing else runs."""
        pods = self.pods()
        wanted = sorted((one.metadata.uid, name) for one in pods for name in ("main", "side"))
        running = sorted(
            (uid, name)
            for machine in self.cluster.machines
            for uid, name in machine.running()
            if name in ("main", "side")
        )
        return len(pods) == COUNT and all(is_ready(one) for one in pods) and running == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_parts_of_pods_start_in_order_whatever_dies_and_all_are_whole_in_the_end(
    seed: int,
) -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            life = Life(cluster, seed)
            await cluster.user.create(whole_pods())
            await cluster.until(life.is_whole)
            for _ in range(FAULT_COUNT):
                await life.one_fault()
                await life.checked(life.rng.choice((0.5, 3.0, 10.0)))
            for machine in cluster.machines:
                machine.room = PLENTY
            await cluster.until(life.is_whole)
            life.check()

    run_simulated(story())


def test_a_pod_whose_probe_fails_is_not_ready_and_no_other_is_touched() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            life = Life(cluster, 0)
            await cluster.user.create(whole_pods())
            await cluster.until(life.is_whole)
            ails = life.pods()[0].metadata
            for machine in cluster.machines:
                machine.asker.ailing = {
                    key: "not well" for key in machine.asker.asked if key[0] == ails.name
                }
            await cluster.until(lambda: not all(is_ready(one) for one in life.pods()))
            assert {one.metadata.name for one in life.pods() if not is_ready(one)} == {ails.name}

    run_simulated(story())
