"""What a pod requests, and what a node has to give: the words of every plugin. Immutable.

Amounts are counted as cubernetes.api.core.parts.resources says: milli-cores of cpu, whole units of
any other name. A name that is not there is an amount of 0.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from cubernetes.api.core.node import Node, Taint, is_ready
from cubernetes.api.core.parts.resources import units
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.hostport import HostPort, host_ports, ports_in_use
from cubernetes.api.core.podspec.placement.affinity import NodeAffinity
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.storage.storageclass import TopologySelectorTerm

NOTHING: Mapping[str, int] = MappingProxyType({})


class FreeVolume(NamedTuple):
    """A volume that a claim may have, by its name; affinity: from where it is reached."""

    name: str
    affinity: NodeAffinity | None = None


class VolumeNeed(NamedTuple):
    """What one claim of a pod asks of a node.

    affinity: from where its volume is reached; None: from everywhere. is_free: it has no volume yet
    and gets the first of `free` that the node reaches, smallest first; or, where is_made, one that
    is made on a node of these topologies (none: of any).
    """

    affinity: NodeAffinity | None = None
    is_free: bool = False
    free: tuple[FreeVolume, ...] = ()
    is_made: bool = False
    topologies: tuple[TopologySelectorTerm, ...] = ()


class PodRequests(NamedTuple):
    """What a pod asks of a node. Pods of one template have equal requests."""

    amounts: tuple[tuple[str, int], ...] = ()  # by name; none of 0
    ports: tuple[HostPort, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    node_affinity: NodeAffinity | None = None
    volumes: tuple[VolumeNeed, ...] = ()  # which only the claims themselves tell: see claims.py
    images: tuple[str, ...] = ()  # with their tags, where the pod's profile looks at them


class NodeFacts(NamedTuple):
    """What a Node says of itself."""

    name: str
    labels: frozenset[tuple[str, str]] = frozenset()
    is_ready: bool = True
    is_schedulable: bool = True
    amounts: Mapping[str, int] = NOTHING
    pod_count: int = 0
    taints: tuple[Taint, ...] = ()
    ports: tuple[HostPort, ...] = ()  # of its own programs
    images: frozenset[tuple[str, int]] = frozenset()  # by every name that they have, with bytes


class NodeUsage(NamedTuple):
    """The sum of what the pods on a node request."""

    amounts: Mapping[str, int] = NOTHING  # none of 0
    pod_count: int = 0
    ports: tuple[HostPort, ...] = ()

    def plus(self, requests: PodRequests) -> "NodeUsage":
        amounts = dict(self.amounts)
        for name, count in requests.amounts:
            amounts[name] = amounts.get(name, 0) + count
        return NodeUsage(amounts, self.pod_count + 1, self.ports + requests.ports)

    def minus(self, requests: PodRequests) -> "NodeUsage":
        """Return the usage without a pod that is part of it."""
        ports = list(self.ports)
        for port in requests.ports:
            ports.remove(port)
        amounts = dict(self.amounts)
        for name, count in requests.amounts:
            amounts[name] -= count
            if not amounts[name]:
                del amounts[name]
        return NodeUsage(amounts, self.pod_count - 1, tuple(ports))


class NodeInfo(NamedTuple):
    """A node as a plugin sees it."""

    facts: NodeFacts
    usage: NodeUsage = NodeUsage()

    def free(self, name: str) -> int:
        """Return what is left of a resource; less than 0 where more is promised than there is."""
        return self.facts.amounts.get(name, 0) - self.usage.amounts.get(name, 0)


def requests_of(pod: Pod) -> PodRequests:
    return PodRequests(
        amounts=tuple(sorted(requested(pod.spec).items())),
        ports=host_ports(pod.spec),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        tolerations=pod.spec.tolerations,
        node_affinity=pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None,
    )


def images_of(pod: Pod) -> tuple[str, ...]:
    """Return the images of a pod's containers, named as nodes name them."""
    return tuple(_tagged(one.image) for one in every_container(pod.spec))


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def facts_of(node: Node) -> NodeFacts:
    """Return a node's facts; what it has not reported yet counts as nothing to give."""
    stated = node.status.allocatable or node.status.capacity
    amounts = {name: units(name, amount) for name, amount in stated.items()}
    return NodeFacts(
        name=node.metadata.name,
        labels=frozenset(node.metadata.labels.items()),
        is_ready=is_ready(node),
        is_schedulable=not node.spec.unschedulable and not node.metadata.is_deleted,
        pod_count=amounts.pop("pods", 0),
        amounts=amounts,
        taints=node.spec.taints,
        ports=ports_in_use(node),
        images=frozenset(
            (name, one.size_bytes) for one in node.status.images for name in one.names
        ),
    )
