"""What is done to a node's pod network behind its back is seen and put right while pods live."""

import asyncio
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest

from kubelet.network.driver import NetworkDriver, Peer
from kubelet.network.overlay import host_end
from tests.contract.network.test_network import a_node, two_nodes, world
from tests.contract.network.worlds import (
    NODES,
    RANGES,
    RealWorld,
    World,
    peer,
    reason_to_skip,
)

__all__ = ["world"]

NEWS_DEADLINE_S = 60.0
WIRE = host_end("left")


class Scene(NamedTuple):
    """Two nodes with a pod each, left on a and right on b; `there` is where right is."""

    a: NetworkDriver
    left: str
    there: IPv4Address


async def a_scene(world: World) -> Scene:
    a, b = await two_nodes(world)
    left, right = world.pod("left"), world.pod("right")
    await a.attach("left", left)
    there = await b.attach("right", right)
    assert world.reaches(left, there)
    return Scene(a, left, there)


async def test_what_is_whole_is_not_touched(world: World) -> None:
    scene = await a_scene(world)

    assert list(await scene.a.mend()) == []
    assert list(await scene.a.mend()) == []


async def test_before_anything_is_prepared_nothing_is_damaged(world: World) -> None:
    assert list(await world.driver("a").mend()) == []


async def test_a_wire_that_was_taken_away_is_laid_again_and_told_once(world: World) -> None:
    scene = await a_scene(world)
    world.cut_wire("a", "left")
    (damage,) = await scene.a.mend()

    assert (damage.pod_uid, damage.why) == ("left", "")
    assert world.reaches(scene.left, scene.there)
    assert list(await scene.a.mend()) == []


async def test_a_pod_that_cannot_be_mended_is_told_and_keeps_nobody_from_it(world: World) -> None:
    scene = await a_scene(world)
    other = world.pod("other")
    here = await scene.a.attach("other", other)
    world.spoil_pod("a", "left", scene.left)
    world.cut_wire("a", "other")

    found = {one.pod_uid: one.why for one in await scene.a.mend()}
    assert found.keys() == {"left", "other"}
    assert found["left"]
    assert not found["other"]
    assert world.reaches(other, scene.there)
    assert here in (await scene.a.attached()).values()


async def test_a_detached_pod_is_not_mended(world: World) -> None:
    scene = await a_scene(world)
    await scene.a.detach("left")

    assert list(await scene.a.mend()) == []


async def test_news_come_of_what_others_do(world: World) -> None:
    scene = await a_scene(world)
    with scene.a.news() as came:
        came.clear()
        world.cut_wire("a", "left")
        async with asyncio.timeout(NEWS_DEADLINE_S):
            await came.wait()


# What only the kernel can show.


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealWorld]:
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    made = RealWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


ADDRESS = f"{NODES['a']}/24"
OF_NODE: dict[str, Sequence[str]] = {
    "the node's address taken and given again": (
        f"ip addr del {ADDRESS} dev eth0",
        f"ip addr add {ADDRESS} dev eth0",
    ),
    "all our routes flushed": ("ip route flush proto 203",),
    "the route to one pod": ("ip route del 10.244.1.2/32",),
    "a peer's route led astray": ("ip route replace unreachable 10.244.2.0/24",),
    "the overlay removed": ("ip link del cube-vxlan",),
    "the overlay down": ("ip link set cube-vxlan down",),
    "the overlay's address": ("ip addr flush dev cube-vxlan",),
    "the overlay made by somebody else": (
        "ip link del cube-vxlan",
        "ip link add cube-vxlan type vxlan id 7 dstport 4789 dev eth0",
    ),
    "neighbours flushed": ("ip neigh flush dev cube-vxlan nud permanent",),
    "forwarding entries led astray": (
        "bridge fdb replace 02:cb:0a:f4:02:00 dev cube-vxlan dst 192.0.2.77",
    ),
    "forwarding entries removed": ("bridge fdb del 02:cb:0a:f4:02:00 dev cube-vxlan",),
    "forwarding switched off": ("sysctl -qw net.ipv4.ip_forward=0",),
    "forwarding of the wire switched off": (f"sysctl -qw net.ipv4.conf.{WIRE}.forwarding=0",),
    "the wire down": (f"ip link set {WIRE} down",),
    "the wire removed": (f"ip link del {WIRE}",),
    "the pod's MAC on the node": (
        f"ip neigh replace 10.244.1.2 dev {WIRE} lladdr 02:00:00:00:00:01",
    ),
}
OF_POD: dict[str, Sequence[str]] = {
    "the pod's end removed": ("ip link del eth0",),
    "the pod's end down": ("ip link set eth0 down",),
    "the pod's address": ("ip addr flush dev eth0",),
    "the pod's default route": ("ip route del default",),
    "the pod's gateway": ("ip neigh flush dev eth0 nud permanent",),
    "the pod's gateway led astray": (
        "ip neigh replace 169.254.1.1 dev eth0 lladdr 02:00:00:00:00:01 nud permanent",
    ),
}


@pytest.mark.root
@pytest.mark.parametrize("what", OF_NODE)
async def test_damage_to_a_node_is_mended(real: RealWorld, what: str) -> None:
    scene = await a_scene(real)
    for command in OF_NODE[what]:
        real.does(real.node("a"), command)
    assert not real.reaches(scene.left, scene.there)

    damages = await scene.a.mend()
    assert damages
    assert [one for one in damages if one.why] == []
    assert real.reaches(scene.left, scene.there)
    assert list(await scene.a.mend()) == []


@pytest.mark.root
@pytest.mark.parametrize("what", OF_POD)
async def test_damage_within_a_pod_is_mended(real: RealWorld, what: str) -> None:
    scene = await a_scene(real)
    for command in OF_POD[what]:
        real.does(Path(scene.left).name, command)

    assert [(one.pod_uid, one.why) for one in await scene.a.mend()] == [("left", "")]
    assert real.reaches(scene.left, scene.there)
    assert list(await scene.a.mend()) == []


HARMLESS_AT_FIRST: dict[str, Sequence[str]] = {
    "a pod may speak as another": (f"sysctl -qw net.ipv4.conf.{WIRE}.rp_filter=0",),
    "a way to a stranger": ("bridge fdb append 00:00:00:00:00:00 dev cube-vxlan dst 192.0.2.66",),
    "a way to a node that left": ("ip route add 10.244.9.0/24 dev cube-vxlan proto 203",),
    "a second address within the pod's wire": ("ip addr add 10.244.1.99/32 dev cube-vxlan",),
    "free addresses of the range": ("ip route del unreachable 10.244.1.0/24",),
    "smaller packets than the cable takes": ("ip link set cube-vxlan mtu 1300",),
}


@pytest.mark.root
@pytest.mark.parametrize("what", HARMLESS_AT_FIRST)
async def test_damage_that_nobody_feels_yet_is_mended(real: RealWorld, what: str) -> None:
    scene = await a_scene(real)
    for command in HARMLESS_AT_FIRST[what]:
        real.does(real.node("a"), command)

    (damage,) = await scene.a.mend()
    assert not damage.why
    assert list(await scene.a.mend()) == []


@pytest.mark.root
async def test_a_connection_lives_through_the_loss_of_the_routes(real: RealWorld) -> None:
    scene = await a_scene(real)
    before = real.shows("a", "-o", "link", "show", WIRE)
    real.does(real.node("a"), "ip route flush proto 203")
    await scene.a.mend()

    assert real.shows("a", "-o", "link", "show", WIRE) == before


@pytest.mark.root
async def test_a_node_whose_address_is_gone_says_so_and_what_can_be_done(real: RealWorld) -> None:
    scene = await a_scene(real)
    real.does(real.node("a"), f"ip addr del {ADDRESS} dev eth0")
    real.does(real.node("a"), "ip addr add 192.0.2.99/24 dev eth0")

    found = await scene.a.mend()
    told = [one.why for one in found if not one.pod_uid]
    assert "no device has this node's address 192.0.2.1" in told[0]
    assert "192.0.2.99" in told[0]
    assert "cuberoot reset" in told[0]
    assert [one.pod_uid for one in found if one.pod_uid and one.why] == ["left"]

    real.does(real.node("a"), f"ip addr add {ADDRESS} dev eth0")
    assert [one for one in await scene.a.mend() if one.why] == []
    assert real.reaches(scene.left, scene.there)


@pytest.mark.root
async def test_a_node_follows_its_address_within_its_network_while_its_pods_live(
    real: RealWorld,
) -> None:
    real.within = IPv4Network("192.0.2.0/24")
    b, left = await a_node(real, "b"), real.pod("left")
    a = await a_node(real, "a")
    await b.reconcile_peers([peer("a")])
    await a.attach("left", left)
    there = await b.attach("right", real.pod("right"))
    moved = IPv4Address("192.0.2.77")
    real.does(real.node("b"), "ip addr del 192.0.2.2/24 dev eth0")
    (damage, *_) = await b.mend()
    assert "nor another of 192.0.2.0/24" in damage.why
    # Neither a lent address nor one of another network is the node's.
    real.does(real.node("b"), "ip addr add 192.0.2.9/32 dev eth0")
    real.does(real.node("b"), "ip addr add 203.0.113.5/24 dev eth0")
    await b.mend()
    assert b.moved_to is None
    real.does(real.node("b"), f"ip addr add {moved}/24 dev eth0")

    told = [one.what for one in await b.mend()]

    assert "this node's address, which was 192.0.2.2: 192.0.2.77" in told
    assert b.moved_to == moved
    assert [one for one in await b.mend() if one.why] == []
    await a.reconcile_peers([Peer("b", moved, RANGES["b"])])
    assert real.reaches(left, there)
    # The one that it began with is its own again as soon as it is back.
    real.does(real.node("b"), "ip addr add 192.0.2.2/24 dev eth0")
    await b.mend()
    assert b.moved_to == IPv4Address("192.0.2.2")


async def test_a_kubelet_that_begins_again_mends_what_happened_meanwhile(real: RealWorld) -> None:
    scene = await a_scene(real)
    real.does(real.node("a"), f"ip link del {WIRE}")
    again = await a_node(real, "a")
    await again.reconcile_peers([peer("b")])
    await again.attach("left", scene.left)

    assert real.reaches(scene.left, scene.there)
    assert list(await again.mend()) == []


NEWS: dict[str, str] = {
    "link": f"ip link set {WIRE} down",
    "address": f"ip addr del {ADDRESS} dev eth0",
    "route": "ip route del 10.244.1.2/32",
    "neighbour": "ip neigh flush dev cube-vxlan nud permanent",
    "entry": "bridge fdb del 02:cb:0a:f4:02:00 dev cube-vxlan",
    "setting": "sysctl -qw net.ipv4.ip_forward=0",
}


@pytest.mark.root
@pytest.mark.parametrize("what", NEWS)
async def test_the_kernel_tells_of_each_kind_of_damage(real: RealWorld, what: str) -> None:
    scene = await a_scene(real)
    with scene.a.news() as came:
        came.clear()
        real.does(real.node("a"), NEWS[what])
        async with asyncio.timeout(NEWS_DEADLINE_S):
            await came.wait()


@pytest.mark.root
@pytest.mark.parametrize("what", ["a pod's", "a node's"])
async def test_a_pod_cannot_speak_as_anybody_else(real: RealWorld, what: str) -> None:
    """Strict reverse path: what comes in by a wire must be routed back by it."""
    scene = await a_scene(real)
    other = await scene.a.attach("other", real.pod("other"))
    claimed = other if what == "a pod's" else NODES["a"]
    real.does(Path(scene.left).name, f"ip addr add {claimed}/32 dev eth0")
    assert real.reaches(scene.left, scene.there)
    assert not real.reaches(scene.left, scene.there, source=claimed)

    # The second address within the pod is taken for damage.
    assert [one.pod_uid for one in await scene.a.mend()] == ["left"]


@pytest.mark.root
async def test_the_node_says_nothing_of_itself_on_a_pods_wire(real: RealWorld) -> None:
    scene = await a_scene(real)
    pod = Path(scene.left).name
    real.does(pod, "ip neigh flush dev eth0 nud permanent")
    real.does(pod, f"ip route add {NODES['a']}/32 dev eth0")

    assert not real.answers_arp(pod, NODES["a"])
    assert "fe80" not in real.shows("a", "-o", "addr", "show", "dev", WIRE)
