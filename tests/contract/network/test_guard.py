"""What pods and strangers may send, against the kernel, with both kinds of iptables.

Each attack is made twice: without the rules it arrives, or the test would show nothing; with them
it does not.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest

from cubernetes.host.packetfilter.iptables import Iptables, Tools
from kubelet.network import guard
from kubelet.network.namespace import inside
from kubelet.network.overlay import PORT, host_end, node_mac
from tests.contract.network.packets import Ear, send_raw, send_udp, udp, wrapped
from tests.contract.network.test_network import two_nodes
from tests.contract.network.wires import Inside, reason_to_skip
from tests.contract.network.worlds import NODES, RANGES, RealWorld, peer

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]

HEARD_S, UNHEARD_S = 5.0, 0.5
STRANGER = IPv4Address("192.0.2.66")
OTHERS = IPv4Address("10.244.2.99")  # a pod's address that nobody has
BOUNDS = guard.Bounds(IPv4Network("10.244.0.0/16"), (PORT,), (2379, 2380, 10250))
MASQUERADE = "-t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE"


class Scene(NamedTuple):
    """Nodes a and b; on a the pods left and other, on b the pod right. tools: one iptables."""

    world: RealWorld
    tools: Tools
    left: str
    other: str
    right: str
    here: IPv4Address
    there: IPv4Address

    def path(self, node: str) -> str:
        return f"/run/netns/{self.world.node(node)}"

    async def guarded(self) -> None:
        """Put the rules on both nodes."""
        for node, others in (("a", "b"), ("b", "a")):
            commands = Inside(self.world.node(node))
            kept = Iptables(commands, self.tools, guard.OWNER)
            wanted = guard.rules_for(BOUNDS, [peer(others)])
            await kept.check(wanted)
            assert not (await kept.check(wanted)).is_written

    def iptables(self, node: str, words: str) -> None:
        program = self.tools.save.removesuffix("-save")
        self.world.does(self.world.node(node), f"{program} {words}")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealWorld]:
    made = RealWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
async def scene(real: RealWorld, tools: Tools) -> Scene:
    a, b = await two_nodes(real)
    left, other, right = (real.pod(name) for name in ("left", "other", "right"))
    await a.attach("left", left)
    here, there = await a.attach("other", other), await b.attach("right", right)
    real.does(real.node("b"), f"ip addr add {STRANGER}/24 dev eth0")
    return Scene(real, tools, left, other, right, here, there)


async def must_be_stopped(scene: Scene, ear_at: str, attack: Callable[[bytes], None]) -> None:
    """Make an attack without the rules and with them."""
    with closing(Ear(ear_at)) as ear:
        attack(b"before")
        assert ear.hears(b"before", HEARD_S), "the attack does not work where nothing forbids it"
        await scene.guarded()
        attack(b"after")
        assert not ear.hears(b"after", UNHEARD_S)


async def test_what_is_meant_to_pass_does(scene: Scene) -> None:
    await scene.guarded()
    assert scene.world.reaches(scene.left, scene.there)
    assert scene.world.reaches(scene.left, scene.here)
    with closing(Ear(scene.right)) as ear:
        send_udp(scene.path("a"), b"node to pod", scene.there, port=7001)
        assert ear.hears(b"node to pod", HEARD_S)


async def test_a_stranger_injects_nothing_by_the_overlays_port(scene: Scene) -> None:
    def attack(payload: bytes) -> None:
        inner = wrapped(node_mac(RANGES["a"]), udp(OTHERS, scene.here, 7001, payload))
        send_udp(scene.path("b"), inner, NODES["a"], source=str(STRANGER))

    await must_be_stopped(scene, scene.other, attack)


async def test_a_known_node_still_sends_by_it(scene: Scene) -> None:
    await scene.guarded()
    inner = wrapped(node_mac(RANGES["a"]), udp(OTHERS, scene.here, 7001, b"known"))
    with closing(Ear(scene.other)) as ear:
        send_udp(scene.path("b"), inner, NODES["a"], source=str(NODES["b"]))
        assert ear.hears(b"known", HEARD_S)


async def test_a_pod_wraps_nothing_for_its_own_node(scene: Scene) -> None:
    def attack(payload: bytes) -> None:
        inner = wrapped(node_mac(RANGES["a"]), udp(OTHERS, scene.here, 7001, payload))
        send_udp(scene.left, inner, NODES["a"])

    await must_be_stopped(scene, scene.other, attack)


async def test_a_pod_wraps_nothing_for_another_node_in_the_name_of_its_own(scene: Scene) -> None:
    scene.iptables("a", MASQUERADE)

    def attack(payload: bytes) -> None:
        inner = wrapped(node_mac(RANGES["b"]), udp(scene.here, scene.there, 7001, payload))
        send_udp(scene.left, inner, NODES["b"])

    await must_be_stopped(scene, scene.right, attack)


async def test_a_pod_wraps_nothing_for_a_node_by_its_overlay_address(scene: Scene) -> None:
    def attack(payload: bytes) -> None:
        inner = wrapped(node_mac(RANGES["b"]), udp(scene.here, scene.there, 7001, payload))
        send_udp(scene.left, inner, RANGES["b"].network_address)

    await must_be_stopped(scene, scene.right, attack)


@pytest.mark.parametrize("claimed", [NODES["a"], OTHERS, IPv4Address("203.0.113.9")])
async def test_a_pod_speaks_as_nobody_else_even_where_its_wire_is_not_strict(
    scene: Scene, claimed: IPv4Address
) -> None:
    wire = f"net.ipv4.conf.{host_end('left')}"
    for setting in (f"{wire}.rp_filter=0", f"{wire}.accept_local=1"):
        scene.world.does(scene.world.node("a"), f"sysctl -qw {setting}")

    def attack(payload: bytes) -> None:
        send_raw(scene.left, udp(claimed, scene.here, 7001, payload), scene.here)

    await must_be_stopped(scene, scene.other, attack)


async def test_a_stranger_speaks_as_no_pod(scene: Scene) -> None:
    for node in NODES:
        scene.world.does(scene.world.node(node), "sysctl -qw net.ipv4.conf.all.rp_filter=0")
    claimed = IPv4Address("10.244.77.7")  # of the cluster, of no node yet
    scene.world.does(scene.world.node("b"), f"ip route add {scene.here}/32 via {NODES['a']}")

    def attack(payload: bytes) -> None:
        send_raw(scene.path("b"), udp(claimed, scene.here, 7001, payload), scene.here)

    await must_be_stopped(scene, scene.other, attack)


def connects(path: str, to: IPv4Address, port: int, limit_s: float) -> bool:
    with inside(path):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with closing(caller):
        caller.settimeout(limit_s)
        return caller.connect_ex((str(to), port)) == 0


@pytest.mark.parametrize("node", ["a", "b"])
async def test_pods_reach_the_nodes_ports_but_those_of_its_own_programs(
    scene: Scene, node: str
) -> None:
    scene.iptables("a", MASQUERADE)
    with inside(scene.path(node)):
        servers = [socket.create_server(("0.0.0.0", port)) for port in (10250, 6443)]
    try:
        assert connects(scene.left, NODES[node], 10250, HEARD_S)
        await scene.guarded()
        assert not connects(scene.left, NODES[node], 10250, UNHEARD_S)
        assert not connects(scene.left, RANGES[node].network_address, 10250, UNHEARD_S)
        assert connects(scene.left, NODES[node], 6443, HEARD_S)
        assert connects(scene.path("b"), NODES[node], 10250, HEARD_S)
    finally:
        for one in servers:
            one.close()


async def test_reset_takes_every_rule_away(scene: Scene) -> None:
    await scene.guarded()
    commands = Inside(scene.world.node("a"))
    await Iptables(commands, scene.tools, guard.OWNER).reset()

    text = (await commands.run([scene.tools.save])).stdout.decode()
    assert "CUBE-" not in text
