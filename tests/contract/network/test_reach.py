"""How a node finds that others are reached, and what blocks: real packets between namespaces."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from cubernetes.api.bodies.reach import PathReport
from cubernetes.host.env import Env
from kubelet.network.namespace import inside
from kubelet.reach.reach import Reach
from tests.contract.network.test_network import two_nodes
from tests.contract.network.worlds import RealWorld, peer, reason_to_skip

pytestmark = pytest.mark.root

PORT = 10250


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealWorld]:
    if reason := reason_to_skip():
        pytest.skip(f"no network namespaces: {reason}")
    made = RealWorld(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@asynccontextmanager
async def kubelet_on(world: RealWorld, node: str) -> AsyncIterator[None]:
    with inside(f"/run/netns/{world.node(node)}"):
        ear = socket.create_server(("0.0.0.0", PORT))
    with closing(ear):
        yield


async def found_from(world: RealWorld, node: str, other: str) -> PathReport:
    """Ask as the node's own process would: its loop lives in the node's namespace."""

    def ask() -> PathReport:
        async def look() -> PathReport:
            reach = Reach(Env(), lambda: [peer(other)], PORT, has_overlay=True)
            (path,) = (await reach.look()).paths
            return path

        loop = asyncio.new_event_loop()
        try:
            with inside(f"/run/netns/{world.node(node)}"):
                return loop.run_until_complete(look())
        finally:
            loop.close()

    return await asyncio.to_thread(ask)


async def test_a_whole_way_has_round_trips_and_full_packets(real: RealWorld) -> None:
    await two_nodes(real)
    async with kubelet_on(real, "b"):
        path = await found_from(real, "a", "b")

    assert path.blocked == ""
    assert path.node_ms is not None
    assert path.pods_ms is not None
    assert (path.node_mtu, path.pods_mtu) == (1500, 1450)


BLOCKED = {
    "the overlay's port, by a rule of the other node": (
        "b",
        "iptables -A INPUT -p udp --dport 8472 -j DROP",
        "UDP 8472 is dropped between the nodes",
    ),
    "the overlay's port, by a rule of this node": (
        "a",
        "iptables -A INPUT -p udp --dport 8472 -j DROP",
        "by INPUT -p udp -m udp --dport 8472 -j DROP",
    ),
    "everything": ("b", "ip link set eth0 down", "nothing comes back from 192.0.2.2"),
    "echo requests": (
        "b",
        "iptables -A INPUT -d 192.0.2.2 -p icmp -j DROP",
        "ICMP echo is dropped on the way to the node",
    ),
    "the kubelet's port": (
        "b",
        "iptables -A INPUT -p tcp --dport 10250 -j DROP",
        "TCP 10250: dropped on the way",
    ),
    "large packets": (
        "b",
        "iptables -A INPUT -p icmp -m length --length 1301:65535 -j DROP",
        "packets to the node over 1300 bytes are lost, of 1500",
    ),
    "large packets of pods": (
        "b",
        "iptables -A INPUT -p udp --dport 8472 -m length --length 1401:65535 -j DROP",
        "packets between pods over 1350 bytes are lost, of 1450",
    ),
}


@pytest.mark.parametrize("what", BLOCKED)
async def test_what_blocks_is_told(real: RealWorld, what: str) -> None:
    node, command, words = BLOCKED[what]
    await two_nodes(real)
    real.does(real.node(node), command)
    async with kubelet_on(real, "b"):
        path = await found_from(real, "a", "b")

    assert words in path.blocked


async def test_a_kubelet_that_does_not_run_is_told(real: RealWorld) -> None:
    await two_nodes(real)
    path = await found_from(real, "a", "b")

    assert path.blocked.startswith("TCP 10250: refused")
