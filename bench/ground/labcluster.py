"""A real cluster of three nodes to measure: a lab of its own, made by cuberoot's own commands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.ground.report import progress
from cubernetes.api.core.node import Node, is_ready
from cubernetes.client.rest import Client
from cubernetes.host.clock import SystemClock
from cubernetes.host.command import CommandFailed
from lab.lab import Lab
from lab.state import Size, lab_names
from lab.wait import until
from tests.e2e.cluster import Cluster

LAB = "bench"
NODE_COUNT = 3
NODE_SIZE = Size(memory_bytes=3 << 30, disk_bytes=8 << 30)
READY_DEADLINE_S = 60.0


@asynccontextmanager
async def cluster_up() -> AsyncIterator[Cluster]:
    """Boot the lab and make a cluster; remove both at the end, unless the lab was up before."""
    was_up = LAB in lab_names()
    progress("a lab of three nodes, init and two joins")
    try:
        cluster = Cluster(await Lab.up(LAB, node_count=NODE_COUNT, size=NODE_SIZE))
        if not await _is_made(cluster):
            await cluster.make()
        async with cluster.client() as client:
            await _all_ready(client)
        yield cluster
    finally:
        # Also after a failed start, which leaves half a lab.
        if not was_up and LAB in lab_names():
            await asyncio.shield(Lab.open(LAB).down())


async def _is_made(cluster: Cluster) -> bool:
    try:
        await cluster.run(cluster.names[-1], ["test", "-e", "/etc/cubernetes/cluster.json"])
    except CommandFailed:
        return False
    return True


async def _all_ready(client: Client) -> None:
    async def all_ready() -> bool:
        nodes = (await client.list(Node)).items
        return len(nodes) == NODE_COUNT and all(is_ready(one) for one in nodes)

    await until(all_ready, SystemClock(), READY_DEADLINE_S, lambda: "every node ready")
