"""Replicas follow a load: kubelets measure it, the store keeps it, the controllers decide."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.conftest import HOUSE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

EXAMPLE = str(HOUSE / "examples" / "autoscaling.yaml")
QUEUE = str(HOUSE / "examples" / "autoscaling-metrics.yaml")
NAME, PLACE, MOST = "worker", "default", 3
COMMAND_DEADLINE_S = 60.0


class Command:
    """Runs a command line of a client, and returns what it wrote."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._kubeconfig, self._home = kubeconfig, home

    def __call__(self, program: str, line: str) -> str:
        argv = (sys.executable, "-m", "cubectl") if program == "cubectl" else (program,)
        done = subprocess.run(
            [*argv, f"--kubeconfig={self._kubeconfig}", *line.split()],
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
            env={**os.environ, "HOME": str(self._home)},
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture
async def command(
    cluster: Cluster, client: Client, kubeconfig: Path, tmp_path: Path
) -> AsyncIterator[Command]:
    """The example applied, on a cluster whose control plane has a store meanwhile."""
    await cluster.run("n1", [*CUBEROOT, "enable", "tsdb"], deadline_s=120)
    run = Command(kubeconfig, tmp_path)
    run("cubectl", f"apply -f {EXAMPLE}")
    yield run
    run("cubectl", f"delete -f {EXAMPLE} -f {QUEUE} --ignore-not-found")
    await cluster.run("n1", [*CUBEROOT, "disable", "tsdb"], deadline_s=120)


async def sized(client: Client, count: int, name: str = NAME) -> None:
    async def is_so() -> bool:
        found = await client.get(Deployment, name, PLACE)
        return found.spec.replicas == found.status.ready_replicas == count

    await until(f"{count} replicas", is_so, 120)


async def switch(client: Client, busy: str) -> None:
    await client.patch(ConfigMap, "load", PLACE, {"data": {"busy": busy}})


async def test_replicas_grow_to_the_maximum_under_load_and_fall_back(
    command: Command, client: Client
) -> None:
    async def is_measured() -> bool:
        found = await client.get(HorizontalPodAutoscaler, NAME, PLACE)
        facts = {one.type: one.status for one in found.status.conditions}
        return facts.get("ScalingActive") == "True"

    await until("a decision on samples", is_measured, 120)
    await switch(client, "1")
    await sized(client, MOST)

    async def are_told() -> bool:
        told = [command(program, "top pod --no-headers") for program in ("kubectl", "cubectl")]
        has_node = "n1 " in command("kubectl", "top node")
        return has_node and all(one.count(f"{NAME}-") == MOST for one in told)

    await until("every pod in both clients' top", are_told, 60)
    await switch(client, "0")
    await sized(client, 1)

    async def is_explained() -> bool:
        told = command("cubectl", f"describe hpa {NAME}")
        wanted = (f"New size: {MOST}", "New size: 1; reason: All metrics below target")
        return all(one in told for one in wanted)

    await until("events that tell why", is_explained, 60)

    # A queue that a pod tells of: no workers while it is empty, and it wakes them.
    command("cubectl", f"apply -f {QUEUE}")
    await sized(client, 0, "mailer")
    told = {"data": {"metrics": 'queue_length{queue="mail"} 25\n'}}
    await client.patch(ConfigMap, "queue", PLACE, told)
    await sized(client, MOST, "mailer")
    path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{PLACE}/pods/queue/queue_length"

    async def is_told() -> bool:
        is_read = '"value":"25"' in command("kubectl", f"get --raw {path}")
        return is_read and f"-> {MOST}" in command("cubectl", f"autoscale history {NAME}")

    await until("the queue as a metric, and why there are so many", is_told, 60)
