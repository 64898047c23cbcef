"""Doors from outside: node ports, the health check's port, and addresses of the pool."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import NotFound
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, ready_pods, until
from tests.e2e.pods import WEB, pod, until_phase
from tests.e2e.uses.test_serving import all_heard, created, web

pytestmark = [pytest.mark.lab]

# A Service of the pool's that any node may announce; n1 must not, as it keeps the API server.
POOLED = {"spec": {"type": "LoadBalancer"}}
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
# Where no Lease told of a death, an address would move when its Node is silent for ten seconds.
SILENT_NODE_S = 10.0
ASK_S, ASKS_PAUSE_S = 0.25, 0.02
PORT = {"containerPort": 8080, "name": "http"}
LOCAL = {"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}


async def patched(client: Client, name: str, change: Mapping[str, object]) -> Service:
    return await client.patch(Service, name, "default", change)


async def remove(client: Client, name: str) -> None:
    for kind in (Service, ReplicaSet):
        try:
            await client.delete(kind, name, "default")
        except NotFound:
            continue


async def test_every_door_leads_to_the_pods_and_closes_with_its_service(cluster: Cluster) -> None:
    address_of = {name: cluster.lab.node(name).address for name in cluster.names}
    await _with_pool(cluster)
    async with cluster.client() as client:
        try:
            await created(client, "doors", 2)
            service = await patched(client, "doors", {"spec": {"type": "NodePort"}})
            await _node_ports(cluster, address_of, service)
            service = await patched(client, "doors", LOCAL)
            await _health(cluster, client, address_of, service)
            address = await _announced(client)
            await until("the pool's address answers",
                        lambda: cluster.curl("n1", f"http://{address}/"))  # fmt: skip
        finally:
            await remove(client, "doors")

    async def is_let_go() -> bool:
        shown = [await cluster.run(name, ["ip", "address"]) for name in cluster.names]
        return not any(f"{address}/32" in one.stdout for one in shown)

    await until("the address is taken back", is_let_go)


async def _node_ports(cluster: Cluster, address_of: dict[str, str], service: Service) -> None:
    port = service.spec.ports[0].node_port
    for source in cluster.names:
        for name, address in address_of.items():
            asked = partial(cluster.curl, source, f"http://{address}:{port}/")
            await until(f"{name} answers {source}", asked)


async def _health(
    cluster: Cluster, client: Client, address_of: dict[str, str], service: Service
) -> None:
    port = service.spec.health_check_node_port
    homes = [one.spec.node_name for one in await ready_pods(client, "app=doors")]
    for name, address in address_of.items():

        async def says_so(name: str = name, address: str = address) -> bool:
            argv = ["curl", "-s", "-m", "2", "-w", " %{http_code}", f"http://{address}:{port}/"]
            body, _, code = (await cluster.run("n1", argv, check=False)).stdout.rpartition(" ")
            if not body:
                return False
            count = json.loads(body)["localEndpoints"]
            return (count, code) == (homes.count(name), "200" if name in homes else "503")

        await until(f"{name} tells its health", says_so)


async def _announced(client: Client) -> str:
    async def given() -> str:
        ingress = (await client.get(Service, "doors", "default")).status.load_balancer.ingress
        return ingress[0].ip if ingress else ""

    await until("an address is given", given)
    return await given()


async def _with_pool(cluster: Cluster) -> None:
    pool = cluster.lab.node("n1").address.rpartition(".")[0] + ".240/29"
    await cluster.run("n1", [*CUBEROOT, "init", "--load-balancer-pool", pool], deadline_s=120)
    # The controllers read their settings when they start.
    await cluster.kill("n1", "controllers")


class Outsider:
    """Asks an address again and again from beside the nodes; when it was answered."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered_s: list[float] = []

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._ask_on())
        try:
            yield
        finally:
            task.cancel()

    async def _ask_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(ASK_S):
                    _, writer = await asyncio.open_connection(self.address, 80)
                    writer.close()
                self.answered_s.append(loop.time())
            await asyncio.sleep(ASKS_PAUSE_S)


async def test_an_address_moves_when_the_node_that_announces_it_loses_power(
    cluster: Cluster,
) -> None:
    await _with_pool(cluster)
    async with cluster.client() as client:
        await client.patch(Node, "n1", "", {"metadata": {"labels": {EXCLUDED: "true"}}})
        # Its pod is not where the power goes: what is asked is how the address moves.
        container = {"name": "web", "image": WEB, "ports": [PORT]}
        await client.create(pod("doors", [container], namespace="default", nodeName="n1"))
        await client.create(web("doors", 1)[1])
        holder = ""
        try:
            await patched(client, "doors", POOLED)
            await until_phase(client, "doors", "Running", namespace="default")
            outsider = Outsider(await _announced(client))
            async with outsider.asking():

                async def is_answered() -> bool:
                    return len(outsider.answered_s) > 0

                await until("the address answers from outside", is_answered)
                holder = await _holder_of(cluster, outsider)
                spent_s = await _moved_s(cluster, outsider, holder)
            print(f"the address answered again {spent_s:.2f} s after the cut")  # noqa: T201  a figure
            assert spent_s < SILENT_NODE_S
        finally:
            since = datetime.now(UTC)
            if holder:
                await cluster.lab.power(holder, "on")
            await client.patch(Node, "n1", "", {"metadata": {"labels": {EXCLUDED: None}}})
            await remove(client, "doors")
            await client.delete(Pod, "doors", "default")
            await until("all nodes ready", lambda: all_heard(cluster, client, since), 90)


async def _holder_of(cluster: Cluster, outsider: Outsider) -> str:
    """Return which node announces the address: one, and not the one that must not."""

    async def found() -> list[str]:
        shown = {name: await cluster.run(name, ["ip", "address"]) for name in cluster.names}
        return [name for name, one in shown.items() if f"{outsider.address}/32" in one.stdout]

    async def is_settled() -> bool:
        return len(await found()) == 1 and "n1" not in await found()

    await until("one node has the address", is_settled)
    return (await found())[0]


async def _moved_s(cluster: Cluster, outsider: Outsider, holder: str) -> float:
    """Cut a node's power; return the time from the last answer before to the first one after."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await cluster.lab.power(holder, "cut")
    cut_s = loop.time()

    async def answers_again() -> bool:
        return bool(outsider.answered_s) and outsider.answered_s[-1] > cut_s + ASK_S

    await until("the address answers again", answers_again)
    times_s = [one for one in outsider.answered_s if one >= begun_s - 1]
    return max(after - before for before, after in pairwise(times_s))
