"""Kubelets that live by clocks 100 s off: what hangs on time is as on the other nodes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, ready_nodes, until
from tests.e2e.pods import STUBBORN, pod, shell, until_gone, until_phase

pytestmark = [pytest.mark.lab]

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
CONFIG = "/etc/cubernetes/supervisord.conf"
CONTROL = (sys.executable, "-m", "supervisor.supervisorctl", "-c", CONFIG)
GRACE_S = 12


@asynccontextmanager
async def clock_off(cluster: Cluster, client: Client, node: str, by: str) -> AsyncIterator[None]:
    """Let a node's kubelet see another wall time; its monotonic time stays as it is."""
    words = f'LD_PRELOAD="{FAKETIME}",FAKETIME="{by}",FAKETIME_DONT_FAKE_MONOTONIC="1"'
    line = f"/^\\[program:kubelet\\]/a environment={words}"
    await cluster.run(node, ["sed", "-i.true", line, CONFIG])
    await cluster.run(node, [*CONTROL, "update", "kubelet"])
    await cluster.run(node, [*CONTROL, "start", "kubelet"], check=False)
    try:
        await until_clock_is_told(cluster, client, node)
        yield
    finally:
        await cluster.run(node, ["mv", f"{CONFIG}.true", CONFIG])
        await cluster.run(node, [*CONTROL, "update", "kubelet"])
        await cluster.run(node, [*CONTROL, "start", "kubelet"], check=False)
        await until("the node is Ready again", lambda: is_ready(client, node))


async def until_clock_is_told(cluster: Cluster, client: Client, node: str) -> None:
    async def is_faked() -> bool:
        pid = await cluster.pid_of(node, "kubelet")
        maps = await cluster.run(
            node, ["grep", "-q", "libfaketime", f"/proc/{pid}/maps"], check=False
        )
        return maps.code == 0

    await until("the kubelet has another clock", is_faked)
    await until("the node is Ready", lambda: is_ready(client, node))


async def is_ready(client: Client, node: str) -> bool:
    return node in await ready_nodes(client)


@pytest.mark.skipif(FAKETIME is None, reason="no libfaketime (apt-get install libfaketime)")
async def test_a_node_whose_clock_is_off_gives_pods_their_grace_and_stays(
    cluster: Cluster, client: Client
) -> None:
    """One node's clock is ahead and another's behind, at once: each has a pod of its own."""
    off = {cluster.names[-1]: "+100s", cluster.names[-2]: "-100s"}
    await asyncio.gather(*(grace_is_kept(cluster, client, node, by) for node, by in off.items()))


async def grace_is_kept(cluster: Cluster, client: Client, node: str, by: str) -> None:
    name = f"late-{node}"
    async with clock_off(cluster, client, node, by):
        one = pod(
            name, [shell(STUBBORN)], namespace="default", nodeName=node,
            terminationGracePeriodSeconds=GRACE_S,
        )  # fmt: skip
        await client.create(one)
        await until_phase(client, name, "Running", 60, namespace="default")
        began = (await client.get(Node, node)).metadata.uid
        await client.delete(Pod, name, "default")
        spent_s = await until_gone(client, name, 180, namespace="default")
        print(f"clock {by}: gone {spent_s:.1f} s after its deletion")  # noqa: T201  a figure
        # Killed at once by a clock that is ahead, a minute and a half late by one that is behind.
        assert GRACE_S - 1 < spent_s < GRACE_S + 70
        # Its renewals count from when they are seen.
        await asyncio.sleep(15)
        assert await is_ready(client, node)
        assert (await client.get(Node, node)).metadata.uid == began
