"""A node whose disk is full: every program lives on, services follow, and all recover."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import AlreadyExists, InternalError, NotFound, ServiceUnavailable
from cubernetes.api.meta import replaced
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from tests.e2e.cluster import PATIENCE_S, Cluster, ready_nodes, until
from tests.e2e.pods import BEARS_FULL_DISK, SLEEP, pod, shell, until_gone, until_untainted
from tests.e2e.uses.test_serving import all_ready, created, removed, web

pytestmark = [pytest.mark.lab]

EVERY_NODE = ("kubelet", "proxy")
CONTROL_PLANE = ("apiserver", "scheduler", "controllers")
# Longer than what a node that renews no Lease is given.
FULL_S = 15.0


async def pids(cluster: Cluster) -> dict[tuple[str, str], int]:
    """Return the pid of every program of ours on every node. etcd is not ours."""
    found: dict[tuple[str, str], int] = {}
    for node in cluster.names:
        programs = (*EVERY_NODE, *(CONTROL_PLANE if node == "n1" else ()))
        for program, pid in (await cluster.pids_of(node, *programs)).items():
            found[node, program] = pid
    return found


async def test_a_full_worker_ends_no_program_and_follows_every_change_of_services(
    cluster: Cluster, client: Client
) -> None:
    """All the while services come and go, whose rules the full node must have all the same."""
    address = await created(client, "full", 2)
    before, clock, round_count = await pids(cluster), Env().clock, 0
    with full(cluster, "n2"):
        end_at = clock.monotonic() + FULL_S
        while clock.monotonic() < end_at:
            round_count += 1
            await a_service_comes_and_goes(cluster, client, f"full-{round_count}")
        assert await pids(cluster) == before
        assert "n2" in await ready_nodes(client)
        assert await cluster.curl("n2", f"http://{address}/", limit_s=PATIENCE_S)
    await all_recover(cluster, client, "n2")
    assert await pids(cluster) == before
    await removed(client, "full")


async def test_a_full_control_plane_ends_no_program_of_ours_and_services_serve_on(
    cluster: Cluster, client: Client
) -> None:
    """etcd may end, since its log takes no more: then writes are refused, and nothing else."""
    address = await created(client, "full", 2)
    before, clock, round_count = await pids(cluster), Env().clock, 0
    with full(cluster, "n1"):
        end_at = clock.monotonic() + FULL_S
        while clock.monotonic() < end_at:
            round_count += 1
            with suppress(ServiceUnavailable, InternalError, TransportError):
                await client.create(a_service(f"lost-{round_count}"))
            for node in cluster.names:
                assert await cluster.curl(node, f"http://{address}/", limit_s=PATIENCE_S), node
            await clock.sleep(1.0)
        assert await pids(cluster) == before
    await all_recover(cluster, client, "n1")
    assert await pids(cluster) == before
    for one in (await client.list(Service, "default")).items:
        if one.metadata.name.startswith("lost-"):
            await client.delete(Service, one.metadata.name, "default")
    await removed(client, "full")


@contextmanager
def full(cluster: Cluster, node: str) -> Iterator[None]:
    """Leave no free block on a node's disk for the length of the block."""
    cluster.lab.fill_disk(node)
    try:
        yield
    finally:
        cluster.lab.free_disk(node)


def a_service(name: str) -> Service:
    _, one = web("full", 2)
    return replaced(one, metadata=replaced(one.metadata, name=name))


async def a_service_comes_and_goes(cluster: Cluster, client: Client, name: str) -> None:
    made = await client.create(a_service(name))
    url = f"http://{made.spec.cluster_ip}/"
    await until("the full node leads a service to its pods", lambda: cluster.curl("n2", url))
    await client.delete(Service, name, "default")

    async def is_refused() -> bool:
        return not await cluster.curl("n2", url)

    await until("the full node has forgotten the service", is_refused)


async def all_recover(cluster: Cluster, client: Client, node: str) -> None:
    """Wait until the API takes writes, every node is ready, and the node starts pods again."""
    bears = {"nodeName": node, "tolerations": BEARS_FULL_DISK}
    late = pod("late", [shell(SLEEP)], namespace="default", **bears)

    async def is_taken() -> bool:
        with suppress(ServiceUnavailable, InternalError, TransportError, AlreadyExists):
            await client.create(late)
        with suppress(ServiceUnavailable, InternalError, TransportError, NotFound):
            return bool(await client.get(Pod, "late", "default"))
        return False

    async def runs() -> bool:
        return (await client.get(Pod, "late", "default")).status.phase == "Running"

    await until("the API takes writes", is_taken, 90)
    await until("every node is ready", lambda: all_ready(cluster, client))
    await until("the node starts pods", runs, 90)
    await client.delete(Pod, "late", "default")
    await until_gone(client, "late", namespace="default")
    await until_untainted(client)
