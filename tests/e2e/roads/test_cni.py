"""Clusters with pod networks of others, CNI plugins and Weave: made, used, broken, taken away."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.client.rest import Client
from cubernetes.host.cni.plugins import found as found_plugin
from kubelet.pod.decisions.networks import NETWORKS, STATUS
from lab.lab import Lab
from tests.contract.network.cni_worlds import FOLDERS, NEEDED, reason_without_plugins
from tests.contract.network.weave_worlds import STAND_IN
from tests.e2e.cluster import CUBEROOT, PATIENCE_S, Cluster, ready_pods, until
from tests.e2e.conftest import HOUSE, finished
from tests.e2e.pods import SLEEP, WEB, found, made_namespace, pod, shell
from tests.e2e.uses.test_serving import created

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CONFLIST = HOUSE / "examples/cni/bridge.conflist"
OVER_WEAVE = [*CUBEROOT, "init", "--network", "weave"]
INIT = [*CUBEROOT, "init", "--network", "cni", "--cni-config", str(CONFLIST)]
MISSING = "CNI plugin bridge: VERSION: is not in /opt/cni/bin or /usr/lib/cni"


def folder_of(cluster: Cluster, node: str) -> Path:
    return cluster.lab.node(node).root / "opt/cni/bin"


def give_plugins(cluster: Cluster, node: str) -> None:
    folder_of(cluster, node).mkdir(parents=True, exist_ok=True)
    for name in NEEDED:
        # In one rename: a plugin that runs cannot be written to.
        made = folder_of(cluster, node) / f".{name}"
        shutil.copy(found_plugin(name, FOLDERS), made)
        made.rename(folder_of(cluster, node) / name)


def give_router(cluster: Cluster, node: str) -> None:
    """Put the stand-in where a router is, and a kernel of which every device can be had."""
    folder = cluster.lab.node(node).root / "usr/local/bin"
    for name, line in {
        "weaver": f'exec {" ".join(STAND_IN)} "$@"',
        "ipset": "exit 0",
        "unshare": "exit 0",
    }.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)


async def whats_there(cluster: Cluster, node: str) -> list[str]:
    """Return the devices, routes and rules of others than us on a node, and our folder."""
    links = (await cluster.run(node, ["ip", "-br", "link"])).stdout
    rules = (await cluster.run(node, ["iptables-save"])).stdout
    state = cluster.lab.node(node).root / "var/lib/cubernetes"
    return [
        *(line.split()[0].split("@")[0] for line in links.splitlines()),
        (await cluster.run(node, ["ip", "route"])).stdout,
        *(line for line in rules.splitlines() if "weave" in line.lower()),
        *(str(path) for path in state.glob("*")),
    ]


@pytest.fixture(scope="module")
def cluster(boot_lab: Callable[[str, int], AbstractContextManager[Lab]]) -> Iterator[Cluster]:
    """Two nodes, each refused by name while it lacked the plugins."""
    if reason := reason_without_plugins():
        pytest.skip(f"no CNI plugins: {reason}")
    with boot_lab("cni", 2) as lab:
        made = Cluster(lab)
        finished(_made(made))
        yield made


async def _made(cluster: Cluster) -> None:
    refused = await cluster.run("n1", INIT, check=False)
    assert MISSING in refused.stderr
    assert not cluster.is_made()

    give_plugins(cluster, "n1")
    said = (await cluster.run("n1", INIT)).stdout
    with pytest.raises(Exception, match=MISSING):
        await cluster.join("n2", said)
    give_plugins(cluster, "n2")
    await cluster.join("n2", said)


async def until_all_answer(cluster: Cluster, url: str, pods: Sequence[Pod]) -> None:
    """Wait until on each node a service leads to each of its pods, by chance, and nowhere else."""
    names = {one.metadata.name for one in pods}
    for node in cluster.names:

        async def all_answer(node: str = node) -> bool:
            return set(await cluster.answers(node, url)) == names

        await until(f"all pods answer to {node}", all_answer)


async def test_services_pods_and_ports_of_nodes_are_reached_across_nodes(cluster: Cluster) -> None:
    async with cluster.client() as client:
        address = await created(client, "web", 4)
        pods = await ready_pods(client, "app=web")
        assert {one.spec.node_name for one in pods} == {"n1", "n2"}
        await until_all_answer(cluster, f"http://{address}/", pods)
        for one in pods:
            url = f"http://{one.status.pod_ip}:8080/"
            assert one.metadata.name in await cluster.curl("n1", url, limit_s=PATIENCE_S)

        checked = await cluster.run("n1", [*CUBEROOT, "net", "check", "--throughput"])
        whole = [one.split() for one in checked.stdout.splitlines() if one.endswith(" no")]
        assert [one[-2].isdigit() and int(one[-2]) > 0 for one in whole] == [True, True]
        rule = "INPUT -p udp --dport 8472 -j DROP"
        await cluster.run("n2", ["sh", "-c", f"iptables -I {rule}"])
        checked = await cluster.run("n1", [*CUBEROOT, "net", "check"], check=False)
        assert "UDP 8472 is dropped between the nodes by INPUT" in checked.stdout
        assert "2 of 2 ways are not whole" in checked.stderr
        await cluster.run("n2", ["sh", "-c", f"iptables -D {rule}"])

        await made_namespace(client, "zoo")
        port = {"containerPort": 8080, "hostPort": 8099}
        await client.create(
            pod("led", [{"name": "main", "image": WEB, "ports": [port]}], nodeName="n2")
        )
        node = cluster.lab.node("n2").address

        async def is_led() -> bool:
            return "led" in await cluster.curl("n1", f"http://{node}:8099/")

        await until("a port of n2 leads to its pod", is_led)


async def test_a_further_network_is_joined_by_pods_of_the_namespaces_that_it_is_open_to(
    cluster: Cluster,
) -> None:
    root = cluster.lab.node("n2").root
    (root / "etc/cni/net.d").mkdir(parents=True, exist_ok=True)
    shutil.copy(HOUSE / "examples/networks/storage.conflist", root / "etc/cni/net.d")
    (root / "etc/cubernetes/networks.json").write_text('{"open": {"storage": ["zoo"]}}')
    refusals = {
        ("stranger", "default", "storage"): "CNI network storage: is not open to namespace default",
        ("climber", "default", "zoo/storage"): "'zoo/storage': networks are files of nodes",
    }
    async with cluster.client() as client:
        for name, namespace, network in [("member", "zoo", "storage"), *refusals]:
            one = pod(name, [shell(SLEEP)], namespace=namespace, nodeName="n2")
            metadata = replaced(one.metadata, annotations={NETWORKS: network})
            await client.create(replaced(one, metadata=metadata))

        async def are_told() -> bool:
            told = [(one.involved_object.name, one.message) for one in await events(client)]
            return all(
                any(name == who and words in said for who, said in told)
                for (name, _, _), words in refusals.items()
            )

        await until("why two may not join", are_told)
        for name, namespace, _ in refusals:
            assert (await client.get(Pod, name, namespace)).status.phase == "Pending"
            await client.delete(Pod, name, namespace)

        async def has_both() -> bool:
            annotations = (await client.get(Pod, "member", "zoo")).metadata.annotations
            status = json.loads(annotations.get(STATUS, "[]"))
            return [one["interface"] for one in status] == ["eth0", "net1"]

        await until("one of the namespace has both interfaces", has_both)


async def events(client: Client) -> Sequence[Event]:
    return (await client.list(Event)).items


async def test_a_plugins_error_is_the_pods_until_it_is_mended_and_reset_leaves_no_wire(
    cluster: Cluster,
) -> None:
    bridge = folder_of(cluster, "n2") / "bridge"
    bridge.unlink()
    error = """echo '{"code": 7, "msg": "the cable is out"}'; exit 1"""
    bridge.write_text(f"#!/bin/sh\n[ $CNI_COMMAND = DEL ] || {{ {error}; }}\n")
    bridge.chmod(0o755)
    words = "CNI plugin bridge: ADD: the cable is out (code 7)"
    async with cluster.client() as client:
        await client.create(pod("stuck", [shell(SLEEP)], namespace="default", nodeName="n2"))

        async def is_told() -> bool:
            events = (await client.list(Event)).items
            one = await found(client, "stuck", "default")
            told = [status.state.waiting for status in one.status.container_statuses] if one else []
            in_status = any(each is not None and words in each.message for each in told)
            in_event = any(
                one.involved_object.name == "stuck" and words in one.message for one in events
            )
            return in_status and in_event

        await until("the plugin's words in the pod's status and in an event", is_told)
        bridge.unlink()
        give_plugins(cluster, "n2")

        async def runs() -> bool:
            one = await found(client, "stuck", "default")
            return one is not None and one.status.phase == "Running"

        await until("the pod runs once its plugin does", runs)

    await cluster.run("n2", [*CUBEROOT, "reset", "--yes"])
    links = (await cluster.run("n2", ["ip", "-br", "link"])).stdout
    routes = (await cluster.run("n2", ["ip", "route"])).stdout
    assert not [word for word in ("cni0", "veth", "cube") if word in links]
    assert "10.244." not in routes
    assert not (cluster.lab.node("n2").root / "var/lib/cubernetes").exists()


async def test_the_machines_become_a_cluster_over_weave_and_reset_leaves_nothing(
    cluster: Cluster,
) -> None:
    """The router is a stand-in, and so is the kernel's dummy device where there is none."""
    for node in reversed(cluster.names):
        await cluster.run(node, [*CUBEROOT, "reset", "--yes"])
    refused = await cluster.run("n1", OVER_WEAVE, check=False)
    assert "weaver is missing: scripts/install-weave" in refused.stderr
    assert not cluster.is_made()
    for node in cluster.names:
        give_router(cluster, node)
    before = [await whats_there(cluster, node) for node in cluster.names]

    await cluster.join("n2", (await cluster.run("n1", OVER_WEAVE)).stdout)
    async with cluster.client() as client:
        address = await created(client, "web", 4)
        pods = await ready_pods(client, "app=web")
        assert {one.spec.node_name for one in pods} == {"n1", "n2"}
        await until_all_answer(cluster, f"http://{address}/", pods)

        async def is_told() -> bool:
            return "(n2) established" in (await cluster.run("n1", [*CUBEROOT, "status"])).stdout

        await until("the router tells of its peer", is_told)

    for node in reversed(cluster.names):
        await cluster.run(node, [*CUBEROOT, "reset", "--yes"])
    assert [await whats_there(cluster, node) for node in cluster.names] == before
