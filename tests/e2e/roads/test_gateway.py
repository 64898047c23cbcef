"""A Dns and an Ingress answer through nginx in a container, whatever is stopped meanwhile."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.networking.ingress import Ingress
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, ready_pods, until
from tests.e2e.pods import SLEEP, pod, shell, until_phase
from tests.e2e.uses.test_serving import created, removed
from tests.unit.gateway.roadworld import a_dns, an_ingress

pytestmark = [pytest.mark.lab]

GATEWAY, HOST = "n2", "roads.example"


def fresh[O: Object](one: O) -> O:
    """Return what a person would send: without what is the server's to write."""
    meta = ObjectMeta(name=one.metadata.name, namespace=one.metadata.namespace)
    return replaced(one, metadata=meta)


async def ask(cluster: Cluster, path: str, host: str = HOST, node: str = "n1") -> str:
    """Return what a host of the cluster is answered: the code, and the pod's name."""
    address = cluster.lab.node(GATEWAY).address
    argv = ["curl", "-s", "-m", "5", "-w", " %{http_code}", "-H", f"Host: {host}"]
    ended = await cluster.run(node, [*argv, f"http://{address}{path}"], check=False)
    words = ended.stdout.split()
    return f"{words[-1]} {words[0]}" if len(words) > 1 else ended.stdout.strip()


async def is_named(cluster: Cluster, node: str, argv: Sequence[str]) -> bool:
    ended = await cluster.run(node, argv, check=False)
    return ended.code == 0 and ended.stdout.startswith("blue")


async def until_answered(cluster: Cluster, path: str, word: str, host: str = HOST) -> None:
    async def is_answered() -> bool:
        return (await ask(cluster, path, host)).startswith(f"200 {word}")

    await until(f"{host}{path} is answered by {word}", is_answered)


@pytest.fixture
async def roads(cluster: Cluster, client: Client) -> AsyncIterator[Cluster]:
    """Two services, a Dns of two paths to them, an Ingress, and a gateway on the second node."""
    for name in ("red", "blue"):
        await created(client, name, 2)
    ended = await cluster.run(GATEWAY, [*CUBEROOT, "enable", "gateway"], deadline_s=120)
    assert "gateway is enabled" in ended.stdout
    await client.create(fresh(a_dns("roads", HOST, "/red red", "/blue blue")))
    await client.create(fresh(an_ingress("shop", ("shop.example", ("/ red", "=/blue blue")))))
    yield cluster
    await client.delete(Dns, "roads", "default")
    await client.delete(Ingress, "shop", "default")
    for name in ("red", "blue"):
        await removed(client, name)


async def test_two_paths_lead_to_two_services_whatever_is_stopped_meanwhile(
    roads: Cluster, client: Client
) -> None:
    """W28: exact paths only, one nginx a host and node, dropped where a service was not there."""
    for path, word in (("/red", "red"), ("/red/x", "red"), ("/blue", "blue")):
        await until_answered(roads, path, word)
    await until_answered(roads, "/", "red", "shop.example")
    await until_answered(roads, "/blue", "blue", "shop.example")
    assert (await ask(roads, "/redder")).startswith("404")
    address = roads.lab.node(GATEWAY).address

    async def is_told() -> bool:
        dns, ingress = (
            await client.get(Dns, "roads", "default"),
            await client.get(Ingress, "shop", "default"),
        )
        addresses = {one.ip for one in ingress.status.load_balancer.ingress}
        return address in dns.status.gateways and address in addresses

    await until("the gateway's address is in both", is_told)

    # The host is a name: on every node, beside the node's own names, and in a pod.
    name = ["curl", "-sf", "-m", "5", f"http://{HOST}/blue"]
    for node in roads.names:
        await until(f"{HOST} leads to it on {node}", partial(is_named, roads, node, name))
    await client.create(pod("asker", [shell(SLEEP)], namespace="default"))
    asker = await until_phase(client, "asker", "Running", namespace="default")
    container = asker.status.container_statuses[0].container_id.removeprefix("docker://")
    inside = ["docker", "exec", container, "wget", "-q", "-O", "-", f"http://{HOST}/blue"]
    await until("a pod is led to it", partial(is_named, roads, asker.spec.node_name, inside))
    await client.delete(Pod, "asker", "default")

    gone = (await ready_pods(client, "app=red"))[0].metadata
    await client.delete(Pod, gone.name, "default", uid=gone.uid)

    async def is_replaced() -> bool:
        pods = {one.metadata.name for one in await ready_pods(client, "app=red")}
        return len(pods) == 2 and gone.name not in pods

    await until("another pod in its place", is_replaced)
    await until_answered(roads, "/red", "red")

    # Both are started again: the program by its supervisor, and nginx by the program.
    await roads.kill(GATEWAY, "gateway")
    await roads.run(GATEWAY, ["docker", "kill", "cube-gateway"])
    await until_answered(roads, "/red", "red")

    ended = await roads.run(GATEWAY, [*CUBEROOT, "disable", "gateway"], deadline_s=120)
    assert "gateway is disabled" in ended.stdout
    assert not (await roads.run(GATEWAY, ["docker", "ps", "-aqf", "name=cube-gateway"])).stdout
    assert not await ask(roads, "/red") or (await ask(roads, "/red")).startswith("000")

    async def is_untold() -> bool:
        return not (await client.get(Dns, "roads", "default")).status.gateways

    await until("no gateway in the status", is_untold)
