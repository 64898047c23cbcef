"""Two nodes and their pods: as network namespaces joined by a cable, and as fakes."""

import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol

from cubernetes.host.blocking import Threads
from cubernetes.host.env import Env
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.vxlan import VxlanCarrier
from kubelet.network.driver import NetworkDriver, Peer
from kubelet.network.fake import FakeFabric, FakeNetwork
from kubelet.network.namespace import inside
from kubelet.network.overlay import OVERHEAD_BYTES, ROUTE_PROTOCOL, host_end
from kubelet.network.routed import RoutedNetwork

NODES = {"a": IPv4Address("192.0.2.1"), "b": IPv4Address("192.0.2.2")}
RANGES = {"a": IPv4Network("10.244.1.0/24"), "b": IPv4Network("10.244.2.0/24")}
ROUTER = "router"  # between two subnets
POD_RANGE = IPv4Network("10.244.0.0/16")
ANSWER_MAX_S = 1.0
CABLE_BYTES, UDP_HEADERS_BYTES = 1500, 28
PAYLOAD_BYTES_MAX = CABLE_BYTES - OVERHEAD_BYTES - UDP_HEADERS_BYTES


def peer(node: str) -> Peer:
    return Peer(node, NODES[node], RANGES[node])


class World(Protocol):
    """Two nodes, a and b, that can reach each other."""

    @property
    def overhead_bytes(self) -> int:
        """Return what the network takes of each packet between nodes."""
        ...

    def driver(self, node: str) -> NetworkDriver:
        """Return a new driver for a node, as a kubelet that has just started makes it."""
        ...

    def pod(self, name: str) -> str:
        """Return the path of a new, empty network namespace."""
        ...

    def cut_wire(self, node: str, pod_uid: str) -> None:
        """Take a pod's interface on its node away, as an administrator's mistake does."""
        ...

    def spoil_pod(self, node: str, pod_uid: str, pod: str) -> None:
        """Take a pod's interface away, and see to it that it can be given no other."""
        ...

    def reaches(self, pod: str, address: IPv4Address, payload_bytes: int = 64) -> bool:
        """True where a datagram of that size gets, whole, from a pod to that address."""
        ...

    def spoil_checkpoint(self, node: str, content: bytes | None) -> None:
        """Replace what the node's driver has on disk."""
        ...

    def lose_pod(self, pod: str) -> None:
        """End a pod's namespace, as the end of its sandbox does."""
        ...

    def reboot(self, node: str) -> None:
        """Lose every interface that was made on a node, and keep its disk."""
        ...


class FakeWorld:
    """Reachability as the fakes' records imply it."""

    def __init__(self) -> None:
        self.fabrics = {node: FakeFabric() for node in NODES}

    overhead_bytes = OVERHEAD_BYTES

    def driver(self, node: str) -> NetworkDriver:
        return FakeNetwork(Env(), self.fabrics[node])

    def pod(self, name: str) -> str:
        return name

    def reaches(self, pod: str, address: IPv4Address, payload_bytes: int = 64) -> bool:
        def wired(fabric: FakeFabric) -> dict[str, IPv4Address]:
            held = fabric.addresses.held if fabric.addresses else {}
            whole = held.keys() - fabric.cut
            return {netns: held[uid] for uid, netns in fabric.namespaces.items() if uid in whole}

        def has_route(here: str, there: str) -> bool:
            return here == there or RANGES[there] in self.fabrics[here].overlay.routes

        pods = {node: wired(fabric) for node, fabric in self.fabrics.items()}
        here = next((node for node in pods if pod in pods[node]), None)
        there = next((node for node in pods if address in pods[node].values()), None)
        if here is None or there is None:
            return False
        is_small = payload_bytes <= PAYLOAD_BYTES_MAX
        return has_route(here, there) and has_route(there, here) and is_small

    def cut_wire(self, node: str, pod_uid: str) -> None:
        self.fabrics[node].cut_off(pod_uid)

    def spoil_pod(self, node: str, pod_uid: str, pod: str) -> None:
        self.fabrics[node].cut_off(pod_uid, for_good=True)

    def spoil_checkpoint(self, node: str, content: bytes | None) -> None:
        """A fabric is its own record."""

    def lose_pod(self, pod: str) -> None:
        """A fake namespace is a name."""

    def reboot(self, node: str) -> None:
        self.fabrics[node].reboot()


class RealWorld:
    """Two namespaces and a veth pair as their cable; all names are of this one test's own."""

    overhead_bytes = OVERHEAD_BYTES
    addresses: Mapping[str, IPv4Address] = NODES
    within: IPv4Network | None = None  # where nodes follow their addresses
    made: tuple[str, ...] = (
        "cube",
    )  # what the names of the devices begin with that a network makes

    def __init__(self, folder: Path) -> None:
        self._folder, self._prefix = folder, f"cubetest-{secrets.token_hex(3)}"
        self._made: list[str] = []
        left, right = (self._namespace(node) for node in NODES)
        for name in (left, right):
            _ip("-n", name, "link", "set", "lo", "up")
        self._join(left, right)

    def _join(self, left: str, right: str) -> None:
        """Put a cable between the two nodes."""
        self.cable((left, "eth0", self.addresses["a"]), (right, "eth0", self.addresses["b"]))

    def cable(self, *ends: tuple[str, str, IPv4Address]) -> None:
        """Put a cable between two namespaces; each end has a name and an address."""
        (here, name, _), (there, other, _) = ends
        veth = ("type", "veth", "peer", "name", other, "netns", there)
        _ip("-n", here, "link", "add", name, *veth)
        for namespace, device, address in ends:
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")

    def node(self, node: str) -> str:
        """Return the name of a node's namespace."""
        return f"{self._prefix}-{node}"

    def driver(self, node: str) -> NetworkDriver:
        netns, blocking = f"/run/netns/{self.node(node)}", Threads()
        carrier = VxlanCarrier(Standing(self.addresses[node], self.within), blocking, netns=netns)
        return RoutedNetwork(carrier, self.checkpoint(node), blocking, netns=netns)

    def checkpoint(self, node: str) -> Path:
        return self._folder / f"{node}.json"

    def pod(self, name: str) -> str:
        return f"/run/netns/{self._namespace(name)}"

    def cut_wire(self, node: str, pod_uid: str) -> None:
        self.does(self.node(node), f"ip link del {host_end(pod_uid)}")

    def spoil_pod(self, node: str, pod_uid: str, pod: str) -> None:
        self.cut_wire(node, pod_uid)
        # A loopback device can be renamed, and never removed.
        self.does(Path(pod).name, "ip link set lo down")
        self.does(Path(pod).name, "ip link set lo name eth0")

    def reaches(
        self,
        pod: str,
        address: IPv4Address,
        payload_bytes: int = 64,
        source: IPv4Address | None = None,
    ) -> bool:
        there = next(path for path in self.pods() if address in _addresses(path))
        with inside(there):
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inside(pod):
            mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(ear), closing(mouth):
            ear.settimeout(ANSWER_MAX_S)
            mouth.settimeout(ANSWER_MAX_S)
            ear.bind(("0.0.0.0", 7000))
            # DF set: a packet that does not fit is refused, not cut.
            mouth.setsockopt(socket.IPPROTO_IP, 10, 2)
            try:
                if source is not None:
                    mouth.bind((str(source), 0))
                mouth.sendto(b"x" * payload_bytes, (str(address), 7000))
                said, sender = ear.recvfrom(65536)
                ear.sendto(said, sender)
                return mouth.recv(65536) == b"x" * payload_bytes
            except OSError:
                return False

    def spoil_checkpoint(self, node: str, content: bytes | None) -> None:
        if content is None:
            self.checkpoint(node).unlink()
        else:
            self.checkpoint(node).write_bytes(content)

    def lose_pod(self, pod: str) -> None:
        name = Path(pod).name
        _ip("netns", "del", name)
        self._made.remove(name)

    def reboot(self, node: str) -> None:
        for row in self.shows(node, "-br", "link").splitlines():
            name = row.split()[0].split("@")[0]
            if name.startswith(self.made):
                self.shows(node, "link", "del", name)
        self.shows(node, "route", "flush", "proto", str(ROUTE_PROTOCOL))

    def pods(self) -> list[str]:
        others = {self.node(node) for node in (*NODES, ROUTER)}
        return [f"/run/netns/{name}" for name in self._made if name not in others]

    def shows(self, node: str, *what: str) -> str:
        """Return what `ip` says in a node's namespace."""
        return _ip("-n", self.node(node), *what)

    def does(self, namespace: str, command: str) -> None:
        """Run a command in a namespace."""
        argv = ["ip", "netns", "exec", namespace, *command.split()]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    def stdout(self, node: str, command: str) -> str:
        """Return what a command says in a node's namespace."""
        argv = ["ip", "netns", "exec", self.node(node), *command.split()]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    def answers_arp(self, namespace: str, address: IPv4Address) -> bool:
        """Ask who has an address; tell whether the kernel learnt a MAC for it."""
        with (
            inside(f"/run/netns/{namespace}"),
            closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mouth,
        ):
            mouth.settimeout(ANSWER_MAX_S)
            mouth.connect((str(address), 9))
            with suppress(OSError):
                mouth.send(b"?")
                mouth.recv(1)
        said = _ip("-n", namespace, "neigh", "show", str(address))
        return "lladdr" in said

    def remove(self) -> None:
        for name in self._made:
            _ip("netns", "del", name)

    def _namespace(self, name: str) -> str:
        full = f"{self._prefix}-{name}"
        _ip("netns", "add", full)
        self._made.append(full)
        return full


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _addresses(path: str) -> list[IPv4Address]:
    said = _ip("-n", Path(path).name, "-br", "-4", "addr", "show", "scope", "global")
    return [IPv4Address(row.split()[2].split("/")[0]) for row in said.splitlines()]


def reason_to_skip() -> str:
    """Return why no namespaces can be made here, or nothing."""
    return "" if os.geteuid() == 0 else "needs root"
