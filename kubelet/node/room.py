"""What pods may take of this node, as its kubelet judges those that are bound to it. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.api.core.node import Node
from cubernetes.api.core.parts.resources import extended, units
from kubelet.devices.book import Shelf, managed
from kubelet.eviction.reserved import Reserves, allocatable
from kubelet.eviction.thresholds import Amount
from kubelet.node.capacity import MachineFacts, amounts, with_steady_storage
from kubelet.node.node import own_ports
from kubelet.pod.decisions.admission import Room
from kubelet.settings import KubeletSettings


class Keeping(NamedTuple):
    """What the node is under, and what of it is not for pods."""

    pressed: frozenset[str]
    margins: Mapping[str, Amount]
    reserves: Reserves


def room_of(
    facts: MachineFacts,
    settings: KubeletSettings,
    node: Node | None,
    devices: Shelf,
    keeping: Keeping,
) -> Room:
    """Return what pods may take of this node, with the devices that its Node names."""
    stated = node.status.capacity if node is not None else {}
    facts, written = with_steady_storage(facts, stated), extended(stated)
    capacity = amounts(facts, settings.pod_limit, written)
    given = allocatable(capacity, keeping.reserves.reserved, keeping.margins)
    own = managed(devices)
    counts = {name: units(name, amount) for name, amount in given.items() if name not in own}
    pod_count, ports = counts.pop("pods"), own_ports(settings)
    return Room(counts, pod_count, ports, devices, keeping.pressed, keeping.reserves.sysctls)
