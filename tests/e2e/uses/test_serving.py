"""Service calls keep being answered, whatever ends and comes back meanwhile."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import Object
from cubernetes.client.rest import Client
from tests.e2e.cluster import (
    CALL_S,
    CUBEROOT,
    Cluster,
    ready_addresses,
    ready_nodes,
    ready_pods,
    steady_calls,
    until,
)

pytestmark = [pytest.mark.lab]


def web(name: str, replicas: int) -> tuple[ReplicaSet, Service]:
    labels = {"app": name}
    container = {
        "name": "web",
        "image": "cubernetes/web:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
    }
    replicaset = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    return codec.from_tree(ReplicaSet, replicaset).model, codec.from_tree(Service, service).model


async def created(client: Client, name: str, replicas: int) -> str:
    """Make a ReplicaSet and its Service, wait until all serve; return the cluster IP."""
    replicaset, service = web(name, replicas)
    await client.create(replicaset)
    address = (await client.create(service)).spec.cluster_ip

    async def all_serve() -> bool:
        return len(await ready_addresses(client, name)) == replicas

    await until(f"{replicas} pods of {name} behind their service", all_serve)
    return address


async def removed(client: Client, name: str) -> None:
    for kind in (Service, ReplicaSet):
        await client.delete(kind, name, "default")

    async def none_left() -> bool:
        return not (await client.list(Pod, "default", labels=f"app={name}")).items

    await until(f"the pods of {name} gone", none_left)


@pytest.fixture
async def served(cluster: Cluster, client: Client) -> AsyncIterator[str]:
    """Three pods behind a service, called web; its cluster IP."""
    address = await created(client, "web", 3)
    for node in cluster.names:

        async def is_live(node: str = node) -> str:
            return await cluster.curl(node, f"http://{address}/")

        await until(f"the service answers on {node}", is_live)
    yield address
    await removed(client, "web")


async def test_every_node_reaches_every_pod_of_a_service(
    cluster: Cluster, client: Client, served: str
) -> None:
    pods = {one.metadata.name for one in await ready_pods(client, "app=web")}
    nodes = {one.spec.node_name for one in await ready_pods(client, "app=web")}
    assert nodes == set(cluster.names)  # round robin: one each
    for node in cluster.names:
        answers = await cluster.answers(node, f"http://{served}/", 60)
        assert set(answers) == pods, f"from {node}"


async def test_a_pod_reaches_the_service_and_itself_through_it(
    cluster: Cluster, client: Client, served: str
) -> None:
    for pod in await ready_pods(client, "app=web"):
        argv = ["docker", "ps", "-q", "--filter", f"label=cubernetes.io/pod-uid={pod.metadata.uid}"]
        ids = (await cluster.run(pod.spec.node_name, argv)).stdout.split()
        inspect = ["docker", "inspect", "-f", "{{.State.Pid}}", ids[0]]
        pid = (await cluster.run(pod.spec.node_name, inspect)).stdout.strip()
        # That one of three is never chosen happens once in 10**10 runs.
        loop = f"for i in $(seq 60); do curl -s -m {CALL_S} http://{served}/ || echo; done"
        argv = ["nsenter", "-t", pid, "--net", "sh", "-c", loop]
        lines = (await cluster.run(pod.spec.node_name, argv)).stdout.splitlines()
        names = {(line.split() or [""])[0] for line in lines}
        assert "" not in names
        assert pod.metadata.name in names  # hairpin
        assert len(names) == 3


async def test_w13_w15_a_deleted_pod_is_replaced_and_the_service_follows(
    cluster: Cluster, client: Client, served: str
) -> None:
    gone = (await ready_pods(client, "app=web"))[0]
    await client.delete(Pod, gone.metadata.name, "default")

    async def is_replaced() -> bool:
        addresses = await ready_addresses(client, "web")
        return len(addresses) == 3 and gone.status.pod_ip not in addresses

    await until("three pods again, without the deleted one", is_replaced)
    pods = {one.metadata.name for one in await ready_pods(client, "app=web")}

    async def follows() -> bool:
        return set(await cluster.answers("n2", f"http://{served}/", 30)) == pods

    await until("the service leads to the three", follows)


@pytest.mark.parametrize(
    "programs",
    [("etcd",), ("apiserver",), ("scheduler", "controllers"), ("kubelet", "proxy")],
    ids=" and ".join,
)
async def test_w9_calls_are_answered_while_a_program_is_killed_and_comes_back(
    cluster: Cluster, client: Client, served: str, programs: tuple[str, ...]
) -> None:
    """What waits for the leases of the dead waits for both at once."""
    before = await containers_of(cluster)
    async with steady_calls(cluster, "n2", f"http://{served}/") as calls:
        for node in cluster.names if "kubelet" in programs else ("n1",):
            old = await cluster.kill(node, *programs)

            async def are_back(node: str = node, old: dict[str, int] = old) -> bool:
                return await are_anew(cluster, node, old)

            await until(f"{programs} on {node} again", are_back)
        await until("all nodes ready", lambda: all_ready(cluster, client))
        # A change goes through: what was killed works again, not only runs.
        await created(client, "probe", 3)
        await removed(client, "probe")

    assert calls.failed_count == 0
    assert before <= await containers_of(cluster)


async def are_anew(cluster: Cluster, node: str, old: dict[str, int]) -> bool:
    """True where every program of these pids runs with another one."""
    now = await cluster.pids_of(node, *old)
    return all(now[program] not in (0, pid) for program, pid in old.items())


async def all_ready(cluster: Cluster, client: Client) -> bool:
    try:
        return len(await ready_nodes(client)) == len(cluster.names)
    except Exception:  # noqa: BLE001  the API itself may be what is coming back
        return False


async def all_heard(cluster: Cluster, client: Client, since: datetime) -> bool:
    """True where all nodes are ready by what their kubelets said since then, and route again.

    What a Node's status says may be of the life before: it stands until its kubelet says more.
    """
    if not await all_ready(cluster, client):
        return False
    renewed_at = {
        one.metadata.name: one.spec.renew_time
        for one in (await client.list(Lease, NODE_LEASE_NAMESPACE)).items
    }
    times = [renewed_at.get(name) for name in cluster.names]
    if not all(at is not None and at > since for at in times):
        return False
    pids = [await cluster.pids_of(name, "kubelet", "proxy") for name in cluster.names]
    return all(pid for each in pids for pid in each.values())


async def containers_of(cluster: Cluster) -> set[str]:
    """Return the ids of all containers that run on the nodes, sandboxes included."""
    ids: set[str] = set()
    for node in cluster.names:
        ids |= set((await cluster.run(node, ["docker", "ps", "-q", "--no-trunc"])).stdout.split())
    return ids


async def test_docker_may_die_and_come_back_and_no_container_notices(
    cluster: Cluster, client: Client, served: str
) -> None:
    before = await containers_of(cluster)
    async with steady_calls(cluster, "n1", f"http://{served}/") as calls:
        pid = (await cluster.run("n2", ["cat", "/var/run/docker.pid"])).stdout.strip()
        await cluster.run("n2", ["kill", "-9", pid])

        async def answers() -> bool:
            return (await cluster.run("n2", ["docker", "version"], check=False)).code == 0

        await until("Docker on n2 again", answers)
        await until("all nodes ready", lambda: all_ready(cluster, client))

    assert await containers_of(cluster) == before
    assert calls.failed_count == 0
    restarts = [
        status.restart_count
        for pod in await ready_pods(client, "app=web")
        for status in pod.status.container_statuses
    ]
    assert restarts == [0, 0, 0]


async def test_pods_serve_while_the_control_plane_is_stopped_and_all_is_as_before_when_it_starts(
    cluster: Cluster, client: Client, served: str
) -> None:
    before = await containers_of(cluster)
    uids = {one.metadata.uid for one in await ready_pods(client, "app=web")}
    async with steady_calls(cluster, "n3", f"http://{served}/") as calls:
        await cluster.run("n1", [*CUBEROOT, "stop"])
        for node in cluster.names:
            answers = await cluster.answers(node, f"http://{served}/", 30)
            assert "" not in answers, f"from {node}"
        since = datetime.now(UTC)
        await cluster.run("n1", [*CUBEROOT, "start"])
        await until("all nodes ready", lambda: all_heard(cluster, client, since), 90)

    assert calls.failed_count == 0
    assert await containers_of(cluster) == before
    assert {one.metadata.uid for one in await ready_pods(client, "app=web")} == uids


async def test_a_kubelet_that_starts_again_with_ten_pods_restarts_no_container(
    cluster: Cluster, client: Client
) -> None:
    await created(client, "ten", 10)
    before = await containers_of(cluster)
    for node in cluster.names:
        await cluster.kill(node, "kubelet")
    await until("all nodes ready", lambda: all_ready(cluster, client))
    for name in ("one", "two"):  # it works on what is new before we look
        await created(client, name, 1)

    assert before <= await containers_of(cluster)
    pods = await ready_pods(client, "app=ten")
    assert [status.restart_count for pod in pods for status in pod.status.container_statuses] == (
        [0] * 10
    )
    for name in ("ten", "one", "two"):
        await removed(client, name)


async def test_w14_a_node_that_loses_power_leaves_the_service_and_its_pods_are_made_elsewhere(
    cluster: Cluster, client: Client, served: str
) -> None:
    lost = next(
        one.status.pod_ip
        for one in await ready_pods(client, "app=web")
        if one.spec.node_name == "n3"
    )
    await cluster.lab.power("n3", "cut")
    try:

        async def is_out() -> bool:
            return lost not in await ready_addresses(client, "web")

        spent_s = await until("the dead node's pod out of the service", is_out)
        print(f"endpoint of a dead node gone after {spent_s:.1f} s")  # noqa: T201  a figure

        async def all_answer() -> bool:
            return "" not in await cluster.answers("n1", f"http://{served}/", 20)

        await until("every call answered", all_answer)

        async def is_replaced() -> bool:
            return len(await ready_addresses(client, "web")) == 3

        await until("its pod made elsewhere", is_replaced)
    finally:
        since = datetime.now(UTC)
        await cluster.lab.power("n3", "on")
        await until("all nodes ready", lambda: all_heard(cluster, client, since), 90)
    argv = ["docker", "ps", "-q", "--filter", "label=cubernetes.io/pod-uid"]

    async def is_clean() -> bool:
        return not (await cluster.run("n3", argv)).stdout.split()

    await until("nothing of its old life runs on n3", is_clean)


async def test_events_are_recorded_and_logs_are_read_through_the_api_server(
    client: Client, served: str
) -> None:
    pod = (await ready_pods(client, "app=web"))[0]

    async def lines() -> bytes:
        text = b""
        async for piece in client.log(pod.metadata.name, "default"):
            text += piece
        return text

    async def has_lines() -> bool:
        return bool((await lines()).strip())

    await until("the pod has logged", has_lines)


async def test_reading_an_object_that_is_not_there_is_told_as_such(client: Client) -> None:
    for kind, name in ((Pod, "absent"), (Node, "absent")):
        typed: type[Object] = kind
        with pytest.raises(NotFound, match="absent"):
            await client.get(typed, name, "default" if kind is Pod else "")


async def test_a_node_that_reboots_while_the_control_plane_is_stopped_serves_again(
    cluster: Cluster, client: Client, served: str
) -> None:
    here = next(one for one in await ready_pods(client, "app=web") if one.spec.node_name == "n2")
    kept = ["grep", "-q", f"{served}/32", "/var/lib/cubernetes/proxy.checkpoint"]

    async def is_kept() -> bool:
        return (await cluster.run("n2", kept, check=False)).code == 0

    await until("n2 has kept its service rules", is_kept)
    await cluster.run("n1", [*CUBEROOT, "stop"])
    try:
        await cluster.lab.power("n2", "cut")
        await cluster.lab.power("n2", "on")

        async def serves() -> bool:
            answers = await cluster.answers("n2", f"http://{served}/", 10)
            return len(answers) == 3 and "" not in answers

        spent_s = await until("n2 serves without a control plane", serves)
        print(f"a rebooted node serves without a control plane after {spent_s:.1f} s")  # noqa: T201
    finally:
        since = datetime.now(UTC)
        await cluster.run("n1", [*CUBEROOT, "start"])
        await until("all nodes ready", lambda: all_heard(cluster, client, since), 90)
    pods = {one.metadata.uid for one in await ready_pods(client, "app=web")}
    assert here.metadata.uid in pods
