"""What the pod network costs: `sudo python -m bench.network`.

Two namespaces on one cable are the nodes. The same three things are measured by the bare cable, by
a VXLAN device that the kernel has alone (made by hand, from node to node), by two namespaces behind
that device (wired and routed by hand: what the kernel alone gives to pods), and from pod to pod by
our network and by Debian's CNI plugins over it: throughput of one stream, a datagram's round trip,
connections a second. Turns follow each other, so that what else the machine does falls on all. Then
pods are attached by each driver, one after another; Weave's router is the tests' stand-in.
"""

import asyncio
import multiprocessing
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from bench.ground.report import progress, show, spread
from cubernetes.host.blocking import Threads
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.vxlan import VxlanCarrier
from kubelet.network.driver import NetworkDriver, Peer
from kubelet.network.namespace import inside
from kubelet.network.routed import RoutedNetwork
from tests.contract.network.cni_worlds import BridgeWorld, reason_without_plugins
from tests.contract.network.weave_worlds import WeaveWorld
from tests.contract.network.worlds import RealWorld, peer

ROUNDS = 5
STREAM_S = 1.0
ECHO_COUNT, CONNECTION_COUNT, ATTACH_COUNT = 2000, 1000, 60
CHUNK = b"x" * (256 << 10)
PORT, READY_S = 7000, 10.0
NODES = {"a": IPv4Address("192.0.2.1"), "b": IPv4Address("192.0.2.2")}
RANGES = {"a": IPv4Network("10.244.1.0/24"), "b": IPv4Network("10.244.2.0/24")}
BY_HAND = {"a": "10.99.0.1", "b": "10.99.0.2"}
WIRED = {"a": "10.98.1", "b": "10.98.2"}
BY_KERNEL = ("cable", "vxlan_by_hand", "pods_by_hand")


class Way(NamedTuple):
    """From a namespace to an address in another one."""

    here: str
    there: str
    address: str


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Machines:
    """Two nodes on a cable, a pod on each; all names are of this run."""

    def __init__(self) -> None:
        self._prefix, self._made = f"cubebench-{secrets.token_hex(3)}", list[str]()

    def namespace(self, name: str) -> str:
        full = f"{self._prefix}-{name}"
        _ip("netns", "add", full)
        self._made.append(full)
        return f"/run/netns/{full}"

    def cable(self) -> dict[str, str]:
        """Join two nodes; return their namespaces."""
        nodes = {node: self.namespace(node) for node in NODES}
        left, right = (Path(path).name for path in nodes.values())
        ends = ("eth0", "type", "veth", "peer", "name", "eth0", "netns", right)
        _ip("-n", left, "link", "add", *ends)
        for name, (node, address) in zip((left, right), NODES.items(), strict=True):
            other = next(str(one) for one in NODES.values() if one != address)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")
            tunnel = ("type", "vxlan", "id", "7", "dstport", "4789", "remote", other)
            _ip("-n", name, "link", "add", "byhand", *tunnel, "dev", "eth0")
            _ip("-n", name, "addr", "add", f"{BY_HAND[node]}/24", "dev", "byhand")
            _ip("-n", name, "link", "set", "byhand", "up")
        return nodes

    def pods_by_hand(self, nodes: Mapping[str, str]) -> Way:
        """Put a namespace behind each node's own VXLAN, with a wire, forwarding and routes."""
        pods = {node: self.namespace(f"hand-{node}") for node in nodes}
        for node, other in (("a", "b"), ("b", "a")):
            here, inner = Path(nodes[node]).name, Path(pods[node]).name
            _ip("-n", here, "link", "add", "wire", "type", "veth", "peer", "eth0", "netns", inner)
            _ip("-n", here, "addr", "add", f"{WIRED[node]}.1/24", "dev", "wire")
            _ip("-n", here, "link", "set", "wire", "up")
            _ip("-n", inner, "link", "set", "eth0", "mtu", "1450", "up")
            _ip("-n", inner, "addr", "add", f"{WIRED[node]}.2/24", "dev", "eth0")
            _ip("-n", inner, "route", "add", "default", "via", f"{WIRED[node]}.1")
            _ip("-n", here, "route", "add", f"{WIRED[other]}.0/24", "via", BY_HAND[other])
            forward = ("ip", "netns", "exec", here, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            subprocess.run(forward, check=True, capture_output=True)
        return Way(pods["a"], pods["b"], f"{WIRED['b']}.2")

    def remove(self) -> None:
        for name in self._made:
            _ip("netns", "del", name)


def _served(namespace: str, kind: socket.SocketKind, work: Callable[[socket.socket], None]) -> None:
    with inside(namespace):
        ear = socket.socket(socket.AF_INET, kind)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind(("0.0.0.0", PORT))  # noqa: S104  in a namespace of this run
    work(ear)


def _swallow(ear: socket.socket) -> None:
    ear.listen(CONNECTION_COUNT)
    while True:
        talk, _ = ear.accept()
        with talk:
            while talk.recv(1 << 20):
                pass


def _echo(ear: socket.socket) -> None:
    while True:
        said, sender = ear.recvfrom(2048)
        ear.sendto(said, sender)


class Server:
    """A process that serves in a namespace while the block lasts."""

    def __init__(
        self, namespace: str, kind: socket.SocketKind, work: Callable[[socket.socket], None]
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_served, args=(namespace, kind, work), daemon=True)

    def __enter__(self) -> None:
        self._process.start()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


def _mouth(way: Way, kind: socket.SocketKind) -> socket.socket:
    with inside(way.here):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(5)
    return made


def _connected(way: Way) -> socket.socket:
    """Connect, as soon as somebody listens."""
    end_s = time.monotonic() + READY_S
    while True:
        mouth = _mouth(way, socket.SOCK_STREAM)
        try:
            mouth.connect((way.address, PORT))
        except ConnectionRefusedError:
            mouth.close()
            if time.monotonic() > end_s:
                raise
        else:
            return mouth


def stream_mbit_s(way: Way) -> float:
    with Server(way.there, socket.SOCK_STREAM, _swallow), _connected(way) as mouth:
        sent, begun_s = 0, time.monotonic()
        while time.monotonic() - begun_s < STREAM_S:
            sent += mouth.send(CHUNK)
        return sent * 8 / 1e6 / (time.monotonic() - begun_s)


def connections_per_s(way: Way) -> float:
    with Server(way.there, socket.SOCK_STREAM, _swallow):
        _connected(way).close()
        begun_s = time.monotonic()
        for _ in range(CONNECTION_COUNT):
            with _mouth(way, socket.SOCK_STREAM) as mouth:
                mouth.connect((way.address, PORT))
        return CONNECTION_COUNT / (time.monotonic() - begun_s)


def round_trip_us(way: Way) -> float:
    with Server(way.there, socket.SOCK_DGRAM, _echo), _mouth(way, socket.SOCK_DGRAM) as mouth:
        mouth.connect((way.address, PORT))
        _first_echo(mouth)
        return statistics.median(_echo_us(mouth) for _ in range(ECHO_COUNT))


def _first_echo(mouth: socket.socket) -> None:
    end_s = time.monotonic() + READY_S
    mouth.settimeout(0.1)
    while True:
        try:
            _echo_us(mouth)
        except (TimeoutError, ConnectionRefusedError):
            if time.monotonic() > end_s:
                raise
        else:
            mouth.settimeout(5)
            return


def _echo_us(mouth: socket.socket) -> float:
    begun_s = time.perf_counter()
    mouth.send(b"x" * 64)
    mouth.recv(2048)
    return (time.perf_counter() - begun_s) * 1e6


MEASURES: Mapping[str, Callable[[Way], float]] = {
    "stream_mbit_s": stream_mbit_s,
    "round_trip_us": round_trip_us,
    "connections_per_s": connections_per_s,
}


async def _network(node: str, namespace: str, folder: Path) -> RoutedNetwork:
    blocking = Threads()
    carrier = VxlanCarrier(Standing(NODES[node]), blocking, netns=namespace)
    made = RoutedNetwork(carrier, folder / f"{node}.json", blocking, netns=namespace)
    await made.prepare(RANGES[node])
    await made.reconcile_peers([Peer(one, NODES[one], RANGES[one]) for one in NODES if one != node])
    return made


async def run(machines: Machines, folder: Path) -> dict[str, object]:
    nodes = machines.cable()
    networks = {node: await _network(node, path, folder) for node, path in nodes.items()}
    pods = {node: machines.namespace(f"pod-{node}") for node in nodes}
    addresses = {node: await networks[node].attach(f"pod-{node}", pods[node]) for node in nodes}
    ways = {
        "cable": Way(nodes["a"], nodes["b"], str(NODES["b"])),
        "vxlan_by_hand": Way(nodes["a"], nodes["b"], BY_HAND["b"]),
        "pods_by_hand": machines.pods_by_hand(nodes),
        "pods": Way(pods["a"], pods["b"], str(addresses["b"])),
    }
    figures: dict[str, object] = {}
    with world_of(BridgeWorld, folder, reason_without_plugins()) as bridged:
        if bridged is not None:
            ways["pods_cni"] = await _way_of(bridged)
        for name, measure in MEASURES.items():
            figures |= await _compared(name, measure, ways)
    pods_of_one = {one: machines.namespace(one) for one in map(_name, range(ATTACH_COUNT))}
    figures |= await _attaching("vxlan", pods_of_one, networks["a"])
    for driver, kind, reason in (
        ("cni", BridgeWorld, reason_without_plugins()),
        ("weave", WeaveWorld, ""),
    ):
        with world_of(kind, folder / driver, reason) as world:
            if world is not None:
                figures |= await asyncio.to_thread(_attaching_within, driver, world)
    return figures


def _attaching_within(driver: str, world: RealWorld) -> dict[str, object]:
    """Attach in a process that is in the node's namespace, as a kubelet is, and has its loop.

    From outside each plugin would cost a program more, which steps over.
    """
    pods = {one: world.pod(one) for one in map(_name, range(ATTACH_COUNT))}
    if isinstance(world, BridgeWorld):
        world.is_within = True
    mine, its = multiprocessing.Pipe()

    async def attach() -> dict[str, object]:
        network = world.driver("a")
        await network.prepare(RANGES["a"])
        return await _attaching(driver, pods, network)

    def work() -> None:
        with Path(f"/run/netns/{world.node('a')}").open() as namespace:
            os.setns(namespace.fileno(), os.CLONE_NEWNET)
        its.send(uvloop.run(attach()))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    its.close()
    try:
        figures: dict[str, object] = mine.recv()
    finally:
        process.join()
    return figures


def _name(index: int) -> str:
    return f"one-{index}"


@contextmanager
def world_of(kind: type[RealWorld], folder: Path, reason: str) -> Iterator[RealWorld | None]:
    """Make two nodes of their own for a driver while the block lasts; None where it cannot run."""
    if reason:
        progress(f"{kind.__name__} is left out: {reason}")
        yield None
        return
    folder.mkdir(exist_ok=True)
    made = kind(folder)
    try:
        yield made
    finally:
        made.remove()


async def _way_of(world: RealWorld) -> Way:
    """Attach a pod to each of a driver's nodes."""
    paths, addresses = dict[str, str](), dict[str, str]()
    for node, other in (("a", "b"), ("b", "a")):
        network = world.driver(node)
        await network.prepare(RANGES[node])
        await network.reconcile_peers([peer(other)])
        paths[node] = world.pod(f"pod-{node}")
        addresses[node] = str(await network.attach(f"pod-{node}", paths[node]))
    return Way(paths["a"], paths["b"], addresses["b"])


async def _compared(
    name: str, measure: Callable[[Way], float], ways: Mapping[str, Way]
) -> dict[str, object]:
    """Measure all ways in turns; tell each of our own beside each of the kernel's."""
    progress(f"{name}, {ROUNDS} rounds")
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, where in ways.items():
            found[way].append(await asyncio.to_thread(measure, where))
    middles = {way: statistics.median(values) for way, values in found.items()}
    ratios = {
        way: {kernel: round(middles[way] / middles[kernel], 3) for kernel in BY_KERNEL}
        for way in ways
        if way not in BY_KERNEL
    }
    spreads = {way: spread(values) for way, values in found.items()}
    return {name: spreads, f"{name}_ratios": ratios}


async def _attaching(
    driver: str, pods: Mapping[str, str], network: NetworkDriver
) -> dict[str, object]:
    progress(f"{len(pods)} pods attached by {driver}")
    attached, detached = list[float](), list[float]()
    for uid, path in pods.items():
        begun_s = time.perf_counter()
        await network.attach(uid, path)
        attached.append((time.perf_counter() - begun_s) * 1000)
    for uid in pods:
        begun_s = time.perf_counter()
        await network.detach(uid)
        detached.append((time.perf_counter() - begun_s) * 1000)
    return {f"attach_ms_{driver}": spread(attached), f"detach_ms_{driver}": spread(detached)}


def main() -> int:
    if os.geteuid() != 0:
        sys.stderr.write("bench.network: needs root, for network namespaces\n")
        return 1
    machines = Machines()
    try:
        with TemporaryDirectory() as folder:
            figures = asyncio.run(run(machines, Path(folder)))
    finally:
        machines.remove()
    parameters = {"rounds": ROUNDS, "stream_s": STREAM_S, "echoes": ECHO_COUNT}
    parameters |= {"connections": CONNECTION_COUNT, "pods_attached": ATTACH_COUNT}
    show("network", parameters, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
