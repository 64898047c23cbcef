"""The tour and the demonstration set: each manifest under examples/tour does what it says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cubernetes.api.condition import condition_of
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, ready_addresses, ready_pods, until
from tests.e2e.pods import bounds_of, process_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1300)]

HOUSE = Path(__file__).resolve().parents[3]
TOUR = HOUSE / "examples" / "tour"


def cubectl(kubeconfig: Path, *words: str, deadline_s: float = 90) -> str:
    """Run cubectl as a person would; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cubectl", "--kubeconfig", str(kubeconfig), *words],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        cwd=HOUSE,
    )
    assert done.returncode == 0, f"cubectl {' '.join(words)}: {done.stderr}"
    return done.stdout


@pytest.fixture
def applied(kubeconfig: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Apply the file of the tour that the test names; take it away afterwards."""
    file = str(TOUR / request.param)
    yield cubectl(kubeconfig, "apply", "-f", file)
    cubectl(kubeconfig, "delete", "-f", file, "--ignore-not-found")


def test_the_tour_ends_well_and_may_be_repeated(cluster: Cluster, kubeconfig: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [str(HOUSE / "scripts" / "tour"), cluster.lab.site.topology.name],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The tour is done" in done.stdout
    for file in ("8-roads.yaml", "3-replicas.yaml", "2-two-containers.yaml"):
        cubectl(kubeconfig, "delete", "-f", str(TOUR / file))


async def pod_named(client: Client, name: str) -> Pod:
    async def is_ready() -> bool:
        return any(one.metadata.name == name for one in await ready_pods(client))

    await until(f"pod {name} Ready", is_ready)
    return await client.get(Pod, name, "default")


@pytest.mark.parametrize("applied", ["1-stress.yaml"], indirect=True)
async def test_two_stress_workers_share_the_one_core_that_their_pod_may_use(
    cluster: Cluster, client: Client, kubeconfig: Path, applied: str
) -> None:
    pod = await pod_named(client, "stress")
    node = pod.spec.node_name
    ids = ["docker", "ps", "-q", "--filter", "label=cubernetes.io/container=stress"]
    container = (await cluster.run(node, ids)).stdout.split()[0]

    async def cores() -> float:
        """Return what its kubelet has measured of the last seconds."""
        path = f"/api/v1/nodes/{node}/proxy/stats/summary"
        told = json.loads(cubectl(kubeconfig, "get", "--raw", path))["pods"]
        own = [one for one in told if one["podRef"]["uid"] == pod.metadata.uid]
        used = (each["cpu"].get("usageNanoCores", 0) for one in own for each in one["containers"])
        return float(sum(used)) / 1e9

    await until("its workers are busy", cores)
    # How much of the core it gets depends on who else is busy: the bound itself is looked at too.
    assert await cores() <= 1.5
    bounds = await bounds_of(cluster, node, await process_of(cluster, node, container))
    assert bounds.cores == 1.0


@pytest.mark.parametrize("applied", ["2-two-containers.yaml"], indirect=True)
async def test_two_containers_talk_over_localhost_share_a_folder_and_have_ports_of_their_node(
    cluster: Cluster, client: Client, kubeconfig: Path, applied: str
) -> None:
    pod = await pod_named(client, "together")

    async def has_written() -> bool:
        logs = cubectl(kubeconfig, "logs", "together", "-c", "writer", "--tail", "5")
        return "from-the-writer" in logs

    await until("the writer has heard from the web server", has_written)
    address = cluster.lab.node(pod.spec.node_name).address
    for node in cluster.names:
        for port in (18080, 18081):

            async def answers(node: str = node, port: int = port) -> bool:
                return "together" in await cluster.curl(node, f"http://{address}:{port}/")

            await until(f"{address}:{port} from {node}", answers)


@pytest.mark.parametrize("applied", ["4-two-kinds-of-pods.yaml"], indirect=True)
async def test_one_service_leads_to_different_pods_by_the_name_of_their_port(
    cluster: Cluster, client: Client, applied: str
) -> None:
    for name in ("red", "blue"):
        await pod_named(client, name)
    service = await client.get(Service, "colours", "default")
    url = f"http://{service.spec.cluster_ip}/"

    async def both() -> bool:
        return set(await cluster.answers("n2", url, 20)) == {"red", "blue"}

    await until("red and blue answer", both)


@pytest.mark.parametrize("applied", ["5-self-killing.yaml"], indirect=True)
async def test_a_server_that_kills_itself_is_restarted_in_place_with_its_end_on_record(
    client: Client, applied: str
) -> None:
    async def both_serve() -> bool:
        return len(await ready_addresses(client, "mortal")) == 2

    await until("both serve", both_serve)
    before = {one.metadata.uid for one in await ready_pods(client, "app=mortal")}

    async def have_restarted() -> bool:
        pods = (await client.list(Pod, "default", labels="app=mortal")).items
        statuses = [one for pod in pods for one in pod.status.container_statuses]
        ends = [one.last_state.terminated for one in statuses]
        return all(end is not None and end.exit_code == 1 for end in ends) and len(ends) == 2

    await until("both have ended with 1 and run again", have_restarted)
    await until("both serve again", both_serve)
    assert {one.metadata.uid for one in await ready_pods(client, "app=mortal")} == before


@pytest.mark.parametrize("applied", ["6-gpu-only.yaml"], indirect=True)
async def test_pods_that_ask_for_a_gpu_wait_with_the_reason_until_a_node_has_one(
    client: Client, applied: str
) -> None:
    async def said() -> str:
        pods = (await client.list(Pod, "default", labels="app=gpu-only")).items
        told = [condition_of(one.status.conditions, "PodScheduled") for one in pods]
        return told[0].message if told and told[0] is not None else ""

    message = ""

    async def is_told() -> bool:
        nonlocal message
        message = await said()
        return bool(message)

    await until("the scheduler says why", is_told)
    assert all(name in message for name in ("n1", "n2", "n3", "gpu"))
    await client.patch(Node, "n3", "", {"metadata": {"labels": {"gpu": "true"}}})
    try:

        async def all_there() -> bool:
            nodes = [one.spec.node_name for one in await ready_pods(client, "app=gpu-only")]
            return nodes == ["n3", "n3"]

        await until("both pods on the node with the label", all_there)
    finally:
        await client.patch(Node, "n3", "", {"metadata": {"labels": {"gpu": None}}})
