"""The Node object that this kubelet keeps: what it should say, and whether it says so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from cubernetes.api.condition import Condition, Truth, with_condition
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease, LeaseSpec
from cubernetes.api.core.node import (
    HOSTNAME_LABEL,
    ContainerImage,
    DaemonEndpoint,
    DaemonEndpoints,
    Node,
    NodeAddress,
    NodeStatus,
)
from cubernetes.api.core.parts.resources import extended
from cubernetes.api.core.podspec.hostport import PORTS_IN_USE, HostPort, ports_text
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.api.quantities import Quantity
from kubelet.devices.book import Offer
from kubelet.eviction.reserved import allocatable
from kubelet.eviction.thresholds import Amount, thresholds_of
from kubelet.network import overlay
from kubelet.node import pressure
from kubelet.node.capacity import MachineFacts, amounts, with_steady_storage
from kubelet.runtime.driver import LocalImage
from kubelet.settings import KubeletSettings

# As Kubernetes: more would make every Node large.
IMAGES_MAX, IMAGE_NAMES_MAX = 50, 5
NO_OFFERS: Mapping[str, Offer] = MappingProxyType({})
MARGINS: Mapping[str, Amount] = MappingProxyType(dict(thresholds_of(None).margins))


def node_labels(name: str, labels: Mapping[str, str], facts: MachineFacts) -> dict[str, str]:
    """Return the labels that every node has, with those of its manifest over them."""
    return {
        HOSTNAME_LABEL: name,
        "kubernetes.io/os": facts.info.operating_system,
        "kubernetes.io/arch": facts.info.architecture,
        **labels,
    }


def node_made(settings: KubeletSettings, facts: MachineFacts) -> Node:
    """Return the Node to create where there is none yet."""
    name = settings.node_name
    return Node(
        metadata=ObjectMeta(
            name=name,
            labels=node_labels(name, settings.labels, facts),
            annotations={PORTS_IN_USE: ports_text(own_ports(settings))},
        )
    )


def change_needed(node: Node, made: Node) -> dict[str, dict[str, str]]:
    """Return what of the metadata of a Node is to be changed: nothing where it is as it should be.

    Labels that people added or changed stay; which ports are in use, only the node knows.
    """
    labels = labels_missing(node, made.metadata.labels)
    wanted, found = made.metadata.annotations, node.metadata.annotations
    notes = {key: value for key, value in wanted.items() if found.get(key) != value}
    parts = {"labels": labels, "annotations": notes}
    return {part: change for part, change in parts.items() if change}


# A CNI configuration of the node's ranges has our overlay between the nodes.
OVERLAY_PORTS = {
    "vxlan": (overlay.PORT,),
    "cni": (overlay.PORT,),
    "weave": overlay.WEAVE_PORTS,
}


def own_ports(settings: KubeletSettings) -> tuple[HostPort, ...]:
    """Return the ports of this node that no pod may take: its programs', and the overlay's."""
    serving = settings.serving.port if settings.serving is not None else 0
    own = {HostPort("TCP", port) for port in (serving, settings.metrics_port) if port}
    own |= {HostPort("UDP", port) for port in OVERLAY_PORTS.get(settings.network, ())}
    others = (word.partition("/") for word in settings.ports_in_use)
    return tuple(sorted(own | {HostPort(kind, int(port)) for port, _, kind in others}))


def labels_missing(node: Node, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of ours that the Node lacks; what people added or changed stays."""
    return {key: value for key, value in labels.items() if key not in node.metadata.labels}


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where this node is reached, how many pods it takes, and which devices the kubelet gives.

    reserved, margins: what of the machine is not for pods; None: nobody says what is reserved.
    """

    address: str
    port: int
    pod_limit: int
    offers: Mapping[str, Offer] = NO_OFFERS
    reserved: Mapping[str, Quantity] | None = None
    margins: Mapping[str, Amount] = MARGINS


def status_for(
    node: Node,
    facts: MachineFacts,
    place: NodePlace,
    trouble: str,
    now: datetime,
    pressed: frozenset[str] = frozenset(),
) -> NodeStatus:
    """Return the Node's status; trouble is why it cannot run pods, empty where it can.

    pressed: the pressures that the machine is under. Extended resources that the kubelet does not
    give itself stay as they were written into the Node.
    """
    facts = with_steady_storage(facts, node.status.capacity)
    devices = {name: Quantity(str(one.total)) for name, one in place.offers.items()}
    written = {**extended(node.status.capacity), **devices}
    capacity = amounts(facts, place.pod_limit, written)
    usable = {name: Quantity(str(one.usable)) for name, one in place.offers.items()}
    status: Truth = "False" if trouble else "True"
    ready = Condition(
        type="Ready",
        status=status,
        reason="KubeletNotReady" if trouble else "KubeletReady",
        message=trouble or "kubelet is posting ready status",
    )
    conditions = node.status.conditions
    for one in (*pressure.conditions(pressed), ready):
        conditions = with_condition(conditions, one, now)
    return replaced(
        node.status,
        capacity=capacity,
        allocatable={**allocatable(capacity, place.reserved, place.margins), **usable},
        conditions=conditions,
        addresses=(
            NodeAddress(type="InternalIP", address=place.address),
            NodeAddress(type="Hostname", address=node.metadata.name),
        ),
        daemon_endpoints=DaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=place.port)),
        node_info=facts.info,
    )


def images_told(images: Iterable[LocalImage]) -> tuple[ContainerImage, ...]:
    """Return the largest images as a Node tells them, in an order that does not change."""
    largest = sorted(images, key=lambda one: (-one.size_bytes, one.names))[:IMAGES_MAX]
    return tuple(
        ContainerImage(names=one.names[:IMAGE_NAMES_MAX], size_bytes=one.size_bytes)
        for one in largest
    )


def lease_for(node: Node, duration_s: int, now: datetime) -> Lease:
    """Return the Lease by which others see that this node lives; it goes with the Node."""
    owner: OwnerReference = replaced(Object.owner_reference(node), controller=False)
    return Lease(
        metadata=ObjectMeta(
            name=node.metadata.name,
            namespace=NODE_LEASE_NAMESPACE,
            owner_references=(owner,),
        ),
        spec=LeaseSpec(
            holder_identity=node.metadata.name,
            lease_duration_seconds=duration_s,
            acquire_time=now,
            renew_time=now,
        ),
    )
