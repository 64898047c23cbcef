"""StatefulSets on real nodes: names that stay, rolled by kubectl and undone by cubectl."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.coding import codec
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.service import Service
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.api.storagewords import LOCAL, LOCAL_FOLDERS
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.pods import SLEEP, shell

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

NAME = "places"
COMMAND_DEADLINE_S = 300.0
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


async def said(kubeconfig: Path, home: Path, *words: str) -> str:
    """Return what a command prints that must succeed."""
    done = await asyncio.to_thread(
        subprocess.run, words,
        capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
        env={**os.environ, "HOME": str(home), "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def ready(client: Client) -> dict[str, Pod]:
    pods = (await client.list(Pod, "default", labels=f"app={NAME}")).items
    kept = [one for one in pods if is_ready(one) and not one.metadata.is_deleted]
    return {one.metadata.name: one for one in kept}


async def test_pods_keep_their_names_through_a_rollout_and_its_undo(
    cluster: Cluster, client: Client, placed: None, kubeconfig: Path, tmp_path: Path
) -> None:
    assert placed is None
    told = partial(said, kubeconfig, tmp_path)

    async def are_named() -> bool:
        pods = await ready(client)
        if sorted(pods) != [f"{NAME}-0", f"{NAME}-1"]:
            return False
        for name, pod in pods.items():
            full = f"{name}.{NAME}.default.svc.cluster.local"
            said = await cluster.run("n2", ["python3", "-c", NODE_ASKS, full], check=False)
            if said.stdout.strip() != pod.status.pod_ip:
                return False
        return True

    await until("each pod is found by its name", are_named, 60)
    before = {pod.metadata.uid for pod in (await ready(client)).values()}

    await told("kubectl", "rollout", "restart", f"statefulset/{NAME}")
    await told("kubectl", "rollout", "status", f"statefulset/{NAME}", "--timeout=240s")
    await until("each new pod is found by its name", are_named, 60)
    assert not before & {pod.metadata.uid for pod in (await ready(client)).values()}

    await told(*CUBECTL, "rollout", "undo", f"statefulset/{NAME}")
    await told(*CUBECTL, "rollout", "status", f"statefulset/{NAME}", "--timeout", "240s")
    history = await told("kubectl", "rollout", "history", f"statefulset/{NAME}")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]
    await until("each pod is found by its name again", are_named, 60)


KEEPER = "keeper"
# Each life adds a line to what the lives before it have left.
LIVES = f"echo life >> /data/lives; cat /data/lives; echo on $(hostname); {SLEEP}"


def a_set_with_volumes() -> StatefulSet:
    labels = {"app": NAME}
    container = shell(LIVES, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "storageClassName": KEEPER,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    wanted = {
        "metadata": {"name": KEEPER, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "serviceName": KEEPER,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
            "volumeClaimTemplates": [claim],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
        },
    }
    return codec.from_tree(StatefulSet, wanted).model


async def test_a_pod_that_comes_again_finds_its_files_on_the_node_where_they_are(
    cluster: Cluster, client: Client, kubeconfig: Path, tmp_path: Path
) -> None:
    made_by = StorageClass(
        metadata=ObjectMeta(name=KEEPER),
        provisioner=LOCAL,
        volume_binding_mode="WaitForFirstConsumer",
    )
    await client.create(made_by)
    await client.create(a_set_with_volumes())

    async def are_ready() -> bool:
        return sorted(await ready(client)) == [f"{KEEPER}-0", f"{KEEPER}-1"]

    await until("both pods run with their volumes", are_ready)
    told = partial(said, kubeconfig, tmp_path)
    claims = (await told("kubectl", "get", "pvc", "--no-headers")).splitlines()
    assert [line.split()[:2] for line in claims] == [
        [f"data-{KEEPER}-{number}", "Bound"] for number in range(2)
    ]

    async def is_described() -> bool:  # an event may come after what it tells of
        described = await told("kubectl", "describe", "pvc", f"data-{KEEPER}-0")
        wanted = ("ProvisioningSucceeded", f"Used By:       {KEEPER}-0")
        return all(word in described for word in wanted)

    await until("an event tells of the volume", is_described)
    assert KEEPER in await told("kubectl", "get", "sc,pv")
    assert "Phase:" in await told(*CUBECTL, "describe", "pv")

    before = (await ready(client))[f"{KEEPER}-1"]
    await client.delete(Pod, f"{KEEPER}-1", "default")

    async def is_again() -> bool:
        found = (await ready(client)).get(f"{KEEPER}-1")
        return found is not None and found.metadata.uid != before.metadata.uid

    await until("the pod comes again", is_again)
    assert (await ready(client))[f"{KEEPER}-1"].spec.node_name == before.spec.node_name

    async def has_told() -> bool:
        lines = (await told("kubectl", "logs", f"{KEEPER}-1")).splitlines()
        return lines == ["life", "life", f"on {KEEPER}-1"]

    await until("it has told what it found", has_told)

    await client.delete(StatefulSet, KEEPER, "default")

    async def is_empty() -> bool:
        left = [*(await client.list(PersistentVolumeClaim)).items]
        return not left and not (await client.list(PersistentVolume)).items

    await until("claims and volumes go with the set", is_empty)
    listed = await cluster.run(before.spec.node_name, ["ls", "-A", LOCAL_FOLDERS])
    assert listed.stdout.split() == []
    await client.delete(StorageClass, KEEPER)
