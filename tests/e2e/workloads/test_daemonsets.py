"""DaemonSets on real nodes: one pod on each, also where nobody else may go; rolled by kubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.client.rest import Client
from tests.e2e.cluster import until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

NAME = "agent"
COMMAND_DEADLINE_S = 120.0
CUBECTL = (sys.executable, "-m", "cubectl")


def manifest() -> DaemonSet:
    labels = {"app": NAME}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "web", "image": "cubernetes/web:1"}],
    }
    wanted = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    return codec.from_tree(DaemonSet, wanted).model


@pytest.fixture
async def cordoned(client: Client) -> AsyncIterator[None]:
    """A node that takes nothing else, and a DaemonSet."""
    await client.patch(Node, "n2", "", {"spec": {"unschedulable": True}})
    await client.create(manifest())
    yield
    await client.patch(Node, "n2", "", {"spec": {"unschedulable": None}})
    await client.delete(DaemonSet, NAME, "default")

    async def is_gone() -> bool:
        return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

    await until("its pods are gone", is_gone, 60)


async def test_each_node_has_one_pod_through_a_rollout_and_its_undo(
    client: Client, cordoned: None, kubeconfig: Path, tmp_path: Path
) -> None:
    assert cordoned is None

    async def told(*words: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run, words,
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
            env={**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def serving() -> set[str]:
        pods = (await client.list(Pod, "default", labels=f"app={NAME}")).items
        kept = [one for one in pods if is_ready(one) and not one.metadata.is_deleted]
        nodes = sorted(node.metadata.name for node in (await client.list(Node)).items)
        are_whole = sorted(one.spec.node_name for one in kept) == nodes
        return {one.metadata.uid for one in kept} if are_whole else set()

    async def is_whole() -> bool:
        return bool(await serving())

    await until("each node has its pod", is_whole, 60)
    before = await serving()

    await told("kubectl", "rollout", "restart", f"daemonset/{NAME}")
    await told("kubectl", "rollout", "status", f"daemonset/{NAME}", "--timeout=90s")
    await until("each node has one pod again", is_whole, 60)
    assert not before & await serving()

    await told(*CUBECTL, "rollout", "undo", f"daemonset/{NAME}")
    await told(*CUBECTL, "rollout", "status", f"daemonset/{NAME}", "--timeout", "90s")
    history = await told("kubectl", "rollout", "history", f"daemonset/{NAME}")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]
    await until("each node has one pod once more", is_whole, 60)
