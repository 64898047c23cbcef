"""The pod network on real nodes: damage is mended while pods live, attacks stay on their wire."""

import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest

from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from kubelet.network.namespace import inside
from kubelet.network.overlay import host_end, node_mac
from tests.contract.network.packets import Ear, send_raw, send_udp, udp, wrapped
from tests.e2e.cluster import Cluster, ready_addresses, ready_pods, until
from tests.e2e.pods import containers_of, process_of
from tests.e2e.uses.test_serving import created, removed

pytestmark = [pytest.mark.lab]

NAME, COUNT = "wired", 6  # two on each of three nodes
# How long is listened for what must not come, and for what must.
QUIET_S, HEARD_S = 2.0, 60.0
CAP_NET_RAW = 13


@pytest.fixture
async def pods(cluster: Cluster, client: Client) -> AsyncIterator[dict[str, Pod]]:
    """A service whose pods are on every node; one pod of each node, by the node's name."""
    await created(client, NAME, COUNT)
    yield {one.spec.node_name: one for one in await ready_pods(client, f"app={NAME}")}
    await removed(client, NAME)


async def until_reached(cluster: Cluster, node: str, pod: Pod) -> None:
    async def is_reached() -> bool:
        return bool(await cluster.curl(node, f"http://{pod.status.pod_ip}:8080/", limit_s=1.0))

    await until(f"{pod.metadata.name} answers to {node}", is_reached)


async def told(client: Client, name: str, reason: str) -> bool:
    events = (await client.list(Event)).items
    return any((one.involved_object.name, one.reason) == (name, reason) for one in events)


ADDRESS = "$(ip -o -4 addr show dev eth0 | awk '{print $4}')"
TAKE_AND_GIVE = (
    f"a={ADDRESS}; g=$(ip route show default | awk '{{print $3}}'); ip addr del $a dev eth0;"
    "sleep 1; ip addr add $a dev eth0; ip route replace default via $g"
)
DAMAGES = {
    "the node's address taken and given again": TAKE_AND_GIVE,
    "every route of ours flushed": "ip route flush proto 203",
    "the pod's interface deleted": "ip link del WIRE",
    "the overlay's device deleted": "ip link del cube-vxlan",
    "forwarding switched off": "sysctl -qw net.ipv4.ip_forward=0",
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_mended_while_pods_live_and_told(
    cluster: Cluster, client: Client, pods: dict[str, Pod], what: str
) -> None:
    pod = pods["n2"]
    await until_reached(cluster, "n1", pod)
    script = DAMAGES[what].replace("WIRE", host_end(pod.metadata.uid))
    await cluster.run("n2", ["sh", "-c", script])
    await until_reached(cluster, "n1", pod)

    async def is_told() -> bool:
        about = (pod.metadata.name, "n2")
        return any([await told(client, name, "NetworkMended") for name in about])

    await until("an event tells of it", is_told)
    after = await client.get(Pod, pod.metadata.name, "default")
    assert after.metadata.uid == pod.metadata.uid
    assert [one.restart_count for one in after.status.container_statuses] == [0]


async def test_what_happened_while_the_kubelet_was_away_is_mended(
    cluster: Cluster, pods: dict[str, Pod]
) -> None:
    pod = pods["n2"]
    wire = host_end(pod.metadata.uid)
    await cluster.run("n2", ["sh", "-c", f"ip link del {wire}; ip route flush proto 203"])
    await cluster.kill("n2", "kubelet")

    await until_reached(cluster, "n1", pod)


async def test_a_pod_that_cannot_be_mended_leaves_the_endpoints(
    cluster: Cluster, client: Client, pods: dict[str, Pod]
) -> None:
    pod = pods["n2"]
    pid = await pid_of(cluster, pod)
    # A loopback device can be renamed, and never removed: no other device gets this name.
    spoil = f"nsenter -t {pid} -n sh -c 'ip link set lo down; ip link set lo name eth0'"
    wire, kubelet = host_end(pod.metadata.uid), await cluster.pid_of("n2", "kubelet")
    # The kubelet would mend the one before the other is done.
    script = f"kill -STOP {kubelet}; ip link del {wire}; {spoil}; kill -CONT {kubelet}"
    await cluster.run("n2", ["sh", "-c", script])

    async def is_out() -> bool:
        return pod.status.pod_ip not in await ready_addresses(client, NAME)

    await until("the pod is out of its service", is_out)

    async def is_told() -> bool:
        return await told(client, pod.metadata.name, "NetworkNotMended")

    await until("an event tells why", is_told)


async def pid_of(cluster: Cluster, pod: Pod) -> int:
    (container,) = await containers_of(cluster, pod, "web")
    return await process_of(cluster, pod.spec.node_name, container)


def on_node(cluster: Cluster, node: str) -> str:
    """Return the path of a node's network namespace, for this machine's root."""
    return f"/proc/{cluster.lab.node(node).pid}/ns/net"


async def in_pod(cluster: Cluster, pod: Pod) -> str:
    """Return the path of a pod's network namespace: by its node's own view of its processes."""
    node = cluster.lab.node(pod.spec.node_name)
    return f"/proc/{node.pid}/root/proc/{await pid_of(cluster, pod)}/ns/net"


async def range_of(client: Client, node: str) -> IPv4Network:
    return IPv4Network((await client.get(Node, node)).spec.pod_cidr)


def hears(path: str, attack: Callable[[bytes], None], listens_s: float = QUIET_S) -> bool:
    """Make an attack some times; tell whether any of it was heard at path."""
    with closing(Ear(path)) as ear:
        for _ in range(3):
            attack(b"attack")
        return ear.hears(b"attack", listens_s)


async def test_only_known_nodes_send_by_the_overlays_port(
    cluster: Cluster, client: Client, pods: dict[str, Pod], stranger: str
) -> None:
    target = pods["n1"]
    here = IPv4Address(target.status.pod_ip)
    node = IPv4Address(str(cluster.lab.node("n1").address))
    mac, theirs = node_mac(await range_of(client, "n1")), await range_of(client, "n2")

    def inject(path: str) -> Callable[[bytes], None]:
        return lambda payload: send_udp(
            path, wrapped(mac, udp(theirs[77], here, 7001, payload)), node
        )

    path = await in_pod(cluster, target)
    # What a known node sends arrives, or the rest would show nothing.
    assert hears(path, inject(on_node(cluster, "n2")), HEARD_S)
    assert not hears(path, inject(stranger))
    assert not hears(path, inject(await in_pod(cluster, pods["n2"])))
    here_too = [
        one for one in await ready_pods(client, f"app={NAME}") if one.spec.node_name == "n1"
    ]
    neighbour = next(one for one in here_too if one.metadata.name != target.metadata.name)
    assert not hears(path, inject(await in_pod(cluster, neighbour)))


async def test_no_pod_speaks_as_another_or_as_a_node(
    cluster: Cluster, client: Client, pods: dict[str, Pod]
) -> None:
    target, speaker = pods["n1"], pods["n2"]
    here, own = IPv4Address(target.status.pod_ip), IPv4Address(speaker.status.pod_ip)
    mouth = await in_pod(cluster, speaker)

    def speak_as(claimed: IPv4Address) -> Callable[[bytes], None]:
        return lambda payload: send_raw(mouth, udp(claimed, here, 7001, payload), here)

    path = await in_pod(cluster, target)
    assert hears(path, speak_as(own), HEARD_S)
    node = IPv4Address(str(cluster.lab.node("n2").address))
    for claimed in ((await range_of(client, "n2"))[77], (await range_of(client, "n1"))[77], node):
        assert not hears(path, speak_as(claimed)), claimed


async def test_no_container_may_send_packets_by_hand(
    cluster: Cluster, pods: dict[str, Pod]
) -> None:
    pid = await pid_of(cluster, pods["n1"])
    said = (await cluster.run("n1", ["grep", "CapBnd", f"/proc/{pid}/status"])).stdout
    assert not int(said.split()[1], 16) & 1 << CAP_NET_RAW


@pytest.mark.parametrize("node", ["n1", "n2"])
async def test_pods_do_not_reach_the_ports_of_the_nodes_programs(
    cluster: Cluster, pods: dict[str, Pod], node: str
) -> None:
    address = str(cluster.lab.node(node).address)
    path = await in_pod(cluster, pods["n1"])
    assert connects(path, str(cluster.lab.node("n1").address), 6443, HEARD_S)
    assert not connects(path, address, 10250)
    assert connects(on_node(cluster, "n1"), address, 10250, HEARD_S)


def connects(path: str, address: str, port: int, waits_s: float = QUIET_S) -> bool:
    with inside(path):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with closing(caller):
        caller.settimeout(waits_s)
        return caller.connect_ex((address, port)) == 0


@pytest.fixture
def stranger(cluster: Cluster) -> Iterator[str]:
    """A machine on the nodes' network that is no node: the path of its network namespace."""
    topology = cluster.lab.node("n1").site.topology
    name = f"{topology.switch}-stranger"
    lines = (
        f"netns add {name}",
        f"-n {topology.switch} link add stranger type veth peer name eth0 netns {name}",
        f"-n {topology.switch} link set stranger master br0 up",
        f"-n {name} addr add {topology.subnets[0][99]}/24 dev eth0",
        f"-n {name} link set eth0 up",
    )
    try:
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True, capture_output=True, timeout=60)
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, capture_output=True, timeout=60)
