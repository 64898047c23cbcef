"""Nodes that fall silent, freeze, lose power, fill up or are meddled with; and come back."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.coding import codec
from cubernetes.api.condition import is_true
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.api.storagewords import LOCAL, LOCAL_FOLDERS
from cubernetes.client.rest import Client
from tests.e2e.cluster import (
    PATIENCE_S,
    Cluster,
    ready_addresses,
    ready_nodes,
    ready_pods,
    until,
)
from tests.e2e.conftest import finished
from tests.e2e.pods import (
    BEARS_FULL_DISK,
    SLEEP,
    WEB,
    found,
    pod,
    shell,
    status_of,
    until_gone,
    until_untainted,
)
from tests.e2e.uses.test_serving import all_ready, web

pytestmark = [pytest.mark.lab]

COUNT = 6
ANCHOR_PORT = 18096
BACK_S = 90.0  # for a node, or all of them, to be as before after a power cut
OURS = ["docker", "ps", "-q", "--no-trunc", "--filter", "label=cubernetes.io/pod-uid"]
WHOSE = '{{.Label "cubernetes.io/pod-uid"}}'
# A pod with a volume on n3; each life adds a line to what the lives before it have left.
HOLDER = "holder-0"
LIVES = f"echo life >> /data/lives; sync; {SLEEP}"


@pytest.fixture(scope="module", autouse=True)
def calm(cluster: Cluster) -> Iterator[None]:
    """A ReplicaSet with its service over all nodes, a pod of n2 that nobody would replace, and on
    n3 one with a volume."""
    port = {"containerPort": 8080, "hostPort": ANCHOR_PORT}
    container = {"name": "main", "image": WEB, "ports": [port]}
    anchor = pod("anchor", [container], namespace="default", nodeName="n2")

    async def make() -> None:
        async with cluster.client() as client:
            for one in (*web("calm", COUNT), anchor, *holder()):
                await client.create(one)
            await until("everything serves", lambda: is_whole(client))
            await until("the volume is held", lambda: is_up(client, HOLDER))

    async def unmake() -> None:
        async with cluster.client() as client:
            await client.delete(ReplicaSet, "calm", "default")
            await client.delete(Service, "calm", "default")
            await client.delete(Pod, "anchor", "default")
            await client.delete(StatefulSet, "holder", "default")

            async def none_left() -> bool:
                listed = [(await client.list(kind)).items for kind in (PersistentVolume, Pod)]
                return not any(listed)

            await until("no pod and no volume is left", none_left)
            await client.delete(StorageClass, "holder")

    finished(make())
    yield
    finished(unmake())


def holder() -> tuple[Object, Object]:
    """Return a StatefulSet whose pod has a volume on n3, and the class of the volume."""
    labels = {"app": "holder"}
    container = shell(LIVES, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    template_spec = {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/hostname": "n3"},
        "containers": [container],
    }
    claim_spec = {
        "storageClassName": "holder",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
    }
    spec = {
        "replicas": 1,
        "serviceName": "holder",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": template_spec},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec}],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
    }
    wanted = {"metadata": {"name": "holder", "namespace": "default"}, "spec": spec}
    by = ObjectMeta(name="holder")
    made_by = StorageClass(
        metadata=by, provisioner=LOCAL, volume_binding_mode="WaitForFirstConsumer"
    )
    return made_by, codec.from_tree(StatefulSet, wanted).model


async def lives_of(cluster: Cluster) -> int:
    """Return how many lives the volume on n3 tells of."""
    ended = await cluster.run("n3", ["sh", "-c", f"cat {LOCAL_FOLDERS}/*/lives"], check=False)
    return ended.stdout.splitlines().count("life")


async def is_whole(client: Client) -> bool:
    """Every replica serves, and the anchor runs."""
    is_anchored = await is_up(client, "anchor")
    return is_anchored and len(await ready_addresses(client, "calm")) == COUNT


async def is_up(client: Client, name: str, *, but: str = "") -> bool:
    """Whether a pod runs, and is not the one with the uid `but`."""
    one = await found(client, name, "default")
    return one is not None and one.metadata.uid != but and status_of(one).ready


async def address_of(client: Client) -> str:
    return (await client.get(Service, "calm", "default")).spec.cluster_ip


async def on_node(client: Client, node: str) -> set[str]:
    """Return the addresses of the service's pods on a node."""
    pods = await ready_pods(client, "app=calm")
    return {one.status.pod_ip for one in pods if one.spec.node_name == node}


async def until_out(client: Client, addresses: set[str]) -> float:
    async def are_out() -> bool:
        return not addresses & await ready_addresses(client, "calm")

    return await until(f"{addresses} out of the service", are_out)


async def until_state(client: Client, node: str, *, is_ready: bool) -> float:
    async def is_so() -> bool:
        return (node in await ready_nodes(client)) is is_ready

    return await until(f"{node} {'Ready' if is_ready else 'NotReady'}", is_so)


async def until_matched(cluster: Cluster, client: Client, node: str) -> None:
    """Wait until exactly the pods that are bound to a node have containers there."""
    seen: dict[str, set[str]] = {}

    async def is_matched() -> bool:
        listed = (await client.list(Pod, fields=f"spec.nodeName={node}")).items
        seen["wanted"] = {one.metadata.uid for one in listed}
        argv = ["docker", "ps", "--format", WHOSE, "--filter", "label=cubernetes.io/pod-uid"]
        seen["running"] = set((await cluster.run(node, argv)).stdout.split())
        return seen["wanted"] == seen["running"]

    try:
        await until(f"containers on {node} are those of its pods", is_matched)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from error


async def until_serving(cluster: Cluster, client: Client, node: str) -> None:
    address = await address_of(client)

    async def all_answer() -> bool:
        answers = await cluster.answers(node, f"http://{address}/", 20)
        return "" not in answers and len(answers) > 1

    await until(f"every call from {node} answered", all_answer)


async def spread(client: Client) -> None:
    """See to it that the service has a pod on every node: the later tests begin like the first."""
    for node in ("n1", "n2", "n3"):
        if not await on_node(client, node):
            await client.scale(ReplicaSet, "calm", "default", 0)

            async def none_left() -> bool:
                return not (await client.list(Pod, "default", labels="app=calm")).items

            await until("no replicas", none_left)
            await client.scale(ReplicaSet, "calm", "default", COUNT)
            break
    await until("everything serves", lambda: is_whole(client))


async def test_a_stopped_kubelet_takes_its_node_out_of_service_and_back_without_a_restart(
    cluster: Cluster, client: Client
) -> None:
    addresses = await on_node(client, "n2")
    before = (await cluster.run("n2", OURS)).stdout.split()
    pid = await cluster.pid_of("n2", "kubelet")
    await cluster.run("n2", ["kill", "-STOP", str(pid)])
    try:
        silent_s = await until_state(client, "n2", is_ready=False)
        out_s = silent_s + await until_out(client, addresses)
        await until_serving(cluster, client, "n1")
    finally:
        await cluster.run("n2", ["kill", "-CONT", str(pid)])
    back_s = await until_state(client, "n2", is_ready=True)
    print(f"silent after {silent_s:.1f}, out {out_s:.1f}, back {back_s:.1f} s")  # noqa: T201
    await until("everything serves", lambda: is_whole(client))
    assert (await cluster.run("n2", OURS)).stdout.split() == before
    assert await on_node(client, "n2") == addresses


async def test_a_frozen_node_leaves_the_service_and_thaws_as_it_was(
    cluster: Cluster, client: Client
) -> None:
    addresses = await on_node(client, "n3")
    before = (await cluster.run("n3", OURS)).stdout.split()
    await cluster.lab.power("n3", "freeze")
    try:
        out_s = await until_out(client, addresses)
        print(f"endpoints of a frozen node out after {out_s:.1f} s")  # noqa: T201  a figure
        await until_serving(cluster, client, "n2")
    finally:
        await cluster.lab.power("n3", "thaw")
    await until_state(client, "n3", is_ready=True)
    await until("everything serves", lambda: is_whole(client))
    assert (await cluster.run("n3", OURS)).stdout.split() == before
    await until_serving(cluster, client, "n3")


async def test_w14_a_node_that_was_cut_off_comes_back_without_doubles(
    cluster: Cluster, client: Client
) -> None:
    """Only what is replaced elsewhere is deleted; who holds a volume waits for its node."""
    await client.create(pod("alone", [shell(SLEEP)], namespace="default", nodeName="n3"))
    await until("it runs", lambda: is_up(client, "alone"))
    addresses = await on_node(client, "n3")
    assert addresses
    old = {one.metadata.uid for one in await ready_pods(client, "app=calm")}
    alone, holder = [await client.get(Pod, name, "default") for name in ("alone", HOLDER)]
    lives = await lives_of(cluster)

    async def is_to_go() -> bool:
        one = await client.get(Pod, HOLDER, "default")
        return one.metadata.uid == holder.metadata.uid and one.metadata.is_deleted

    await cluster.lab.isolate("n3")
    try:
        out_s = await until_out(client, addresses)
        await until("made elsewhere", lambda: is_whole(client))
        await until("who holds a volume is to go, and is not made elsewhere", is_to_go)
        silent = await client.get(Pod, "alone", "default")
        assert not silent.metadata.is_deleted
        assert not is_true(silent.status.conditions, "Ready")
        print(f"endpoints of a cut node out after {out_s:.1f} s")  # noqa: T201  a figure
        # Cut off, its pods still run there: nobody could tell them otherwise.
    finally:
        await cluster.lab.heal()
    await until_state(client, "n3", is_ready=True)
    await until_matched(cluster, client, "n3")
    now = await ready_pods(client, "app=calm")
    assert len(now) == COUNT
    assert len({one.status.pod_ip for one in now}) == COUNT
    assert len({one.metadata.uid for one in now} & old) == COUNT - len(addresses)
    await until_serving(cluster, client, "n3")
    await until("it is there again", lambda: is_up(client, HOLDER, but=holder.metadata.uid))
    assert await lives_of(cluster) == lives + 1

    async def serves_again() -> bool:
        one = await client.get(Pod, "alone", "default")
        return is_true(one.status.conditions, "Ready")

    await until("the bare pod serves again", serves_again)
    after = await client.get(Pod, "alone", "default")
    assert after.metadata.uid == alone.metadata.uid
    assert status_of(after).container_id == status_of(alone).container_id
    assert status_of(after).restart_count == 0
    await client.delete(Pod, "alone", "default")


async def test_a_worker_that_reboots_comes_back_by_itself_and_starts_its_pods(
    cluster: Cluster, client: Client
) -> None:
    await spread(client)
    anchor = await client.get(Pod, "anchor", "default")
    restarts = status_of(anchor).restart_count
    await cluster.lab.power("n2", "reboot")

    async def is_restarted() -> bool:
        one = await found(client, "anchor", "default")
        return one is not None and status_of(one).ready and status_of(one).restart_count > restarts

    spent_s = await until("the pod of n2 runs again", is_restarted, BACK_S)
    print(f"a rebooted worker's pod runs again after {spent_s:.1f} s")  # noqa: T201  a figure
    now = await client.get(Pod, "anchor", "default")
    assert now.metadata.uid == anchor.metadata.uid
    await until("everything serves", lambda: is_whole(client))
    await until_matched(cluster, client, "n2")
    await until_serving(cluster, client, "n2")
    said = await cluster.curl("n2", f"http://{now.status.pod_ip}:8080/", limit_s=PATIENCE_S)
    assert said.startswith("anchor")


async def uids(client: Client) -> Mapping[str, str]:
    """Return the identity of every object that should outlive the machines."""
    kinds: tuple[type[Object], ...] = (Node, ReplicaSet, Service)
    return {
        f"{one.resource.kind} {one.metadata.name}": one.metadata.uid
        for kind in kinds
        for one in (await client.list(kind)).items
    }


async def test_a_worker_reboots_with_no_control_plane_and_serves_then_the_cluster_comes_back(
    cluster: Cluster, client: Client
) -> None:
    before, service = await uids(client), await address_of(client)
    anchor = f"http://{cluster.lab.node('n2').address}:{ANCHOR_PORT}/"

    async def is_kept() -> bool:
        argv = ["grep", "-q", service, "/var/lib/cubernetes/proxy.checkpoint"]
        return (await cluster.run("n2", argv, check=False)).code == 0

    await until("n2 has written down the service", is_kept)
    await cluster.lab.power("n1", "cut")
    await cluster.lab.power("n2", "reboot")

    async def serves() -> bool:
        # Of the service's pods, those of n1 are gone and those of n2 have new addresses.
        is_up = (await cluster.curl("n3", anchor)).startswith("anchor")
        return is_up and bool(await cluster.curl("n2", f"http://{service}/"))

    spent_s = await until("pods and services of n2, from what it was told last", serves)
    print(f"rebooted without a control plane, serves after {spent_s:.1f} s")  # noqa: T201  a figure
    await cluster.lab.power("n1", "on")
    async with cluster.client() as again:  # the old one read its files in a tree that is gone
        spent_s = await until("all nodes ready", lambda: all_ready(cluster, again), BACK_S)
        print(f"control plane rebooted, all Ready after {spent_s:.1f} s")  # noqa: T201  a figure
        await until("everything serves", lambda: is_whole(again))
        assert await uids(again) == before
        for node in cluster.names:
            await until_matched(cluster, again, node)
            await until_serving(cluster, again, node)


async def test_a_power_cut_of_everything_loses_nothing(cluster: Cluster, client: Client) -> None:
    before, lives = await uids(client), await lives_of(cluster)
    holder = await client.get(Pod, HOLDER, "default")
    await asyncio.gather(*(cluster.lab.power(name, "cut") for name in cluster.names))
    await asyncio.gather(*(cluster.lab.power(name, "on") for name in cluster.names))
    async with cluster.client() as again:
        spent_s = await until("all nodes ready", lambda: all_ready(cluster, again), BACK_S)
        await until("everything serves", lambda: is_whole(again), BACK_S)
        print(f"power cut of all, all Ready after {spent_s:.1f} s")  # noqa: T201  a figure
        assert await uids(again) == before

        async def is_found() -> bool:
            return await lives_of(cluster) > lives

        await until("the files on a volume are found again", is_found)
        assert (await again.get(Pod, HOLDER, "default")).metadata.uid == holder.metadata.uid
        for node in cluster.names:
            await until_matched(cluster, again, node)
            await until_serving(cluster, again, node)


async def test_rules_flushed_by_somebody_else_are_written_again(
    cluster: Cluster, client: Client
) -> None:
    port = {"containerPort": 8080, "hostPort": 18095}
    wish = pod(
        "ported",
        [{"name": "main", "image": WEB, "ports": [port]}],
        namespace="default",
        nodeName="n3",
    )
    await client.create(wish)
    service = f"http://{await address_of(client)}/"
    host_port = f"http://{cluster.lab.node('n3').address}:18095/"

    def answers(node: str, url: str) -> Callable[[], "asyncio.Future[str]"]:
        return lambda: asyncio.ensure_future(cluster.curl(node, url, limit_s=1))

    await until("the host port answers", answers("n1", host_port))
    for words in (["-F"], ["-X"]):
        # The proxy may have written its rules again already: then its chains are in use.
        await cluster.run("n3", ["iptables", "-t", "nat", *words], check=False)
    spent_s = await until("the service answers on n3 again", answers("n3", service))
    spent_s += await until("the host port answers again", answers("n1", host_port))
    print(f"flushed rules written again after {spent_s:.1f} s")  # noqa: T201  a figure
    await client.delete(Pod, "ported", "default")
    await until_gone(client, "ported", namespace="default")


async def test_a_full_disk_starts_no_pod_ends_no_pod_and_is_no_end(
    cluster: Cluster, client: Client
) -> None:
    before = (await cluster.run("n2", OURS)).stdout.split()
    kubelet = await cluster.pid_of("n2", "kubelet")
    cluster.lab.fill_disk("n2")
    try:
        bears = {"nodeName": "n2", "tolerations": BEARS_FULL_DISK}
        wish = pod("late", [shell(SLEEP)], namespace="default", **bears)
        await client.create(wish)

        async def is_told() -> bool:
            one = await client.get(Pod, "late", "default")
            waiting = status_of(one).state.waiting
            return one.status.phase == "Running" or (
                waiting is not None and "no space left" in waiting.message.lower()
            )

        await until("the pod is told that the disk is full", is_told)
        await until("the node says so and takes no others", lambda: is_tainted(client, "n2"))
        assert "n2" in await ready_nodes(client)
        assert set(before) <= set((await cluster.run("n2", OURS)).stdout.split())
    finally:
        cluster.lab.free_disk("n2")

    async def runs() -> bool:
        return (await client.get(Pod, "late", "default")).status.phase == "Running"

    await until("the pod runs once there is room", runs, 90)
    assert (await client.get(Pod, "late", "default")).status.message == ""
    assert await cluster.pid_of("n2", "kubelet") == kubelet
    await client.delete(Pod, "late", "default")
    await until_gone(client, "late", namespace="default")
    await until_untainted(client)


async def is_tainted(client: Client, name: str) -> bool:
    taints = (await client.get(Node, name)).spec.taints
    return [one.key for one in taints] == ["node.kubernetes.io/disk-pressure"]


async def test_an_engine_that_hangs_is_told_and_costs_neither_node_nor_pods(
    cluster: Cluster, client: Client
) -> None:
    addresses = await on_node(client, "n3")
    before = (await cluster.run("n3", OURS)).stdout.split()
    pid = (await cluster.run("n3", ["cat", "/run/docker.pid"])).stdout.strip()
    await cluster.run("n3", ["kill", "-STOP", pid])
    try:

        async def is_told() -> bool:
            node = await client.get(Node, "n3")
            told = [one.message for one in node.status.conditions if one.type == "Ready"]
            return "container runtime is down" in "".join(told)

        told_s = await until("the node tells that its engine is down", is_told)
        print(f"a hanging engine is told after {told_s:.1f} s")  # noqa: T201  a figure
        # Its pods answer all the same.
        for address in sorted(addresses):
            assert await cluster.curl("n1", f"http://{address}:8080/", limit_s=PATIENCE_S)
    finally:
        await cluster.run("n3", ["kill", "-CONT", pid])
    await until_state(client, "n3", is_ready=True)
    assert (await cluster.run("n3", OURS)).stdout.split() == before
    await until("everything serves", lambda: is_whole(client))


async def test_containerd_may_die_and_no_container_notices(
    cluster: Cluster, client: Client
) -> None:
    before = (await cluster.run("n2", OURS)).stdout.split()
    kill = "kill -9 $(cat /run/docker/containerd/containerd.pid)"
    await cluster.run("n2", ["sh", "-c", kill])
    await client.create(pod("after", [shell(SLEEP)], namespace="default", nodeName="n2"))

    async def runs() -> bool:
        return (await client.get(Pod, "after", "default")).status.phase == "Running"

    spent_s = await until("a new pod runs", runs)
    print(f"containerd killed, a pod made meanwhile runs after {spent_s:.1f} s")  # noqa: T201
    assert set(before) <= set((await cluster.run("n2", OURS)).stdout.split())
    await client.delete(Pod, "after", "default")
    await until_gone(client, "after", namespace="default")
    assert await is_whole(client)
