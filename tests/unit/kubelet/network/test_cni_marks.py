"""What is told to CNI plugins and believed of them, and by which marks a pod is known as whole."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.meta import replaced
from cubernetes.host.cni.results import Result
from kubelet.files.hosts import hosts_with
from kubelet.network.cni.marks import host_end, marks_of
from kubelet.network.cni.telling import args_for, judged, runtime_for
from kubelet.network.driver import NO_WISHES, NetworkTrouble, PodWishes, PortWish
from kubelet.network.dump import Link, Space, Way
from kubelet.pod.decisions.wishes import wishes_of
from tests.given import a_container, a_pod

HERE, RANGE = IPv4Address("10.244.1.2"), IPv4Network("10.244.0.0/16")


def a_link(index: int, name: str, *, peer: int = 0, is_up: bool = True) -> Link:
    return Link(index, name, "veth", "02:00:00:00:00:01", 1450, is_up, "", peer)


NODE = Space(
    links={"veth1": a_link(7, "veth1", peer=2), "cni0": a_link(3, "cni0")},
    addresses=[],
    routes=[Way(IPv4Network("10.244.1.2/32"), 7, None, None, 0, 1, 4, 0)],
    neighbours=[],
)
POD = Space(
    links={"eth0": a_link(2, "eth0", peer=7)},
    addresses=[(2, IPv4Interface("10.244.1.2/24"))],
    routes=[Way(IPv4Network("0.0.0.0/0"), 2, IPv4Address("10.244.1.1"), None, 0, 1, 4, 0)],
    neighbours=[],
)
WHOLE = marks_of(NODE, POD, HERE, ("cni0",))


def without(space: Space, *, link: str = "", routes: bool = True) -> Space:
    links = {name: one for name, one in space.links.items() if name != link}
    return replace(space, links=links, routes=space.routes if routes else [])


def down(space: Space, name: str) -> Space:
    return replace(space, links={**space.links, name: replace(space.links[name], is_up=False)})


def test_the_nodes_end_of_a_pair_is_found_by_both_ends() -> None:
    assert host_end(NODE, POD) == "veth1"
    strange = replace(NODE, links={"veth1": a_link(7, "veth1", peer=9)})
    assert host_end(strange, POD) == ""
    assert host_end(without(NODE, link="veth1"), POD) == ""


@pytest.mark.parametrize(
    ("node", "pod", "lost"),
    [
        (without(NODE, link="veth1"), POD, "device veth1"),
        (without(NODE, link="cni0"), POD, "device cni0"),
        (down(NODE, "cni0"), POD, "device cni0 being up"),
        (without(NODE, routes=False), POD, "route 10.244.1.2/32 by veth1"),
        (NODE, without(POD, link="eth0"), "eth0 of the pod"),
        (NODE, down(POD, "eth0"), "eth0 of the pod being up"),
        (NODE, without(POD, routes=False), "route 0.0.0.0/0 by 10.244.1.1 of the pod"),
        (NODE, replace(POD, addresses=[]), "address 10.244.1.2/24 of the pod"),
    ],
)
def test_each_part_that_goes_is_missed_by_its_mark(node: Space, pod: Space, lost: str) -> None:
    assert lost in WHOLE
    assert lost in WHOLE - marks_of(node, pod, HERE, ("cni0",))


def test_what_comes_beside_the_marks_is_no_loss() -> None:
    more = replace(NODE, links={**NODE.links, "veth2": a_link(9, "veth2")})
    assert marks_of(more, POD, HERE, ("cni0",)) >= WHOLE


def answer(*addresses: str) -> Result:
    return Result({}, tuple(IPv4Interface(one) for one in addresses), ())


def test_an_answer_is_believed_where_a_pod_of_this_node_can_have_it() -> None:
    assert judged(answer("10.244.1.2/24", "10.9.9.9/24"), RANGE, {}, None) == HERE
    assert judged(answer("10.244.1.2/24"), RANGE, {"x": IPv4Address("10.244.1.3")}, HERE) == HERE


@pytest.mark.parametrize(
    ("given", "others", "asked", "words"),
    [
        ((), {}, None, "no IPv4 address"),
        (("10.1.0.1/24",), {}, None, "none of the cluster's pods"),
        (("10.244.1.3/24",), {}, HERE, "10.244.1.2 was asked for"),
        (("10.244.1.2/24",), {"other": HERE}, None, "which the pod other has"),
    ],
)
def test_any_other_answer_is_trouble(
    given: tuple[str, ...], others: dict[str, IPv4Address], asked: IPv4Address | None, words: str
) -> None:
    with pytest.raises(NetworkTrouble, match=words):
        judged(answer(*given), RANGE, others, asked)


def test_plugins_are_told_of_ports_limits_and_the_address_as_kubernetes_tells_them() -> None:
    wishes = PodWishes("shop", "web", "c1", (PortWish("", 80, "tcp", 8080),), 0, 500)
    assert runtime_for(wishes, HERE) == {
        "portMappings": [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}],
        "ips": ["10.244.1.2"],
        "bandwidth": {"egressRate": 500, "egressBurst": 2**31 - 1},
    }
    assert runtime_for(NO_WISHES, None) == {"portMappings": []}
    assert args_for("u", wishes, HERE)["IP"] == "10.244.1.2"
    assert "IP" not in args_for("u", wishes, None)


def annotated(key: str, value: str, ports: Sequence[ContainerPort] = ()) -> Pod:
    pod = a_pod("web", containers=[a_container(ports=ports)])
    return replaced(pod, metadata=replaced(pod.metadata, annotations={key: value}))


def test_a_pods_wishes_are_its_ports_of_the_node_and_its_rates() -> None:
    led = ContainerPort(container_port=80, host_port=8080, host_ip="0.0.0.0")
    ports = [led, ContainerPort(container_port=81)]
    pod = annotated("kubernetes.io/ingress-bandwidth", "10M", ports)
    found = wishes_of(pod, "c1")
    assert found.ports == (PortWish("", 8080, "tcp", 80),)
    assert (found.ingress_bits_s, found.egress_bits_s) == (10_000_000, 0)


@pytest.mark.parametrize("text", ["fast", "0", "-1M"])
def test_a_rate_that_is_none_names_its_annotation(text: str) -> None:
    pod = annotated("kubernetes.io/egress-bandwidth", text)
    with pytest.raises(NetworkTrouble, match=r"metadata.annotations\[kubernetes.io/egress"):
        wishes_of(pod, "c1")


def test_a_pods_own_names_stand_once_in_its_hosts_file() -> None:
    first = hosts_with("127.0.0.1\tlocalhost\n", "10.0.0.2", ["web.pod", "web"])
    assert first == "127.0.0.1\tlocalhost\n10.0.0.2\tweb.pod web\n"
    assert hosts_with(first, "10.0.0.2", ["web.pod", "web"]) == first
    moved = hosts_with(first, "10.0.0.3", ["web.pod", "web"])
    assert moved == "127.0.0.1\tlocalhost\n10.0.0.3\tweb.pod web\n"
