"""Drains of real nodes: a budget holds while a node is emptied, by kubectl and by cubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.client.rest import Client
from tests.e2e.cluster import until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

NAME = "drained"
COMMAND_DEADLINE_S = 100.0
CUBECTL = (sys.executable, "-m", "cubectl")
# Others' pods on the node are left alone.
FLAGS = f"--pod-selector app={NAME} --timeout 90s"

type Command = Callable[..., str]


@pytest.fixture(params=["kubectl", "cubectl"])
def command(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Command:
    """Return what runs a command line of either client, and returns what it wrote."""
    argv = CUBECTL if request.param == "cubectl" else ("kubectl",)

    def run(line: str, *, code: int = 0) -> str:
        done = subprocess.run(
            [*argv, f"--kubeconfig={kubeconfig}", *line.split()],
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == code, told
        return told

    return run


async def serving(client: Client) -> list[Pod]:
    pods = (await client.list(Pod, "default", labels=f"app={NAME}")).items
    return [pod for pod in pods if is_ready(pod) and not pod.metadata.is_deleted]


@pytest.fixture
async def guarded(client: Client) -> AsyncIterator[None]:
    """Three pods, of which two must stay."""
    labels = {"app": NAME}
    spec = {
        "terminationGracePeriodSeconds": 2,
        "containers": [{"name": "web", "image": "cubernetes/web:1"}],
    }
    deployment = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    budget = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": labels}},
    }
    await client.create(codec.from_tree(Deployment, deployment).model)
    await client.create(codec.from_tree(PodDisruptionBudget, budget).model)

    async def is_allowed() -> bool:
        one = await client.get(PodDisruptionBudget, NAME, "default")
        return one.status.disruptions_allowed == 1

    await until("three pods run, and one may go", is_allowed, 60)
    yield
    await client.delete(PodDisruptionBudget, NAME, "default")
    await client.delete(Deployment, NAME, "default")

    async def is_gone() -> bool:
        return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

    await until("its pods are gone", is_gone, 60)


async def test_a_node_is_drained_and_two_of_three_pods_always_serve(
    client: Client, guarded: None, command: Command
) -> None:
    assert guarded is None
    node = (await serving(client))[0].spec.node_name
    told = asyncio.create_task(asyncio.to_thread(command, f"drain {node} {FLAGS}"))
    fewest = 3
    try:
        while not told.done():
            fewest = min(fewest, len(await serving(client)))
            await asyncio.sleep(0.05)
        assert f"node/{node} drained" in await told
        assert not [pod for pod in await serving(client) if pod.spec.node_name == node]
    finally:
        await asyncio.to_thread(command, f"uncordon {node}")
    assert fewest >= 2
