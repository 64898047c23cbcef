"""Pods are replaced one after another under load, and no request is lost: on every road.

And the roads of a gateway, a Dns and an Ingress, which answer whatever is stopped meanwhile: last,
for it is taken away in the end.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.networking.ingress import Ingress
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from lab.host.node import Ended
from tests.e2e.cluster import CUBEROOT, Cluster, ready_nodes, ready_pods, until
from tests.e2e.conftest import finished
from tests.e2e.pods import SLEEP, pod, shell, until_phase
from tests.e2e.uses.test_serving import created, removed
from tests.unit.gateway.roadworld import a_dns, an_ingress

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.usefixtures("gateway")]

LOADER = Path(__file__).parents[1].joinpath("loader.py")
RATE, CALLERS = 250, 8  # of each road: six of them are 1,500 requests a second
ROLLS = 20
NAME = "bye"
# The gateway's node, and the host that the loader asks for.
GATEWAY, HOST = "n2", "load.example"
SHOP = "roads.example"
ASK = ["curl", "-sf", "-m", "30"]


def server(grace_s: int) -> tuple[ReplicaSet, Service]:
    """Three pods behind a service that nodes have a port for."""
    labels = {"app": NAME}
    spec = {
        "terminationGracePeriodSeconds": grace_s,
        "containers": [{"name": "web", "image": "cubernetes/web:1"}],
    }
    replicaset = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    ports = [{"port": 80, "targetPort": 8080}]
    service = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"type": "NodePort", "selector": labels, "ports": ports},
    }
    return codec.from_tree(ReplicaSet, replicaset).model, codec.from_tree(Service, service).model


@dataclass(slots=True)
class Load:
    """What became of the requests of each road; complete once the load has ended."""

    answered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, dict[str, int]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def gateway(cluster: Cluster) -> Iterator[None]:
    ended = finished(cluster.run(GATEWAY, [*CUBEROOT, "enable", "gateway"], deadline_s=120))
    assert "gateway is enabled" in ended.stdout
    yield
    # Where the last test did not come to it.
    finished(cluster.run(GATEWAY, [*CUBEROOT, "disable", "gateway"], check=False, deadline_s=120))


async def is_available(client: Client) -> bool:
    found = await client.get(ReplicaSet, NAME, "default")
    return (
        found.status.available_replicas == 3 and len(await ready_pods(client, f"app={NAME}")) == 3
    )


@asynccontextmanager
async def served(cluster: Cluster, client: Client, grace_s: int = 30) -> AsyncIterator[Service]:
    replicaset, service = server(grace_s)
    await client.create(replicaset)
    made = await client.create(service)
    # One for the load, and one to look by, which is counted for itself.
    paths = [{"path": path, "serviceName": NAME, "servicePort": 80} for path in ("/", "/look")]
    metadata = {"name": NAME, "namespace": "default"}
    dns = {"metadata": metadata, "spec": {"host": HOST, "paths": paths}}
    await client.create(codec.from_tree(Dns, dns).model)
    await until("three pods that are led to", lambda: is_available(client), 90)
    address = cluster.lab.node(GATEWAY).address
    # So many in a row, by connections of their own, that no worker of before takes one any more.
    ask = [*ASK, "--fail-early", "-o", "/dev/null"]
    for header in (f"Host: {HOST}", "Connection: close"):
        ask += ["-H", header]
    ask.append(f"http://{address}/look?[1-20]")

    async def is_led_to() -> bool:
        return (await cluster.run("n1", ask, check=False)).code == 0

    await until("the gateway leads to them", is_led_to)
    try:
        yield made
    finally:
        for kind in (Dns, Service, ReplicaSet):
            await client.delete(kind, NAME, "default")

        async def none_left() -> bool:
            return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

        await until("the pods gone", none_left, 90)


@asynccontextmanager
async def loaded(cluster: Cluster, service: Service, *, kept: bool = True) -> AsyncIterator[Load]:
    """Ask from n1 for the length of the block: by the cluster IP, a port of n2, the gateway."""
    inside, outside = service.spec.cluster_ip, cluster.lab.node("n2").address
    node_port = service.spec.ports[0].node_port
    roads = {"cluster IP": (inside, 80, "new"), "node port": (outside, node_port, "new")}
    roads |= {"gateway": (cluster.lab.node(GATEWAY).address, 80, "new")}
    if kept:
        roads |= {"cluster IP, kept": (inside, 80, "kept")}
        roads |= {"node port, kept": (outside, node_port, "kept")}
        roads |= {"gateway, kept": (cluster.lab.node(GATEWAY).address, 80, "kept")}
    load = Load()
    running: dict[str, asyncio.Future[Ended]] = {}
    for place, (road, (host, port, mode)) in enumerate(roads.items()):
        words = (sys.executable, str(LOADER), host, str(port), str(RATE), str(CALLERS), mode)
        line = f"echo $$ > /run/load{place}.pid; exec {' '.join(words)}"
        work = cluster.run("n1", ["sh", "-c", line], deadline_s=600)
        running[road] = asyncio.ensure_future(work)
    await asyncio.sleep(1)
    try:
        yield load
    finally:
        for place in range(len(roads)):
            await cluster.run("n1", ["sh", "-c", f"kill $(cat /run/load{place}.pid)"], check=False)
        for road, ended in running.items():
            said = json.loads((await ended).stdout)
            load.answered[road], load.failed[road] = said["answered"], said["failed"]


async def replace_one(client: Client) -> None:
    """Delete the oldest pod; wait until it is gone and another is led to."""
    pods = await ready_pods(client, f"app={NAME}")
    oldest = min(pods, key=lambda one: int(one.metadata.annotations["cubernetes.io/number"]))

    async def is_replaced() -> bool:
        try:
            listed = await client.list(Pod, "default", labels=f"app={NAME}")
            is_gone = all(one.metadata.uid != oldest.metadata.uid for one in listed.items)
            return is_gone and await is_available(client)
        except (ApiError, TransportError):
            return False  # the API server has just been killed

    await client.delete(Pod, oldest.metadata.name, "default", uid=oldest.metadata.uid)
    await until(f"{oldest.metadata.name} replaced", is_replaced, 120)


def none_failed(load: Load) -> None:
    assert all(count > 0 for count in load.answered.values())
    assert load.failed == {road: {} for road in load.answered}


async def counted(cluster: Cluster) -> int:
    """Return how many answers to requests of the load the gateway has counted."""
    said = (
        await cluster.run(GATEWAY, [*ASK, "http://127.0.0.1:10254/metrics"], check=False)
    ).stdout
    family = f'cube_gateway_requests_total{{code="2xx",host="{HOST}",path="/",'
    return sum(int(float(line.split()[-1])) for line in said.splitlines() if family in line)


async def test_w25_twenty_replacements_under_load_lose_no_request(
    cluster: Cluster, client: Client
) -> None:
    async with served(cluster, client) as service:
        async with loaded(cluster, service) as load:
            for _ in range(ROLLS):
                await replace_one(client)
        none_failed(load)
        answered = load.answered["gateway"] + load.answered["gateway, kept"]

        async def all_counted() -> bool:
            return await counted(cluster) == answered

        await until(f"{answered} requests are counted", all_counted)


async def test_a_short_grace_loses_no_request_either(cluster: Cluster, client: Client) -> None:
    async with served(cluster, client, grace_s=2) as service:
        # A kept connection that is open at the end of half the grace is its server's to close.
        async with loaded(cluster, service, kept=False) as load:
            for _ in range(3):
                await replace_one(client)
        none_failed(load)


async def test_programs_that_are_killed_in_the_middle_lose_no_request(
    cluster: Cluster, client: Client
) -> None:
    async with served(cluster, client) as service:
        async with loaded(cluster, service) as load:
            for node, *programs in (
                ("n2", "proxy", "gateway"),
                ("n1", "apiserver"),
                ("n3", "kubelet"),
            ):
                replacing = asyncio.ensure_future(replace_one(client))
                await asyncio.sleep(0.2)
                await cluster.kill(node, *programs)
                await replacing
        none_failed(load)


async def test_a_node_that_nobody_hears_holds_nobody_up_and_loses_no_request(
    cluster: Cluster, client: Client
) -> None:
    """Its kubelet and its proxy stand still: its pods serve on, and acknowledge nothing."""
    async with served(cluster, client) as service:
        pids = [await cluster.pid_of("n3", name) for name in ("kubelet", "proxy")]
        signal = ["kill", "-STOP", *map(str, pids)]
        async with loaded(cluster, service) as load:
            elsewhere = [
                one for one in await ready_pods(client, f"app={NAME}") if one.spec.node_name != "n3"
            ]
            await cluster.run("n3", signal)
            try:
                gone = elsewhere[0]
                await client.delete(Pod, gone.metadata.name, "default")

                async def is_gone() -> bool:
                    listed = await client.list(Pod, "default", labels=f"app={NAME}")
                    return all(one.metadata.uid != gone.metadata.uid for one in listed.items)

                await until("the pod is gone", is_gone)
            finally:
                await cluster.run("n3", ["kill", "-CONT", *map(str, pids)])
        none_failed(load)

        async def all_ready() -> bool:
            return len(await ready_nodes(client)) == 3

        await until("n3 is heard again", all_ready)
        await until("three pods that are led to", lambda: is_available(client), 90)


def fresh[O: Object](one: O) -> O:
    """Return what a person would send: without what is the server's to write."""
    meta = ObjectMeta(name=one.metadata.name, namespace=one.metadata.namespace)
    return replaced(one, metadata=meta)


async def ask(cluster: Cluster, path: str, host: str = SHOP, node: str = "n1") -> str:
    """Return what a host of the cluster is answered: the code, and the pod's name."""
    address = cluster.lab.node(GATEWAY).address
    argv = ["curl", "-s", "-m", "5", "-w", " %{http_code}", "-H", f"Host: {host}"]
    ended = await cluster.run(node, [*argv, f"http://{address}{path}"], check=False)
    words = ended.stdout.split()
    return f"{words[-1]} {words[0]}" if len(words) > 1 else ended.stdout.strip()


async def is_named(cluster: Cluster, node: str, argv: Sequence[str]) -> bool:
    ended = await cluster.run(node, argv, check=False)
    return ended.code == 0 and ended.stdout.startswith("blue")


async def until_answered(cluster: Cluster, path: str, word: str, host: str = SHOP) -> None:
    async def is_answered() -> bool:
        return (await ask(cluster, path, host)).startswith(f"200 {word}")

    await until(f"{host}{path} is answered by {word}", is_answered)


@pytest.fixture
async def roads(cluster: Cluster, client: Client) -> AsyncIterator[Cluster]:
    """Two services, a Dns of two paths to them, and an Ingress."""
    for name in ("red", "blue"):
        await created(client, name, 2)
    await client.create(fresh(a_dns("roads", SHOP, "/red red", "/blue blue")))
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
    name = ["curl", "-sf", "-m", "5", f"http://{SHOP}/blue"]
    for node in roads.names:
        await until(f"{SHOP} leads to it on {node}", partial(is_named, roads, node, name))
    await client.create(pod("asker", [shell(SLEEP)], namespace="default"))
    asker = await until_phase(client, "asker", "Running", namespace="default")
    container = asker.status.container_statuses[0].container_id.removeprefix("docker://")
    inside = ["docker", "exec", container, "wget", "-q", "-O", "-", f"http://{SHOP}/blue"]
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
