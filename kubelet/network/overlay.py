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
BRIDGE = "weave"  # a Weave router's; named by itself
DATAPATH = "datapath"  # the Open vSwitch device of its fast path
WEAVE_PORTS = (6783, 6784)  # UDP: Weave's sleeve, and its fast path
WEAVE_OVERHEAD_BYTES = 124  # what Weave's fast path takes with encryption
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


def peer_mac(node_name: str) -> str:
    """Return the MAC of the Weave bridge of the node that has this name: Weave's peer name.

    Of the name and not of the range: the router is begun before the node has a range.
    """
    return _local_mac(0xCE, _digest(node_name))


def _digest(pod_uid: str) -> str:
    return hashlib.sha256(pod_uid.encode()).hexdigest()


def _local_mac(family: int, hexes: str) -> str:
    """Return a locally administered unicast address: 02, a byte of ours, four of hexes."""
    return ":".join(["02", f"{family:02x}", *(hexes[at : at + 2] for at in range(0, 8, 2))])


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the tables of the device between nodes hold, each by its key."""

    routes: Mapping[IPv4Network, IPv4Address] = field(default_factory=dict)  # range -> gateway
    neighbours: Mapping[IPv4Address, str] = field(default_factory=dict)  # gateway -> MAC
    forwarding: Mapping[str, IPv4Address] = field(default_factory=dict)  # MAC -> node
    mtus: Mapping[IPv4Network, int] = field(default_factory=dict)  # range -> bytes, where known


def overlay_for(peers: Iterable[Peer], own: IPv4Network) -> Overlay:
    """Return what makes exactly these peers' pods reachable by VXLAN."""
    known = reachable(peers, own)
    return Overlay(
        routes={peer.pod_cidr: gateway_of(peer) for peer in known},
        neighbours={gateway_of(peer): node_mac(peer.pod_cidr) for peer in known},
        forwarding={node_mac(peer.pod_cidr): peer.address for peer in known},
        mtus=_mtus(known, OVERHEAD_BYTES),
    )


def weave_overlay_for(peers: Iterable[Peer], own: IPv4Network) -> Overlay:
    """Return what makes exactly these peers' pods reachable by Weave, which forwards by itself."""
    known = reachable(peers, own)
    return Overlay(
        routes={peer.pod_cidr: gateway_of(peer) for peer in known},
        neighbours={gateway_of(peer): peer_mac(peer.name) for peer in known},
        mtus=_mtus(known, WEAVE_OVERHEAD_BYTES),
    )


def _mtus(peers: Iterable[Peer], overhead_bytes: int) -> Mapping[IPv4Network, int]:
    """Return what a pod's packet to each range may have, where the way there is known."""
    return {
        peer.pod_cidr: peer.mtu_bytes - overhead_bytes
        for peer in peers
        if peer.mtu_bytes > overhead_bytes
    }


def gateway_of(peer: Peer) -> IPv4Address:
    """Return a node's own address in its range, by which its pods are reached."""
    return peer.pod_cidr.network_address


def reachable(peers: Iterable[Peer], own: IPv4Network) -> list[Peer]:
    """Return the peers in the order of their ranges.

    A range that overlaps this node's or an earlier peer's (by address) is left out: two answers
    for one pod are worse than none.
    """
    known: list[Peer] = []
    end = -1
    for peer in sorted(peers, key=lambda peer: (int(gateway_of(peer)), peer.name)):
        if int(gateway_of(peer)) <= end or peer.pod_cidr.overlaps(own):
            continue
        end = int(peer.pod_cidr.broadcast_address)
        known.append(peer)
    return known


def surplus[K, V](found: Mapping[K, V], wanted: Mapping[K, V]) -> list[K]:
    """Return the keys that should not be there, in order."""
    return sorted(found.keys() - wanted.keys(), key=str)


def lacking[K, V](found: Mapping[K, V], wanted: Mapping[K, V]) -> list[tuple[K, V]]:
    """Return the entries that are missing or different, in order."""
    return sorted(
        ((key, value) for key, value in wanted.items() if found.get(key) != value),
        key=lambda entry: str(entry[0]),
    )
