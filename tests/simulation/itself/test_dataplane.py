"""What callers of services meet, on every node, while proxies end and nodes come and go."""

import asyncio

from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import ObjectMeta
from kubelet.runtime.fake import Behaviour
from tests.simulation.calm import CalmCluster, calm_cluster
from tests.simulation.dataplane import Shares, shares_of
from tests.simulation.loop import run_simulated
from tests.simulation.workloads import service, workload

ABSENT = "cubernetes/absent:1"


async def until_led_rightly(cluster: CalmCluster) -> None:
    await cluster.until(lambda: not list(cluster.dataplane.disagreements()), limit_s=30)


def led(cluster: CalmCluster, name: str) -> list[Shares]:
    """Return where a service leads, for each node."""
    (one,) = [one for one in cluster.ledger.all(Service) if one.metadata.name == name]
    return [
        shares_of(machine.kernel.rules, one.spec.cluster_ip, 80) for machine in cluster.machines
    ]


async def a_served_set(cluster: CalmCluster, replicas: int = 3) -> None:
    await cluster.user.create(service("web", "default"))
    await cluster.user.create(workload("web", "default", replicas, 1))
    await cluster.until(lambda: sum(map(is_ready, cluster.ledger.all(Pod))) == replicas)
    await until_led_rightly(cluster)


def test_every_node_leads_to_each_ready_pod_equally_and_refuses_where_there_is_none() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await a_served_set(cluster)
            pods = {(one.status.pod_ip, 8080) for one in cluster.ledger.all(Pod)}
            assert [shares.keys() for shares in led(cluster, "web")] == [pods] * 3

            await cluster.user.create(service("nobody", "default"))
            await asyncio.sleep(5)
            assert led(cluster, "nobody") == [{}] * 3

    run_simulated(story())


def test_a_pod_that_was_never_ready_is_led_to_by_nobody() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            for machine in cluster.machines:
                machine.runtime.behaviours[ABSENT] = Behaviour(pull_error="not found")
            await cluster.user.create(service("web", "default"))
            spec = PodSpec(containers=(Container(name="main", image=ABSENT),), node_name="n1")
            meta = ObjectMeta(name="web", namespace="default", labels={"app": "web"})
            await cluster.user.create(Pod(metadata=meta, spec=spec))
            await cluster.until(lambda: bool(cluster.pod("web").status.pod_ip))

            # Every program has heard of it by then, and its image is still not to be had.
            await asyncio.sleep(30)
            assert any(one.service_name == "web" for one in cluster.ledger.all(EndpointSlice))

            assert led(cluster, "web") == [{}] * 3
            assert cluster.dataplane.broken() == []

    run_simulated(story())


def test_rules_stay_while_proxies_begin_anew_and_nobody_answers() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await a_served_set(cluster)
            before = led(cluster, "web")
            for name in ("n1", "n2", "n3"):
                cluster.cut(name)
            for program in cluster.programs:
                if program.recipe.name.startswith("proxy-"):
                    await program.die()
                    program.begin()

            for _ in range(60):
                await asyncio.sleep(0.1)
                assert led(cluster, "web") == before
            for name in ("n1", "n2", "n3"):
                cluster.heal(name)
            await asyncio.sleep(10)
            assert led(cluster, "web") == before

    run_simulated(story())


def test_what_somebody_empties_is_written_again_within_seconds() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await a_served_set(cluster)
            before = led(cluster, "web")

            cluster.machines[1].kernel.lose()
            assert led(cluster, "web") != before

            await cluster.until(lambda: led(cluster, "web") == before, limit_s=10)

    run_simulated(story())


def test_a_removed_nodes_pods_are_replaced_and_its_range_is_free_for_who_comes_next() -> None:
    async def story() -> None:
        async with calm_cluster() as cluster:
            await a_served_set(cluster)
            ranges = {one.metadata.name: one.spec.pod_cidr for one in cluster.ledger.all(Node)}
            await cluster.user.delete(Node, "n2")
            await cluster.until(
                lambda: (
                    [one.spec.node_name for one in cluster.ledger.all(Pod) if is_ready(one)].count(
                        "n2"
                    )
                    == 0
                    and sum(map(is_ready, cluster.ledger.all(Pod))) == 3
                ),
            )
            # A machine that is no node hears nothing more: its own rules are nobody's concern.
            await asyncio.sleep(20)
            assert {one.metadata.name for one in cluster.ledger.all(Node)} == {"n1", "n3"}

            await cluster.user.create(Node(metadata=ObjectMeta(name="n2")))
            await cluster.until(lambda: cluster.ready_nodes() == ["n1", "n2", "n3"])

            assert ranges == {
                one.metadata.name: one.spec.pod_cidr for one in cluster.ledger.all(Node)
            }
            await cluster.until(lambda: not cluster.machines[1].running(), limit_s=120)
            await until_led_rightly(cluster)

    run_simulated(story())


def homes(cluster: CalmCluster) -> list[str]:
    """Return the node of each ready pod."""
    return [one.spec.node_name for one in cluster.ledger.all(Pod) if is_ready(one)]
