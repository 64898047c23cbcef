"""No packet is led to a pod that has been stopped, before the deadline of its end has passed."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import is_true
from cubernetes.api.coordination.road import ROUTES_READY, ROUTES_REMOVED
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.service import Service
from tests.simulation.calm import CalmCluster, calm_cluster
from tests.simulation.dataplane import shares_of
from tests.simulation.loop import run_simulated
from tests.simulation.machines import SimMachine
from tests.simulation.programs import Program
from tests.simulation.workloads import service, workload

DRAIN_S = 10.0
LOOK_S = 0.05
# A deletion is seen here up to a look after the kubelet may have heard of it.
LATE_S = 3 * LOOK_S


@dataclass(slots=True)
class Witness:
    """Looks again and again at where every kernel leads, and at which pods run."""

    cluster: CalmCluster
    cut: set[str] = field(default_factory=set)
    met_stopped: list[str] = field(default_factory=list)
    address_of: dict[str, str] = field(default_factory=dict)
    grace_of: dict[str, float] = field(default_factory=dict)
    deleted_at: dict[str, float] = field(default_factory=dict)
    stopped_after_s: dict[str, float] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        now = self.cluster.loop.time()
        machines = self.cluster.machines
        running = {uid for one in machines for uid, name in one.running() if name == "main"}
        for pod in self.cluster.ledger.all(Pod):
            uid = pod.metadata.uid
            if uid in running and pod.status.pod_ip:
                self.address_of[uid] = pod.status.pod_ip
            if pod.metadata.is_deleted:
                self.deleted_at.setdefault(uid, now)
                self.grace_of[uid] = float(pod.metadata.deletion_grace_period_seconds or 0)
            if is_true(pod.status.conditions, ROUTES_REMOVED):
                self.removed.add(uid)
        taken = {self.address_of[uid] for uid in running if uid in self.address_of}
        for uid, address in self.address_of.items():
            if uid in running or address in taken or uid not in self.deleted_at:
                continue
            spent_s = now - self.deleted_at[uid]
            self.stopped_after_s.setdefault(uid, spent_s)
            deadline_s = min(DRAIN_S, self.grace_of[uid] / 2)
            if spent_s < deadline_s - LATE_S:
                self.met_stopped += [
                    f"{one.name} leads to {address} of {uid}, stopped {spent_s:.2f} s after its end"
                    for one in machines
                    if one.name not in self.cut and self.leads(one, address)
                ]

    def leads(self, machine: SimMachine, address: str) -> bool:
        services = [one for one in self.cluster.ledger.all(Service) if one.spec.cluster_ip]
        return any(
            target[0] == address
            for one in services
            for target in shares_of(machine.kernel.rules, one.spec.cluster_ip, 80)
        )


@asynccontextmanager
async def a_served_set(replicas: int = 3, grace_s: int = 30) -> AsyncIterator[Witness]:
    async with calm_cluster() as cluster:
        await cluster.user.create(service("web", "default"))
        await cluster.user.create(workload("web", "default", replicas, grace_s))
        await cluster.until(lambda: available(cluster) == replicas)
        witness = Witness(cluster)
        looking = asyncio.ensure_future(witness.run())
        try:
            yield witness
        finally:
            looking.cancel()


def available(cluster: CalmCluster) -> int:
    (one,) = cluster.ledger.all(ReplicaSet)
    return one.status.available_replicas


def oldest(cluster: CalmCluster) -> Pod:
    living = [one for one in cluster.ledger.all(Pod) if is_ready(one)]
    return min(living, key=lambda one: int(one.metadata.annotations["cubernetes.io/number"]))


async def replaced(cluster: CalmCluster, replicas: int = 3) -> str:
    """Delete the oldest pod; return its uid once it is gone and another is led to."""
    pod = oldest(cluster)
    uid = pod.metadata.uid
    await cluster.user.delete(Pod, pod.metadata.name, "default")
    await cluster.until(
        lambda: (
            not any(one.metadata.uid == uid for one in cluster.ledger.all(Pod))
            and available(cluster) == replicas
        ),
        limit_s=120,
    )
    return uid


def program(cluster: CalmCluster, name: str) -> Program:
    (found,) = [one for one in cluster.programs if one.recipe.name == name]
    return found


@pytest.mark.parametrize("seed", range(2))
def test_w25_nobody_is_led_to_a_stopped_pod_however_slow_the_proxies_are(seed: int) -> None:
    rng = random.Random(seed)

    async def story() -> None:
        async with a_served_set() as witness:
            for _ in range(3):
                for machine in witness.cluster.machines:
                    machine.kernel.command_s = rng.choice((0.01, 0.1, 0.4, 1.0))
                uid = await replaced(witness.cluster)
                assert uid in witness.removed
            # The last of them may have stopped since it looked.
            witness.look()
            assert witness.met_stopped == []
            assert witness.deleted_at.keys() == witness.stopped_after_s.keys()

    run_simulated(story())


@pytest.mark.parametrize(("grace_s", "deadline_s"), [(30, DRAIN_S), (2, 1.0)])
def test_a_proxy_that_is_dead_holds_a_pod_until_its_deadline_and_no_longer(
    grace_s: int, deadline_s: float
) -> None:
    async def story() -> None:
        async with a_served_set(grace_s=grace_s) as witness:
            await program(witness.cluster, "proxy-n2").die()
            pod = oldest(witness.cluster)
            await witness.cluster.user.delete(Pod, pod.metadata.name, "default")
            uid = pod.metadata.uid
            await witness.cluster.until(lambda: uid in witness.stopped_after_s, limit_s=60)

            assert uid not in witness.removed
            assert deadline_s - LATE_S <= witness.stopped_after_s[uid] <= deadline_s + 1.0
            # Whoever waits for the new pod waits no longer than its own deadline either.
            await witness.cluster.until(lambda: available(witness.cluster) == 3, limit_s=30)

    run_simulated(story())


def test_a_node_that_is_not_ready_is_not_waited_for() -> None:
    async def story() -> None:
        async with a_served_set() as witness:
            cluster = witness.cluster
            witness.cut.add("n3")
            cluster.cut("n3")
            await cluster.until(lambda: cluster.ready_nodes() == ["n1", "n2"])
            pod = next(
                one
                for one in cluster.ledger.all(Pod)
                if is_ready(one) and one.spec.node_name == "n1"
            )
            await cluster.user.delete(Pod, pod.metadata.name, "default")
            uid = pod.metadata.uid
            await cluster.until(lambda: uid in witness.stopped_after_s, limit_s=60)

            assert uid in witness.removed
            assert witness.stopped_after_s[uid] < DRAIN_S / 2
            assert witness.met_stopped == []

    run_simulated(story())


@pytest.mark.parametrize("seed", range(2))
def test_programs_that_die_in_the_middle_lead_nobody_to_a_stopped_pod(seed: int) -> None:
    rng = random.Random(seed)

    async def story() -> None:
        async with a_served_set() as witness:
            cluster = witness.cluster

            async def trouble() -> None:
                while True:
                    await asyncio.sleep(rng.uniform(0.2, 3.0))
                    victim = rng.choice(cluster.programs)
                    await victim.die()
                    await asyncio.sleep(rng.choice((0.0, 0.5, 4.0)))
                    victim.begin()

            troubling = asyncio.ensure_future(trouble())
            for _ in range(3):
                await replaced(cluster)
            troubling.cancel()
            await asyncio.wait([troubling])
            for one in cluster.programs:
                if not one.is_alive:
                    one.begin()
            assert witness.met_stopped == []

    run_simulated(story())


def test_what_is_in_flight_is_answered_before_the_pod_is_stopped() -> None:
    async def story() -> None:
        async with a_served_set() as witness:
            cluster = witness.cluster
            pod = oldest(cluster)
            machine = next(one for one in cluster.machines if one.name == pod.spec.node_name)
            connections = machine.connections
            connections.open_everywhere = 1
            uid = pod.metadata.uid
            await cluster.user.delete(Pod, pod.metadata.name, "default")
            await cluster.until(lambda: uid in witness.removed)
            await asyncio.sleep(4)
            assert uid not in witness.stopped_after_s

            connections.open_everywhere = 0
            assert await cluster.until(lambda: uid in witness.stopped_after_s) < 2

    run_simulated(story())


def test_a_new_pod_counts_as_available_once_every_kernel_leads_to_it() -> None:
    async def story() -> None:
        async with a_served_set(1) as witness:
            cluster = witness.cluster
            cluster.machines[1].kernel.command_s = 2.0
            (wanted,) = cluster.ledger.all(ReplicaSet)
            await cluster.user.patch(ReplicaSet, "web", "default", {"spec": {"replicas": 2}})
            await cluster.until(lambda: available(cluster) == 2)

            number = "cubernetes.io/number"
            new = max(
                cluster.ledger.all(Pod), key=lambda one: int(one.metadata.annotations[number])
            )
            address = new.status.pod_ip
            assert is_true(new.status.conditions, ROUTES_READY)
            assert all(witness.leads(one, address) for one in cluster.machines)
            assert wanted.status.available_replicas == 1

    run_simulated(story())


def test_a_services_only_pod_serves_on_until_its_successor_is_led_to() -> None:
    async def story() -> None:
        async with a_served_set(1) as witness:
            uid = await replaced(witness.cluster, 1)
            assert uid in witness.removed
            assert witness.met_stopped == []

    run_simulated(story())
