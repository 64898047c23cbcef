"""Doors from outside: node ports, the health check's port, and addresses of the pool."""

import json
from collections.abc import Mapping
from functools import partial

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.service import Service
from cubernetes.api.errors import NotFound
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, ready_pods, until
from tests.e2e.uses.test_serving import created

pytestmark = [pytest.mark.lab]

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
    pool = address_of["n1"].rpartition(".")[0] + ".240/29"
    await cluster.run("n1", [*CUBEROOT, "init", "--load-balancer-pool", pool], deadline_s=120)
    # The controllers read their settings when they start.
    await cluster.kill("n1", "controllers")
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
