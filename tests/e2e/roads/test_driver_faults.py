"""Faults of machines over each pod network that is not the default: cuts, reboots, a partition.

Five minutes for each network, so that only `CUBE_DRIVER_FAULTS=1` has them run; what a machine's
end means is the same for all, and test_nodes.py runs it over the default in every suite. The router
of Weave is the stand-in.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.client.rest import Client
from lab.lab import Lab
from tests.contract.network.cni_worlds import reason_without_plugins
from tests.e2e.cluster import (
    CUBEROOT,
    PATIENCE_S,
    Cluster,
    ready_addresses,
    ready_nodes,
    ready_pods,
    until,
)
from tests.e2e.conftest import finished
from tests.e2e.machines.test_nodes import OURS, uids, until_matched, until_state
from tests.e2e.pods import WEB, found, pod, status_of
from tests.e2e.roads.test_cni import (
    INIT,
    OVER_WEAVE,
    give_plugins,
    give_router,
    whats_there,
)
from tests.e2e.uses.test_serving import all_ready, created

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "CUBE_DRIVER_FAULTS" not in os.environ, reason="ten minutes: CUBE_DRIVER_FAULTS=1 runs it"
    ),
]

COUNT, PORT = 6, 18097
BACK_S = 300.0  # what a machine takes that has all three nodes and much else to do
LEASES = "var/lib/cni/networks/pods"
PID = "docker inspect -f '{{.State.Pid}}' $(" + " ".join(OURS) + " | head -1)"


class Networked(Cluster):
    """A cluster over a network by its name, and what each node had before it was one."""

    def __init__(self, lab: Lab, network: str) -> None:
        super().__init__(lab)
        self.network = network
        self.before: dict[str, list[str]] = {}

    async def make(self) -> None:
        for node in self.names:
            (give_plugins if self.network == "cni" else give_router)(self, node)
            self.before[node] = await whats_there(self, node)
        said = await self.run("n1", INIT if self.network == "cni" else OVER_WEAVE)
        for name in self.names[1:]:
            await self.join(name, said.stdout if name == "n2" else await self.new_token())
        async with self.client() as client:
            await created(client, "web", COUNT)
            port = {"containerPort": 8080, "hostPort": PORT}
            container = {"name": "main", "image": WEB, "ports": [port]}
            for node in self.names:
                name = f"anchor-{node}"
                await client.create(pod(name, [container], namespace="default", nodeName=node))
            await until_whole(self, client)


@pytest.fixture(scope="module", params=["cni", "weave"])
def cluster(
    request: pytest.FixtureRequest, boot_lab: Callable[[str, int], AbstractContextManager[Lab]]
) -> Iterator[Networked]:
    if request.param == "cni" and (reason := reason_without_plugins()):
        pytest.skip(f"no CNI plugins: {reason}")
    with boot_lab("cni", 3) as lab:
        made = Networked(lab, request.param)
        finished(made.make())
        yield made


async def until_whole(cluster: Networked, client: Client) -> float:
    """Wait until all is as it is to be, on every node and between all pods; return how long."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await until("all nodes ready", lambda: all_ready(cluster, client), BACK_S)

    async def all_serve() -> bool:
        anchors = [await found(client, f"anchor-{node}", "default") for node in cluster.names]
        are_up = all(one is not None and status_of(one).ready for one in anchors)
        return are_up and len(await ready_addresses(client, "web")) == COUNT

    await until("everything serves", all_serve, BACK_S)
    address = (await client.get(Service, "web", "default")).spec.cluster_ip
    for node in cluster.names:

        async def all_answer(node: str = node) -> bool:
            # Those of now: of a node that was long in coming some have been replaced.
            names = {one.metadata.name for one in await ready_pods(client, "app=web")}
            return set(await cluster.answers(node, f"http://{address}/")) == names

        await until(f"all pods answer to {node}", all_answer, BACK_S)
    spent_s = loop.time() - begun
    for node in cluster.names:
        await until_matched(cluster, client, node)
        await until_pods_reach_pods(cluster, client, node)
        await until_ported(cluster, node)
        if cluster.network == "cni":
            await until_leases_are_of_pods(cluster, client, node)
    return spent_s


async def until_pods_reach_pods(cluster: Networked, client: Client, node: str) -> None:
    """A pod of a node, which has one always, reaches the address of each pod of the service."""
    wanted = {one.status.pod_ip: one.metadata.name for one in await ready_pods(client, "app=web")}
    for address, name in wanted.items():
        curl = f"curl -s -m 5 http://{address}:8080/"

        async def answers(curl: str = curl, name: str = name) -> bool:
            ended = await cluster.run(
                node, ["sh", "-c", f"nsenter -t $({PID}) -n {curl}"], check=False
            )
            return name in ended.stdout

        await until(f"{name} answers a pod of {node}", answers)


async def until_ported(cluster: Networked, node: str) -> None:
    """A port of each node leads to its pod."""
    for other in cluster.names:
        url = f"http://{cluster.lab.node(other).address}:{PORT}/"

        async def answers(url: str = url, name: str = f"anchor-{other}") -> bool:
            return (await cluster.curl(node, url)).startswith(name)

        await until(f"the port of {other} answers {node}", answers)


async def until_leases_are_of_pods(cluster: Networked, client: Client, node: str) -> None:
    """host-local has given out on a node what its pods have, and nothing else."""
    seen: dict[str, set[str]] = {}

    async def are_theirs() -> bool:
        listed = (await client.list(Pod, fields=f"spec.nodeName={node}")).items
        seen["pods"] = {one.status.pod_ip for one in listed if not one.spec.host_network}
        folder = cluster.lab.node(node).root / LEASES
        seen["leases"] = {one.name for one in folder.glob("10.*")}
        return seen["pods"] == seen["leases"]

    try:
        await until(f"leases of {node} are those of its pods", are_theirs)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from error


async def until_out(client: Client, node: str) -> float:
    """Wait until a service leads to no pod of a node."""

    async def are_out() -> bool:
        listed = await client.list(Pod, "default", labels="app=web")
        theirs = {one.status.pod_ip for one in listed.items if one.spec.node_name == node}
        is_silent = node not in await ready_nodes(client)
        return is_silent and not theirs & await ready_addresses(client, "web")

    return await until(f"pods of {node} out of the service", are_out)


async def test_a_node_without_power_is_replaced_and_comes_back(cluster: Networked) -> None:
    async with cluster.client() as client:
        await cluster.lab.power("n3", "cut")
        out_s = await until_out(client, "n3")

        async def are_replaced() -> bool:
            return len(await ready_addresses(client, "web")) == COUNT

        replaced_s = await until("its pods are made elsewhere", are_replaced, 300)
        await cluster.lab.power("n3", "on")
        back_s = await until_whole(cluster, client)
    print(f"{cluster.network}: out {out_s:.1f}, {replaced_s:.1f}, whole {back_s:.1f} s")  # noqa: T201


async def test_a_partition_ends_with_every_pod_reaching_every_pod(cluster: Networked) -> None:
    async with cluster.client() as client:
        await cluster.lab.isolate("n3")
        try:
            out_s = await until_out(client, "n3")
        finally:
            await cluster.lab.heal()
        await until_state(client, "n3", is_ready=True)
        back_s = await until_whole(cluster, client)
    print(f"{cluster.network}: noticed {out_s:.1f}, whole {back_s:.1f} s")  # noqa: T201  figures


async def test_a_node_that_reboots_wires_its_pods_anew_with_their_addresses(
    cluster: Networked,
) -> None:
    async with cluster.client() as client:
        before = await client.get(Pod, "anchor-n2", "default")
        await cluster.lab.power("n2", "reboot")

        async def is_restarted() -> bool:
            one = status_of(await client.get(Pod, "anchor-n2", "default"))
            return one.ready and one.restart_count > status_of(before).restart_count

        spent_s = await until("the pod of n2 runs again", is_restarted, BACK_S)
        spent_s += await until_whole(cluster, client)
        after = await client.get(Pod, "anchor-n2", "default")
    assert after.metadata.uid == before.metadata.uid
    assert after.status.pod_ip == before.status.pod_ip
    print(f"{cluster.network}: rebooted, whole {spent_s:.1f} s")  # noqa: T201  a figure


async def test_a_power_cut_of_all_nodes_loses_nothing(cluster: Networked) -> None:
    async with cluster.client() as client:
        before = await uids(client)
    await asyncio.gather(*(cluster.lab.power(name, "cut") for name in cluster.names))
    await asyncio.gather(*(cluster.lab.power(name, "on") for name in cluster.names))
    async with cluster.client() as again:
        spent_s = await until_whole(cluster, again)
        assert await uids(again) == before
    print(f"{cluster.network}: power cut of all, whole {spent_s:.1f} s")  # noqa: T201  a figure


async def test_reset_leaves_nothing(cluster: Networked) -> None:
    async with cluster.client() as client:
        await client.delete(ReplicaSet, "web", "default")
        await until("no pod is left", lambda: _no_pod(client), PATIENCE_S)
    for node in reversed(cluster.names):
        await cluster.run(node, [*CUBEROOT, "reset", "--yes"])
    assert {node: await whats_there(cluster, node) for node in cluster.names} == cluster.before


async def _no_pod(client: Client) -> bool:
    return not (await client.list(Pod, "default", labels="app=web")).items
