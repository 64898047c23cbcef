"""What a node's pod network should be, what it is, and the acts that make it so. Pure.

Both sides are *facts*: a mapping from a part of the network (a device, a setting, a route) to its
value. The node's own facts are one mapping, each pod's another; what differs is put, what is ours
and not wanted is dropped, and the acts carried out in order leave nothing to do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from kubelet.network.dump import Link, Space, Vxlan, Way
from kubelet.network.overlay import (
    ALIAS,
    BRIDGE,
    DEVICE,
    GATEWAY,
    ROUTE_PROTOCOL,
    Overlay,
    host_end,
    host_mac,
    is_host_end,
    node_mac,
    pod_mac,
)

POD_DEVICE = "eth0"
UNICAST, UNREACHABLE = 1, 7  # kinds of routes, from linux/rtnetlink.h
SCOPE_GLOBAL, SCOPE_LINK = 0, 253
STATIC = 4  # the protocol of a route that an administrator wrote: what a pod sees
ANYWHERE = IPv4Network("0.0.0.0/0")


class Kind(IntEnum):
    """What a part is, in the order in which parts are put; they are dropped in the reverse."""

    DEVICE = 1
    SETTING = 2
    STATE = 3
    ADDRESS = 4
    ENTRY = 5
    NEIGHBOUR = 6
    ROUTE = 7


class NetworkPart(NamedTuple):
    """One part of the network. pod: the uid of the pod within whose namespace it is, or nothing."""

    kind: Kind
    pod: str
    device: str
    key: str = ""

    def __str__(self) -> str:
        words = (self.kind.name.lower(), self.key, f"of {self.device}" if self.device else "")
        return " ".join(word for word in words if word) + (" in the pod" if self.pod else "")


class Tunnel(NamedTuple):
    """The overlay's device: what can only be said at its birth."""

    mac: str
    vxlan: Vxlan


class Pair(NamedTuple):
    """A pod's two ends, known by their MACs."""

    pod: str
    host_mac: str
    pod_mac: str


class State(NamedTuple):
    """What can be set of a device at any time. mtu_bytes 0: whatever it is."""

    mtu_bytes: int
    is_up: bool
    alias: str = ""


class Route(NamedTuple):
    """A route, with its device by name. mtu_bytes 0: that of the device."""

    kind: int
    device: str = ""
    gateway: IPv4Address | None = None
    source: IPv4Address | None = None
    scope: int = SCOPE_GLOBAL
    protocol: int = ROUTE_PROTOCOL
    mtu_bytes: int = 0


type Value = Tunnel | Pair | State | Route | str
type Facts = Mapping[NetworkPart, Value]


class Put(NamedTuple):
    part: NetworkPart
    value: Value

    def __str__(self) -> str:
        return str(self.part)


class Drop(NamedTuple):
    part: NetworkPart
    value: Value

    def __str__(self) -> str:
        return f"stray {self.part}"


type Act = Put | Drop


def acts(found: Facts, wanted: Facts) -> list[Act]:
    """Return what makes found into wanted, in the order in which it must be done.

    What hangs on a device that is made anew goes with the old one, and is put again.
    """
    anew = [
        (part, value)
        for part, value in wanted.items()
        if part.kind is Kind.DEVICE and found.get(part) != value
    ]
    left = {
        part: value
        for part, value in found.items()
        if not any(_hangs_on(part, value, *device) for device in anew)
    }
    drops = [Drop(part, left[part]) for part in sorted(left.keys() - wanted.keys(), reverse=True)]
    puts = [Put(part, wanted[part]) for part in sorted(wanted) if left.get(part) != wanted[part]]
    return [*drops, *puts]


def _hangs_on(part: NetworkPart, value: Value, device: NetworkPart, made: Value) -> bool:
    names = {part.device, value.device if isinstance(value, Route) else ""}
    if isinstance(made, Pair) and part.pod == made.pod:
        return POD_DEVICE in names
    return part.pod == device.pod and device.device in names


@dataclass(frozen=True, slots=True)
class Here:
    """Where this node stands: its address, the card that has it, its range, the overlay's number.

    has_ipv6: the kernel knows IPv6, so that it must be kept from the pods' wires. refuses_range:
    each pod has a route of its own, so that the range's other addresses can be refused. device: by
    which other nodes are reached: ours, or a bridge of somebody else's, who sees to it.
    """

    address: IPv4Address
    under: int
    mtu_bytes: int
    pod_cidr: IPv4Network
    vni: int
    port: int
    has_ipv6: bool = True
    refuses_range: bool = True
    device: str = DEVICE

    @property
    def has_tunnel(self) -> bool:
        """Return whether the device is ours to make."""
        return self.device == DEVICE


def node_wanted(here: Here, overlay: Overlay) -> Facts:
    """Return what the node itself needs: the device to other nodes, its tables, and forwarding."""
    device = here.device
    wanted: dict[NetworkPart, Value] = {
        NetworkPart(Kind.ADDRESS, "", device, f"{here.pod_cidr.network_address}/32"): "",
        NetworkPart(Kind.SETTING, "", "", "ipv4/ip_forward"): "1",
    }
    if here.has_tunnel:
        tunnel = Vxlan(here.vni, here.port, here.address, here.under, learns=False)
        wanted[NetworkPart(Kind.DEVICE, "", device)] = Tunnel(node_mac(here.pod_cidr), tunnel)
        wanted[NetworkPart(Kind.STATE, "", device)] = State(here.mtu_bytes, is_up=True)
    if here.refuses_range:
        # Without it a packet to a free address would leave by the default route, its sender wait.
        wanted[NetworkPart(Kind.ROUTE, "", "", str(here.pod_cidr))] = Route(UNREACHABLE)
    for name, value in _wire_settings(device, is_pods=False, has_ipv6=here.has_ipv6):
        wanted[NetworkPart(Kind.SETTING, "", device, name)] = value
    for mac, node in overlay.forwarding.items():
        wanted[NetworkPart(Kind.ENTRY, "", device, mac)] = str(node)
    for gateway, mac in overlay.neighbours.items():
        wanted[NetworkPart(Kind.NEIGHBOUR, "", device, str(gateway))] = mac
    for cidr, gateway in overlay.routes.items():
        mtu_bytes = overlay.mtus.get(cidr, here.mtu_bytes)
        wanted[NetworkPart(Kind.ROUTE, "", "", str(cidr))] = Route(
            UNICAST, device, gateway, mtu_bytes=mtu_bytes if mtu_bytes < here.mtu_bytes else 0
        )
    return wanted


def _wire_settings(device: str, *, is_pods: bool, has_ipv6: bool) -> Iterator[tuple[str, str]]:
    """Yield the settings of a device that pods' packets come in by.

    rp_filter: an address that is not routed back there is not believed. arp_ignore: the node says
    nothing of itself, since every MAC that a pod needs is written into its tables. IPv6 would be a
    second way to the node, past every rule.
    """
    yield f"ipv4/conf/{device}/forwarding", "1"
    yield f"ipv4/conf/{device}/rp_filter", "1"
    if is_pods:
        yield f"ipv4/conf/{device}/arp_ignore", "8"
    if has_ipv6:
        yield f"ipv6/conf/{device}/disable_ipv6", "1"


@lru_cache(maxsize=1024)
def pod_wanted(uid: str, address: IPv4Address, here: Here) -> Facts:
    """Return what a pod needs: its pair, and on both ends the way to the other."""
    device, inner, outer = host_end(uid), pod_mac(uid), host_mac(uid)
    wanted: dict[NetworkPart, Value] = {
        NetworkPart(Kind.DEVICE, "", device): Pair(uid, outer, inner),
        NetworkPart(Kind.STATE, "", device): State(
            here.mtu_bytes, is_up=True, alias=f"{ALIAS}{uid}"
        ),
        NetworkPart(Kind.NEIGHBOUR, "", device, str(address)): inner,
        NetworkPart(Kind.ROUTE, "", "", f"{address}/32"): Route(
            UNICAST, device, source=here.address, scope=SCOPE_LINK
        ),
        NetworkPart(Kind.STATE, uid, "lo"): State(0, is_up=True),
        NetworkPart(Kind.STATE, uid, POD_DEVICE): State(here.mtu_bytes, is_up=True),
        NetworkPart(Kind.ADDRESS, uid, POD_DEVICE, f"{address}/32"): "",
        NetworkPart(Kind.NEIGHBOUR, uid, POD_DEVICE, str(GATEWAY)): outer,
        NetworkPart(Kind.ROUTE, uid, "", f"{GATEWAY}/32"): Route(
            UNICAST, POD_DEVICE, scope=SCOPE_LINK, protocol=STATIC
        ),
        NetworkPart(Kind.ROUTE, uid, "", str(ANYWHERE)): Route(
            UNICAST, POD_DEVICE, GATEWAY, protocol=STATIC
        ),
    }
    for name, value in _wire_settings(device, is_pods=True, has_ipv6=here.has_ipv6):
        wanted[NetworkPart(Kind.SETTING, "", device, name)] = value
    return wanted


def settings_of(wanted: Facts) -> list[str]:
    """Return the names of the settings that must be read to compare."""
    return [part.key for part in wanted if part.kind is Kind.SETTING]


def node_found(
    space: Space, settings: Mapping[str, str], wanted: Facts, device: str = DEVICE
) -> Facts:
    """Return the node's own facts: whatever is where a wanted one should be, and all of ours."""
    found = dict(_settings_found(settings, wanted))
    link = space.links.get(device)
    if link is None:
        return found | _routes_found(space, "", wanted, (0,))
    if link.vxlan is not None:
        found[NetworkPart(Kind.DEVICE, "", device)] = Tunnel(link.mac, link.vxlan)
    on_it = _device_found(space, link, "")
    found |= on_it if device == DEVICE else dict(_ours_on_a_bridge(on_it))
    for entry in space.entries:
        if entry.device == link.index and device == DEVICE:
            found[NetworkPart(Kind.ENTRY, "", device, entry.mac)] = str(entry.to)
    return found | _routes_found(space, "", wanted, (0, link.index))


def _ours_on_a_bridge(found: Facts) -> Iterator[tuple[NetworkPart, Value]]:
    """Leave out what is the bridge's owner's: its state, and addresses of whole networks."""
    for part, value in found.items():
        if part.kind is Kind.NEIGHBOUR or (part.kind is Kind.ADDRESS and part.key.endswith("/32")):
            yield part, value


def without_peers(found: Facts, device: str = DEVICE) -> Facts:
    """Leave out what leads to other nodes, for a kubelet that does not know them yet."""

    def leads_out(part: NetworkPart, value: Value) -> bool:
        by = value.device if isinstance(value, Route) else part.device
        return by == device and part.kind in (Kind.ENTRY, Kind.NEIGHBOUR, Kind.ROUTE)

    return {part: value for part, value in found.items() if not leads_out(part, value)}


def pod_found(
    uid: str, node: Space, pod: Space, settings: Mapping[str, str], wanted: Facts
) -> Facts:
    """Return a pod's facts, on both ends of its wire."""
    found = dict(_settings_found(settings, wanted))
    outer, inner, lo = node.links.get(host_end(uid)), pod.links.get(POD_DEVICE), pod.links.get("lo")
    if lo is not None:
        found[NetworkPart(Kind.STATE, uid, "lo")] = State(0, lo.is_up)
    if outer is not None:
        found |= _device_found(node, outer, "", alias=outer.alias)
        found |= _routes_found(node, "", wanted, (outer.index,))
    if inner is not None:
        found |= _device_found(pod, inner, uid)
        found |= _routes_found(pod, uid, wanted, ())
    if outer and inner and (outer.peer, inner.peer) == (inner.index, outer.index):
        found[NetworkPart(Kind.DEVICE, "", outer.name)] = Pair(uid, outer.mac, inner.mac)
    return found


def _settings_found(
    settings: Mapping[str, str], wanted: Facts
) -> Iterator[tuple[NetworkPart, Value]]:
    for part in wanted:
        if part.kind is Kind.SETTING and part.key in settings:
            yield part, settings[part.key]


def _device_found(space: Space, link: Link, pod: str, alias: str = "") -> dict[NetworkPart, Value]:
    """Return the state, the addresses and the written neighbours of a device."""
    found: dict[NetworkPart, Value] = {
        NetworkPart(Kind.STATE, pod, link.name): State(link.mtu_bytes, link.is_up, alias)
    }
    for address in space.addresses_of.get(link.index, ()):
        found[NetworkPart(Kind.ADDRESS, pod, link.name, str(address))] = ""
    for near in space.neighbours_of.get(link.index, ()):
        found[NetworkPart(Kind.NEIGHBOUR, pod, link.name, str(near.to))] = near.mac
    return found


def _routes_found(
    space: Space, pod: str, wanted: Facts, devices: tuple[int, ...]
) -> dict[NetworkPart, Value]:
    """Return the routes to where a wanted one leads, and those of ours by one of these devices."""
    keys = {part.key for part in wanted if part.kind is Kind.ROUTE and part.pod == pod}
    for device in devices:
        ways = space.ways_by.get(device, ())
        keys |= {str(way.to) for way in ways if way.protocol == ROUTE_PROTOCOL}
    return {
        NetworkPart(Kind.ROUTE, pod, "", key): _route_of(space.ways_to[key], space.names)
        for key in keys & space.ways_to.keys()
    }


def _route_of(way: Way, names: Mapping[int, str]) -> Route:
    device = names.get(way.device, "") if way.kind == UNICAST else ""
    return Route(way.kind, device, way.gateway, way.source, way.scope, way.protocol, way.mtu_bytes)


def told(done: Iterable[Act]) -> str:
    """Return for people what was found wrong."""
    return ", ".join(str(act) for act in done)


def pods_found(space: Space) -> dict[str, IPv4Address]:
    """Return which address each pod's host end routes to: the kernel's own record."""
    uids = {
        one.index: one.alias.removeprefix(ALIAS)
        for one in space.links.values()
        if is_host_end(one.name) and one.alias.startswith(ALIAS)
    }
    return {
        uids[way.device]: way.to.network_address
        for way in space.routes
        if way.device in uids and way.protocol == ROUTE_PROTOCOL and way.to.prefixlen == 32
    }


def host_ends(space: Space) -> list[str]:
    """Return the names of every host end that this driver made; one without an alias is half so."""
    return sorted(
        one.name
        for one in space.links.values()
        if is_host_end(one.name) and one.kind == "veth" and (one.alias or ALIAS).startswith(ALIAS)
    )


def card_of(space: Space, address: IPv4Address) -> Link | None:
    """Return the device that has an address, or None."""
    indexes = {index for index, one in space.addresses if one.ip == address}
    return next((one for one in space.links.values() if one.index in indexes), None)


def cards_addresses(space: Space) -> list[IPv4Address]:
    """Return the addresses by which others might reach this machine: no loopback, none of ours."""
    ours = {one.index for one in space.links.values() if not is_card(one.name)}
    return sorted(
        one.ip for index, one in space.addresses if index not in ours and not one.is_loopback
    )


def is_card(name: str) -> bool:
    """Tell whether a device may be a node's card: no device by which we reach other nodes' pods."""
    return name not in (DEVICE, BRIDGE)
