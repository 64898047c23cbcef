"""StatefulSets on real nodes: names that stay, rolled by kubectl and undone by cubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.service import Service
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

NAME = "places"
COMMAND_DEADLINE_S = 120.0
CUBECTL = (sys.executable, "-m", "cubectl")
# The address of a name, by the node's own Python; nothing where there is none.
NODE_ASKS = """
import socket, sys
labels = b"".join(bytes([len(one)]) + one for one in sys.argv[1].encode().split(b"."))
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.settimeout(5)
head = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0"
own.sendto(head + labels + b"\\0\\0\\1\\0\\1", ("169.254.20.10", 53))
said = own.recv(512)
print(".".join(str(byte) for byte in said[-4:]) if said[7] else "")
"""


def manifests() -> tuple[StatefulSet, Service]:
    labels = {"app": NAME}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "web", "image": "cubernetes/web:1"}],
    }
    wanted = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "serviceName": NAME,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    service = {
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 8080}]},
    }
    return codec.from_tree(StatefulSet, wanted).model, codec.from_tree(Service, service).model


@pytest.fixture
async def placed(client: Client) -> AsyncIterator[None]:
    wanted, service = manifests()
    await client.create(service)
    await client.create(wanted)
    yield
    await client.delete(StatefulSet, NAME, "default")
    await client.delete(Service, NAME, "default")

    async def is_gone() -> bool:
        return not (await client.list(Pod, "default", labels=f"app={NAME}")).items

    await until("its pods are gone", is_gone, 60)


async def ready(client: Client) -> dict[str, Pod]:
    pods = (await client.list(Pod, "default", labels=f"app={NAME}")).items
    kept = [one for one in pods if is_ready(one) and not one.metadata.is_deleted]
    return {one.metadata.name: one for one in kept}


async def test_pods_keep_their_names_through_a_rollout_and_its_undo(
    cluster: Cluster, client: Client, placed: None, kubeconfig: Path, tmp_path: Path
) -> None:
    assert placed is None

    async def told(*words: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run, words,
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
            env={**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def are_named() -> bool:
        pods = await ready(client)
        if sorted(pods) != [f"{NAME}-0", f"{NAME}-1"]:
            return False
        for name, pod in pods.items():
            full = f"{name}.{NAME}.default.svc.cluster.local"
            said = await cluster.run("n2", ["python3", "-c", NODE_ASKS, full])
            if said.stdout.strip() != pod.status.pod_ip:
                return False
        return True

    await until("each pod is found by its name", are_named, 60)
    before = {pod.metadata.uid for pod in (await ready(client)).values()}

    await told("kubectl", "rollout", "restart", f"statefulset/{NAME}")
    await told("kubectl", "rollout", "status", f"statefulset/{NAME}", "--timeout=90s")
    await until("each new pod is found by its name", are_named, 60)
    assert not before & {pod.metadata.uid for pod in (await ready(client)).values()}

    await told(*CUBECTL, "rollout", "undo", f"statefulset/{NAME}")
    await told(*CUBECTL, "rollout", "status", f"statefulset/{NAME}", "--timeout", "90s")
    history = await told("kubectl", "rollout", "history", f"statefulset/{NAME}")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]
    await until("each pod is found by its name again", are_named, 60)
