"""Pods are replaced one after another under load, and no request is lost: on every road."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import ApiError
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from lab.host.node import Ended
from tests.e2e.cluster import Cluster, ready_nodes, ready_pods, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

LOADER = Path(__file__).parents[1].joinpath("loader.py")
RATE, CALLERS = 400, 8  # of each road: three of them are over a thousand requests a second
ROLLS = 20
NAME = "bye"


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


async def is_available(client: Client) -> bool:
    found = await client.get(ReplicaSet, NAME, "default")
    return (
        found.status.available_replicas == 3 and len(await ready_pods(client, f"app={NAME}")) == 3
    )


@asynccontextmanager
async def served(client: Client, grace_s: int = 30) -> AsyncIterator[Service]:
    replicaset, service = server(grace_s)
    await client.create(replicaset)
    made = await client.create(service)
    await until("three pods that are led to", lambda: is_available(client), 90)
    try:
        yield made
    finally:
        for kind in (Service, ReplicaSet):
            await client.delete(kind, NAME, "default")

        async def none_left() -> bool:
            return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

        await until("the pods gone", none_left, 90)


@asynccontextmanager
async def loaded(cluster: Cluster, service: Service, *, kept: bool = True) -> AsyncIterator[Load]:
    """Ask from n1 for the length of the block: by the cluster IP, and by a port of n2."""
    inside, outside = service.spec.cluster_ip, cluster.lab.node("n2").address
    node_port = service.spec.ports[0].node_port
    roads = {"cluster IP": (inside, 80, "new"), "node port": (outside, node_port, "new")}
    roads |= {"cluster IP, kept": (inside, 80, "kept")} if kept else {}
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


async def test_w25_twenty_replacements_under_load_lose_no_request(
    cluster: Cluster, client: Client
) -> None:
    async with served(client) as service:
        async with loaded(cluster, service) as load:
            for _ in range(ROLLS):
                await replace_one(client)
        none_failed(load)


async def test_a_short_grace_loses_no_request_either(cluster: Cluster, client: Client) -> None:
    async with served(client, grace_s=2) as service:
        # A kept connection that is open at the end of half the grace is its server's to close.
        async with loaded(cluster, service, kept=False) as load:
            for _ in range(3):
                await replace_one(client)
        none_failed(load)


async def test_programs_that_are_killed_in_the_middle_lose_no_request(
    cluster: Cluster, client: Client
) -> None:
    async with served(client) as service:
        async with loaded(cluster, service) as load:
            for node, program in (("n2", "proxy"), ("n1", "apiserver"), ("n3", "kubelet")):
                replacing = asyncio.ensure_future(replace_one(client))
                await asyncio.sleep(0.2)
                await cluster.kill(node, program)
                await replacing
        none_failed(load)


async def test_a_node_that_nobody_hears_holds_nobody_up_and_loses_no_request(
    cluster: Cluster, client: Client
) -> None:
    """Its kubelet and its proxy stand still: its pods serve on, and acknowledge nothing."""
    async with served(client) as service:
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
