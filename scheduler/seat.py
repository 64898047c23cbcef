"""What a pod asks of a node, and what a node has to give: the words of every filter. Immutable."""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.api.node import Node, Taint, is_ready
from cubernetes.api.pod import Pod, PodSpec, requested
from cubernetes.api.quantities import Quantity
from cubernetes.api.toleration import Toleration

ANY_ADDRESS = ("", "0.0.0.0")  # noqa: S104  how a manifest says "every address"


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


class Demand(NamedTuple):
    """What a pod asks of a node. Pods of one template have equal demands."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    ports: tuple[HostPort, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


class Facts(NamedTuple):
    """What a Node says of itself."""

    name: str
    labels: frozenset[tuple[str, str]] = frozenset()
    is_ready: bool = True
    is_schedulable: bool = True
    cpu_milli: int = 0
    memory_bytes: int = 0
    pod_count: int = 0
    taints: tuple[Taint, ...] = ()


class Load(NamedTuple):
    """The sum of what the pods on a node ask for."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pod_count: int = 0
    ports: tuple[HostPort, ...] = ()

    def plus(self, demand: Demand) -> "Load":
        return Load(
            self.cpu_milli + demand.cpu_milli,
            self.memory_bytes + demand.memory_bytes,
            self.pod_count + 1,
            self.ports + demand.ports,
        )

    def minus(self, demand: Demand) -> "Load":
        """Return the load without a pod that is part of it."""
        ports = list(self.ports)
        for port in demand.ports:
            ports.remove(port)
        return Load(
            self.cpu_milli - demand.cpu_milli,
            self.memory_bytes - demand.memory_bytes,
            self.pod_count - 1,
            tuple(ports),
        )


class Seat(NamedTuple):
    """A node as a filter sees it."""

    facts: Facts
    load: Load = Load()


def demand_of(pod: Pod) -> Demand:
    return Demand(
        cpu_milli=requested(pod.spec, "cpu"),
        memory_bytes=requested(pod.spec, "memory"),
        ports=_host_ports(pod.spec),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        tolerations=pod.spec.tolerations,
    )


def facts_of(node: Node) -> Facts:
    """Return a node's facts; what it has not told yet counts as nothing to give."""
    amounts = node.status.allocatable or node.status.capacity
    return Facts(
        name=node.metadata.name,
        labels=frozenset(node.metadata.labels.items()),
        is_ready=is_ready(node),
        is_schedulable=not node.spec.unschedulable and not node.metadata.is_deleted,
        cpu_milli=amounts["cpu"].milli if "cpu" in amounts else 0,
        memory_bytes=_whole(amounts, "memory"),
        pod_count=_whole(amounts, "pods"),
        taints=node.spec.taints,
    )


def _whole(amounts: Mapping[str, Quantity], resource: str) -> int:
    return amounts[resource].whole if resource in amounts else 0


def _host_ports(spec: PodSpec) -> tuple[HostPort, ...]:
    """Return the ports of the node that a pod takes; in the node's network each port is one."""
    found = set()
    for container in spec.containers:
        for port in container.ports:
            number = port.container_port if spec.host_network else port.host_port
            if number is not None:
                found.add(HostPort(port.protocol, number, port.host_ip))
    return tuple(sorted(found))
