"""Deployments on real nodes: rolled and undone under load, by the stock kubectl and by cubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, ready_addresses, steady_calls, until

pytestmark = [pytest.mark.lab]

NAME = "roll"
COMMAND_DEADLINE_S = 120.0
CUBECTL = (sys.executable, "-m", "cubectl")

type Command = Callable[..., str]


def manifests() -> tuple[Deployment, Service]:
    labels = {"app": NAME}
    spec = {
        "terminationGracePeriodSeconds": 2,
        "containers": [{"name": "web", "image": "cubernetes/web:1"}],
    }
    deployment = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "progressDeadlineSeconds": 60,
            "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    service = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return codec.from_tree(Deployment, deployment).model, codec.from_tree(Service, service).model


@pytest.fixture
def command(kubeconfig: Path, tmp_path: Path) -> Command:
    """Return what runs a command line, of kubectl or cubectl, and returns what it wrote."""

    def run(line: str, *, code: int = 0) -> str:
        program, *words = line.split()
        argv = CUBECTL if program == "cubectl" else (program,)
        done = subprocess.run(
            [*argv, f"--kubeconfig={kubeconfig}", *words],
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == code, told
        return told

    return run


@pytest.fixture
async def rolled(client: Client) -> AsyncIterator[str]:
    """A Deployment of three pods behind a service; return the address of the service."""
    deployment, service = manifests()
    made = await client.create(service)
    await client.create(deployment)

    async def are_led_to() -> bool:
        return len(await ready_addresses(client, NAME)) == 3

    await until("three pods are led to", are_led_to)
    yield made.spec.cluster_ip
    await client.delete(Deployment, NAME, "default")
    await client.delete(Service, NAME, "default")

    async def is_gone() -> bool:
        return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

    await until("its pods are gone", is_gone)


async def test_a_rollout_and_its_undo_under_load_lose_no_request(
    cluster: Cluster, rolled: str, command: Command
) -> None:
    async def told(line: str) -> str:
        return await asyncio.to_thread(command, line)

    async with steady_calls(cluster, "n1", f"http://{rolled}/") as calls:
        assert "restarted" in await told(f"kubectl rollout restart deployment/{NAME}")
        assert "successfully rolled out" in await told(f"cubectl rollout status deployment/{NAME}")
        assert "rolled back" in await told(f"cubectl rollout undo deployment/{NAME}")
        assert "successfully rolled out" in await told(f"kubectl rollout status deployment/{NAME}")

    assert calls.failed_count == 0
    assert calls.answered_count > 0
    for program in ("kubectl", "cubectl"):
        history = await told(f"{program} rollout history deployment/{NAME}")
        assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == [
            "2", "3",
        ]  # fmt: skip


async def test_a_bad_image_is_told_in_time_and_undone(
    client: Client, rolled: str, command: Command
) -> None:
    assert rolled
    await client.patch(Deployment, NAME, "default", {"spec": {"progressDeadlineSeconds": 3}})
    assert "image updated" in command(f"cubectl set image deployment/{NAME} web=cubernetes/none:1")
    for program in ("kubectl", "cubectl"):
        late = command(f"{program} rollout status deployment/{NAME}", code=1)
        assert "exceeded its progress deadline" in late
        listed = command(f"{program} get deployment {NAME}").splitlines()
        assert listed[1].split()[:2] == [NAME, "3/3"]

    await client.patch(Deployment, NAME, "default", {"spec": {"progressDeadlineSeconds": 60}})
    assert "rolled back" in command(f"kubectl rollout undo deployment/{NAME}")
    assert "successfully rolled out" in command(f"cubectl rollout status deployment/{NAME}")


async def test_it_is_paused_scaled_and_resumed(
    client: Client, rolled: str, command: Command
) -> None:
    assert rolled
    assert "paused" in command(f"cubectl rollout pause deployment/{NAME}")
    for program in ("kubectl", "cubectl"):
        command(f"{program} rollout pause deployment/{NAME}", code=1)
    assert "scaled" in command(f"kubectl scale deployment/{NAME} --replicas=4")

    async def are_four() -> bool:
        return len(await ready_addresses(client, NAME)) == 4

    await until("four pods are led to", are_four)
    assert "resumed" in command(f"kubectl rollout resume deployment/{NAME}")
    assert "successfully rolled out" in command(f"kubectl rollout status deployment/{NAME}")
    for program in ("kubectl", "cubectl"):
        assert "ScalingReplicaSet" in command(f"{program} describe deployment {NAME}")
