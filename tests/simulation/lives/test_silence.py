"""A node that nobody hears: what leaves at once, what is given up soon, and what is kept."""

import asyncio

from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.discovery.endpointslice import EndpointSlice
from tests.simulation.calm import CalmCluster, calm_cluster
from tests.simulation.judges.agreement import doubles
from tests.simulation.loop import run_simulated
from tests.simulation.workloads import service, workload


def served(cluster: CalmCluster, name: str) -> list[str]:
    """Return the addresses that callers of a service are led to."""
    return [
        address
        for one in cluster.ledger.all(EndpointSlice)
        if one.service_name == name
        for endpoint in one.endpoints
        if endpoint.conditions.ready
        for address in endpoint.addresses
    ]


def of_set(cluster: CalmCluster, node: str) -> list[Pod]:
    pods = cluster.ledger.all(Pod)
    return [one for one in pods if one.metadata.controller and one.spec.node_name == node]


def test_a_bare_pod_outlives_four_minutes_of_silence_as_itself() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            before = await cluster.make_pod("alone", "n1")
            await cluster.user.create(service("alone", "default"))
            await cluster.until(lambda: bool(served(cluster, "alone")))
            containers = cluster.machines[0].running()

            cluster.cut("n1")
            assert await cluster.until(lambda: not served(cluster, "alone")) < 15
            await asyncio.sleep(240)
            assert not cluster.pod("alone").metadata.is_deleted
            cluster.heal("n1")
            await cluster.until(lambda: bool(served(cluster, "alone")))

            after = cluster.pod("alone")
            assert after.metadata.uid == before.metadata.uid
            assert after.status.container_statuses == before.status.container_statuses
            assert cluster.machines[0].running() == containers

    run_simulated(story())


def test_a_pod_that_a_controller_replaces_is_replaced_within_a_minute() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await cluster.user.create(service("web", "default"))
            await cluster.user.create(workload("web", "default", 3, 1))
            await cluster.until(lambda: len(served(cluster, "web")) == 3)
            assert len(of_set(cluster, "n1")) == 1

            cluster.cut("n1")
            assert await cluster.until(lambda: len(served(cluster, "web")) == 2) < 15
            assert not of_set(cluster, "n1")[0].metadata.is_deleted
            assert 25 < await cluster.until(lambda: len(served(cluster, "web")) == 3) < 45
            cluster.heal("n1")
            await cluster.until(lambda: len(of_set(cluster, "n1")) == 0)

            assert list(doubles(cluster.machines)) == []
            assert all(is_ready(one) for one in cluster.ledger.all(Pod))

    run_simulated(story())


def test_a_bare_pod_is_given_up_after_five_minutes_and_not_before() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await cluster.make_pod("alone", "n1")

            cluster.cut("n1")
            going_s = await cluster.until(lambda: cluster.pod("alone").metadata.is_deleted)

            assert 300 < going_s < 330
            cluster.heal("n1")
            await cluster.until(lambda: not cluster.pods_named("alone"))
            assert cluster.machines[0].running() == []

    run_simulated(story())
