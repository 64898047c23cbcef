"""Ports of a node: which a pod takes, which the node's own programs have, and when two collide."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cubernetes.api.core.node import Node
from cubernetes.api.core.podspec.spec import PodSpec, lasting_containers

# On a Node: `6443/TCP,8472/UDP`. A pod that took one of these would cut a program off.
PORTS_IN_USE = "cubernetes.io/ports-in-use"
PORTS_IN_USE_MAX = 64
ANY_ADDRESS = ("", "0.0.0.0")  # noqa: S104  how a manifest says "every address"
PORT_MAX = 65_535


class HostPort(NamedTuple):
    """A port of the node itself; an address of ANY_ADDRESS takes it on all of them."""

    protocol: str
    port: int
    address: str = ""

    def collides(self, other: "HostPort") -> bool:
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        both = (self.address, other.address)
        return self.address == other.address or any(one in ANY_ADDRESS for one in both)

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


def host_ports(spec: PodSpec) -> tuple[HostPort, ...]:
    """Return the ports of the node that a pod takes; in the node's network each port is one."""
    found = set()
    for container in lasting_containers(spec):
        for port in container.ports:
            number = port.container_port if spec.host_network else port.host_port
            if number is not None:
                found.add(HostPort(port.protocol, number, port.host_ip))
    return tuple(sorted(found))


def led_ports(spec: PodSpec) -> Iterator[tuple[str, int, str, int]]:
    """Yield address (empty: every one), port, protocol (tcp, udp) and the pod's port of each."""
    for container in lasting_containers(spec):
        for port in container.ports:
            if port.host_port:
                address = "" if port.host_ip in ANY_ADDRESS else port.host_ip
                yield address, port.host_port, port.protocol.lower(), port.container_port


def ports_text(ports: Iterable[HostPort]) -> str:
    """Return how a Node says which ports its own programs have."""
    return ",".join(map(str, sorted(set(ports))))


def ports_in_use(node: Node) -> tuple[HostPort, ...]:
    """Return the ports that a node's own programs have; what is no port is passed over."""
    words = node.metadata.annotations.get(PORTS_IN_USE, "").split(",")[:PORTS_IN_USE_MAX]
    return tuple(sorted({port for word in words if (port := _port_of(word)) is not None}))


def _port_of(word: str) -> HostPort | None:
    number, _, protocol = word.partition("/")
    is_number = number.isascii() and number.isdigit() and len(number) <= len(str(PORT_MAX))
    if not is_number or not 0 < int(number) <= PORT_MAX or protocol not in ("TCP", "UDP"):
        return None
    return HostPort(protocol, int(number))
