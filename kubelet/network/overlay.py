"""The overlay as data: names, MACs, and what the kernel must know of every peer. Pure.

Each node's VXLAN device has a MAC that follows from its pod range, so any node can compute how to
reach any other without asking: one route, one neighbour and one forwarding entry per peer, all
static. Nothing is learnt from packets, so nothing can be taught wrongly.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from kubelet.network.driver import Peer

DEVICE = "cube-vxlan"
PORT = 8472  # UDP, on every node
WIRES = "cube+"  # every wire of ours, and the overlay's device: what pods' packets come in by
GATEWAY = IPv4Address("169.254.1.1")  # every pod's next hop; its MAC is known, nobody answers ARP
OVERHEAD_BYTES = 50  # outer Ethernet, IPv4, UDP and VXLAN headers
ROUTE_PROTOCOL = 203  # marks our routes among others' (`ip route` shows `proto 203`)
ALIAS = "cubernetes pod "  # a host end's alias names its pod: the record in the kernel

_HOST_END = re.compile(r"cube[0-9a-f]{11}")


def host_end(pod_uid: str) -> str:
    """Return the name of a pod's interface on the node: a hash, since 15 characters are all."""
    return f"cube{_digest(pod_uid)[:11]}"


def is_host_end(name: str) -> bool:
    """True for a name that host_end makes."""
    return _HOST_END.fullmatch(name) is not None


def host_mac(pod_uid: str) -> str:
    """Return the MAC of a pod's interface on the node.

    Set at creation, so that a udev rule about persistent MACs leaves it alone.
    """
    return _local_mac(0xC0, _digest(pod_uid))


def pod_mac(pod_uid: str) -> str:
    """Return the MAC of the pod's own interface."""
    return _local_mac(0xC1, _digest(pod_uid))


def node_mac(pod_cidr: IPv4Network) -> str:
    """Return the MAC of the VXLAN device of the node that has this range."""
    return _local_mac(0xCB, pod_cidr.network_address.packed.hex())


def _digest(pod_uid: str) -> str:
    return hashlib.sha256(pod_uid.encode()).hexdigest()


def _local_mac(family: int, hexes: str) -> str:
    """Return a locally administered unicast address: 02, a byte of ours, four of hexes."""
    return ":".join(["02", f"{family:02x}", *(hexes[at : at + 2] for at in range(0, 8, 2))])


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the VXLAN device's tables hold, each by its key."""

    routes: Mapping[IPv4Network, IPv4Address] = field(default_factory=dict)  # range -> gateway
    neighbours: Mapping[IPv4Address, str] = field(default_factory=dict)  # gateway -> MAC
    forwarding: Mapping[str, IPv4Address] = field(default_factory=dict)  # MAC -> node


def overlay_for(peers: Iterable[Peer], own: IPv4Network) -> Overlay:
    """Return what makes exactly these peers' pods reachable.

    A range that overlaps this node's or an earlier peer's (by address) is left out: two answers
    for one pod are worse than none.
    """
    routes: dict[IPv4Network, IPv4Address] = {}
    neighbours: dict[IPv4Address, str] = {}
    forwarding: dict[str, IPv4Address] = {}
    end = -1
    for peer in sorted(peers, key=lambda peer: (int(peer.pod_cidr.network_address), peer.name)):
        gateway = peer.pod_cidr.network_address
        if int(gateway) <= end or peer.pod_cidr.overlaps(own):
            continue
        end = int(peer.pod_cidr.broadcast_address)
        routes[peer.pod_cidr] = gateway
        neighbours[gateway] = node_mac(peer.pod_cidr)
        forwarding[node_mac(peer.pod_cidr)] = peer.address
    return Overlay(routes, neighbours, forwarding)


def surplus[K, V](found: Mapping[K, V], wanted: Mapping[K, V]) -> list[K]:
    """Return the keys that should not be there, in order."""
    return sorted(found.keys() - wanted.keys(), key=str)


def lacking[K, V](found: Mapping[K, V], wanted: Mapping[K, V]) -> list[tuple[K, V]]:
    """Return the entries that are missing or different, in order."""
    return sorted(
        ((key, value) for key, value in wanted.items() if found.get(key) != value),
        key=lambda entry: str(entry[0]),
    )
