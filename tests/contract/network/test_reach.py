"""How a node finds that others are reached, and what blocks: real packets between namespaces."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from cubernetes.api.bodies.reach import PathReport, RateReport, SinkReport
from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node
from cubernetes.api.meta import ObjectMeta
from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request
from cubernetes.host.web.site import HttpRefusal
from cubernetes.reconcile.plan import Record
from kubelet.network.driver import Peer
from kubelet.network.namespace import inside
from kubelet.reach.reach import Reach
from kubelet.reach.silence import LOST_S
from kubelet.reach.throughput import SEND, SINK, SPAN_BYTES, Throughput
from kubelet.reach.watching import Watching
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


class Overlay:
    """VXLAN, which says nothing of its own."""

    overlay_ports = (8472,)

    async def told_of(self, _peer: Peer) -> str:
        return ""


@asynccontextmanager
async def kubelet_on(world: RealWorld, node: str) -> AsyncIterator[None]:
    with inside(f"/run/netns/{world.node(node)}"):
        ear = socket.create_server(("0.0.0.0", PORT))
    with closing(ear):
        yield


async def found_from(world: RealWorld, node: str, other: str) -> PathReport:
    """Ask as the node's own process would: its loop lives in the node's namespace."""

    async def look() -> PathReport:
        reach = Reach(Env(), lambda: [peer(other)], PORT, Overlay())
        (path,) = (await reach.look()).paths
        return path

    return await asyncio.to_thread(as_a_process_of, world, node, look)


def as_a_process_of[T](
    world: RealWorld, node: str, work: Callable[[], Coroutine[None, None, T]]
) -> T:
    """Run work in a loop that lives in the node's namespace."""
    loop = asyncio.new_event_loop()
    try:
        with inside(f"/run/netns/{world.node(node)}"):
            return loop.run_until_complete(work())
    finally:
        loop.close()


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


class Later(SystemClock):
    """The machine's clock, and as much later as a test says."""

    later_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_s


async def test_a_lost_peer_is_told_with_what_blocks_and_told_again_when_it_is_back(
    real: RealWorld,
) -> None:
    await two_nodes(real)
    clock, told, sizes = Later(), list[Record](), list[Mapping[str, int]]()
    env = Env(clock=clock)
    node = Node(metadata=ObjectMeta(name="a"))
    reach = Reach(env, lambda: [peer("b")], PORT, Overlay())
    watching = Watching(env, reach, lambda: [peer("b")], lambda: node, told.append, sizes.append)

    async def looked(later_s: float) -> list[tuple[str, str]]:
        clock.later_s += later_s
        await asyncio.to_thread(as_a_process_of, real, "a", watching.look)
        return [(one.reason, one.message.split(" (")[0]) for one in told]

    rule = "INPUT -p udp --dport 8472 -j DROP"
    async with kubelet_on(real, "b"):
        assert await looked(0) == []
        real.does(real.node("b"), f"iptables -I {rule}")
        assert await looked(0) == []
        lost = ("NetworkPeerLost", "b: UDP 8472 is dropped between the nodes")
        assert await looked(LOST_S) == [lost]
        assert await looked(LOST_S) == [lost]

        real.does(real.node("b"), f"iptables -D {rule}")
        (_, back) = await looked(0)
        assert back[0] == "NetworkPeerBack"
        assert "b answers again after" in back[1]
    # The way has been measured at the first look, and is not told again while it stays.
    assert sizes == [{"b": 1500}, {}, {"b": 1500}]


@asynccontextmanager
async def open_on_b(world: RealWorld, sender: str) -> AsyncIterator[SinkReport]:
    """Open a port on b for a sender, in a thread of its own."""
    opened, done = Future[SinkReport](), Future[None]()
    stranger = Peer("c", IPv4Address("198.51.100.2"), IPv4Network("10.244.9.0/24"))
    on_b = Throughput(Env(), lambda: [peer("a"), stranger], lambda: True)

    async def take() -> None:
        answer = await on_b.sink(Request("GET", SINK, query=(("from", sender),)))
        assert isinstance(answer.body, bytes)
        opened.set_result(codec.decode(SinkReport, answer.body))
        await asyncio.wrap_future(done)
        for one in on_b.sinks:
            one.cancel()
        await asyncio.gather(*on_b.sinks, return_exceptions=True)

    taking = asyncio.create_task(asyncio.to_thread(as_a_process_of, world, "b", take))
    yield await asyncio.wrap_future(opened)
    done.set_result(None)
    await taking


async def sent_from_a(world: RealWorld, port: int, token: str) -> RateReport:
    on_a = Throughput(Env(), lambda: [peer("b")], lambda: True)

    async def send() -> RateReport:
        query = (("to", "b"), ("port", str(port)), ("token", token))
        answer = await on_a.send(Request("GET", SEND, query=query))
        assert isinstance(answer.body, bytes)
        return codec.decode(RateReport, answer.body)

    return await asyncio.to_thread(as_a_process_of, world, "a", send)


async def test_what_one_connection_carries_is_what_the_other_node_counts(real: RealWorld) -> None:
    await two_nodes(real)
    before = carried(real)
    async with open_on_b(real, "a") as sink:
        refused = await sent_from_a(real, sink.port, "x" * len(sink.token))
        assert (refused.got_bytes, bool(refused.why)) == (0, True)
        found = await sent_from_a(real, sink.port, sink.token)
        assert (await sent_from_a(real, sink.port, sink.token)).why

    assert found.why == ""
    assert 0 < found.got_bytes <= SPAN_BYTES
    assert carried(real) - before >= found.got_bytes


async def test_no_other_node_than_the_one_that_is_meant_is_measured(real: RealWorld) -> None:
    await two_nodes(real)
    async with open_on_b(real, "c") as sink:
        found = await sent_from_a(real, sink.port, sink.token)

    assert (found.got_bytes, bool(found.why)) == (0, True)
    with pytest.raises(HttpRefusal, match="no other node is called 'x'"):
        await Throughput(Env(), list, lambda: True).sink(
            Request("GET", SINK, query=(("from", "x"),))
        )


def carried(world: RealWorld) -> int:
    """Return how many bytes have come to b by the overlay."""
    return int(world.stdout("b", "cat /sys/class/net/cube-vxlan/statistics/rx_bytes"))


async def test_how_much_fits_on_a_way_is_what_its_router_says(real: RealWorld) -> None:
    """From a by the router b to c, behind a narrower cable."""
    far = Peer("c", IPv4Address("198.51.100.2"), IPv4Network("10.244.3.0/24"))
    beyond = Path(real.pod("c")).name
    card = f"eth0 netns {beyond}"
    real.does(real.node("b"), f"ip link add far mtu 1400 type veth peer {card}")
    real.does(real.node("b"), "ip link set far mtu 1400 up")
    real.does(real.node("b"), "ip addr add 198.51.100.1/24 dev far")
    real.does(real.node("b"), "sysctl -qw net.ipv4.ip_forward=1")
    real.does(beyond, "ip addr add 198.51.100.2/24 dev eth0")
    real.does(beyond, "ip link set eth0 mtu 1400 up")
    real.does(beyond, "ip route add default via 198.51.100.1")
    real.does(real.node("a"), "ip route add 198.51.100.0/24 via 192.0.2.2")
    reach = Reach(Env(), lambda: [far], PORT, Overlay())

    async def sizes() -> list[int]:
        return [await reach.node_mtu(one) for one in (peer("b"), far)]

    assert await asyncio.to_thread(as_a_process_of, real, "a", sizes) == [1500, 1400]
    path = await asyncio.to_thread(as_a_process_of, real, "a", reach.look)
    assert path.paths[0].node_mtu == 1400
    assert "packets to the node" not in path.paths[0].blocked
