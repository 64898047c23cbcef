"""What a pod asks of a node, and what a node has to give: the words of every filter. Immutable."""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.api.core.hostport import HostPort, host_ports, ports_in_use
from cubernetes.api.core.node import Node, Taint, is_ready
from cubernetes.api.core.pod import Pod, requested
from cubernetes.api.core.toleration import Toleration
from cubernetes.api.quantities import Quantity


class PodRequests(NamedTuple):
    """What a pod asks of a node. Pods of one template have equal requests."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    ports: tuple[HostPort, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


class NodeFacts(NamedTuple):
    """What a Node says of itself."""

    name: str
    labels: frozenset[tuple[str, str]] = frozenset()
    is_ready: bool = True
    is_schedulable: bool = True
    cpu_milli: int = 0
    memory_bytes: int = 0
    pod_count: int = 0
    taints: tuple[Taint, ...] = ()
    ports: tuple[HostPort, ...] = ()  # of its own programs


class NodeUsage(NamedTuple):
    """The sum of what the pods on a node request."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pod_count: int = 0
    ports: tuple[HostPort, ...] = ()

    def plus(self, requests: PodRequests) -> "NodeUsage":
        return NodeUsage(
            self.cpu_milli + requests.cpu_milli,
            self.memory_bytes + requests.memory_bytes,
            self.pod_count + 1,
            self.ports + requests.ports,
        )

    def minus(self, requests: PodRequests) -> "NodeUsage":
        """Return the usage without a pod that is part of it."""
        ports = list(self.ports)
        for port in requests.ports:
            ports.remove(port)
        return NodeUsage(
            self.cpu_milli - requests.cpu_milli,
            self.memory_bytes - requests.memory_bytes,
            self.pod_count - 1,
            tuple(ports),
        )


class NodeInfo(NamedTuple):
    """A node as a filter sees it."""

    facts: NodeFacts
    usage: NodeUsage = NodeUsage()


def requests_of(pod: Pod) -> PodRequests:
    return PodRequests(
        cpu_milli=requested(pod.spec, "cpu"),
        memory_bytes=requested(pod.spec, "memory"),
        ports=host_ports(pod.spec),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        tolerations=pod.spec.tolerations,
    )


def facts_of(node: Node) -> NodeFacts:
    """Return a node's facts; what it has not told yet counts as nothing to give."""
    amounts = node.status.allocatable or node.status.capacity
    return NodeFacts(
        name=node.metadata.name,
        labels=frozenset(node.metadata.labels.items()),
        is_ready=is_ready(node),
        is_schedulable=not node.spec.unschedulable and not node.metadata.is_deleted,
        cpu_milli=amounts["cpu"].milli if "cpu" in amounts else 0,
        memory_bytes=_whole(amounts, "memory"),
        pod_count=_whole(amounts, "pods"),
        taints=node.spec.taints,
        ports=ports_in_use(node),
    )


def _whole(amounts: Mapping[str, Quantity], resource: str) -> int:
    return amounts[resource].whole if resource in amounts else 0
