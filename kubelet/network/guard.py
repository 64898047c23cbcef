"""What may come in by a pod's wire or as the overlay's packets, as packet filter rules. Pure.

    raw     PREROUTING -> CUBE-GUARD: a source that is not routed back by its wire is dropped, and
                          so is a pod's source that comes in by anything but a wire or the overlay
            OUTPUT     -> CUBE-GUARD-OUT: what names are asked and answered is not tracked
    mangle  INPUT      -> CUBE-GUARD-IN: the overlay's packets from known nodes alone, never from
                          pods; from pods nothing to the ports of the node's own programs
            FORWARD    -> CUBE-GUARD-FWD: the same for those of other nodes

raw sees a packet before anything is translated, mangle where it really goes: an EndpointSlice that
names a node's address leads no pod to its ports. Both are seen before the tables in which others
let packets pass.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.packetfilter.ruleset import Chain, Owner, Rule, RuleSet
from kubelet.network.driver import Peer
from kubelet.network.overlay import WIRES

SOURCES, IN, FORWARD = "CUBE-GUARD", "CUBE-GUARD-IN", "CUBE-GUARD-FWD"
OUT = "CUBE-GUARD-OUT"
OVERLAY, NODES = "CUBE-GUARD-OVERLAY", "CUBE-GUARD-NODES"
OWNER = Owner(frozenset({SOURCES, OUT, IN, FORWARD, OVERLAY, NODES}))

DROP: Rule = ("-j", "DROP")
# As iptables-save spells NOTRACK.
NOTRACK: Rule = ("-j", "CT", "--notrack")
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the rules must know of the cluster.

    pod_range: of the whole cluster. overlay_ports: UDP, by which nodes carry what pods say
    to each other. closed_ports: TCP ports of nodes at which pods have no business. resolvers: where
    this node answers questions about names: pods and the node itself may ask there, machines of its
    network may not. wires: the devices that pods' packets come in by; none where that is not known,
    and then pods are known by their addresses.
    """

    pod_range: IPv4Network
    overlay_ports: tuple[int, ...]
    closed_ports: tuple[int, ...]
    resolvers: tuple[str, ...] = ()
    wires: tuple[str, ...] = (WIRES,)


def rules_for(bounds: Bounds, peers: Iterable[Peer]) -> RuleSet:
    """Return the rules of a node that knows these others."""
    nodes = sorted({peer.address for peer in peers})
    chains = {
        Chain("raw", SOURCES): tuple(_sources(bounds)),
        Chain("mangle", IN): tuple(_inwards(bounds)),
        Chain("mangle", FORWARD): tuple(_forwards(bounds)),
        Chain("mangle", OVERLAY): tuple(_overlay(nodes, bounds)),
        Chain("mangle", NODES): tuple(("-d", f"{node}/32", *DROP) for node in nodes),
    }
    jumps: dict[Chain, tuple[Rule, ...]] = {
        Chain("raw", "PREROUTING"): (("-j", SOURCES),),
        Chain("mangle", "INPUT"): (("-j", IN),),
        Chain("mangle", "FORWARD"): (("-j", FORWARD),),
    }
    if bounds.resolvers:
        chains[Chain("raw", OUT)] = tuple(_untracked(bounds))
        jumps[Chain("raw", "OUTPUT")] = (("-j", OUT),)
    return RuleSet(chains, jumps)


def _untracked(bounds: Bounds) -> Iterator[Rule]:
    """Keep questions about names and their answers out of conntrack: they are many and short."""
    for resolver in bounds.resolvers:
        yield ("-d", f"{resolver}/32", *_udp(DNS_PORT), *NOTRACK)
        yield ("-s", f"{resolver}/32", "-p", "udp", "-m", "udp", "--sport", str(DNS_PORT), *NOTRACK)


def _sources(bounds: Bounds) -> Iterator[Rule]:
    yield from _untracked(bounds)
    # A node that speaks to its own overlay address does so by lo.
    yield ("-i", "lo", "-j", "RETURN")
    for wire in bounds.wires:
        yield ("-i", wire, "-m", "rpfilter", "--invert", *DROP)
    if bounds.wires:
        # Else it would be masqueraded, and arrive elsewhere in this node's name.
        yield from _but_by_wires(bounds, "-i", ("-s", str(bounds.pod_range)))


def _but_by_wires(bounds: Bounds, way: str, ends: Rule, what: Rule = ()) -> Iterator[Rule]:
    """Drop what goes another way than by a pod's wire; nothing else of the chain is about it.

    ends: its source or destination, which iptables writes before the way; what: the rest.
    """
    *others, last = bounds.wires
    for wire in others:
        yield (*ends, way, wire, *what, "-j", "RETURN")
    yield (*ends, "!", way, last, *what, *DROP)


def _inwards(bounds: Bounds) -> Iterator[Rule]:
    for port in bounds.overlay_ports:
        yield (*_udp(port), "-j", OVERLAY)
    if bounds.closed_ports:
        for pods in _of_pods(bounds):
            yield (*pods, *_tcp(bounds.closed_ports), *DROP)
    if bounds.resolvers:
        yield ("-i", "lo", "-j", "RETURN")
    for resolver in bounds.resolvers:
        asked = ("-d", f"{resolver}/32")
        if bounds.wires:
            yield from _but_by_wires(bounds, "-i", asked)
        else:
            yield ("!", "-s", str(bounds.pod_range), *asked, *DROP)


def _of_pods(bounds: Bounds) -> Iterator[Rule]:
    """Yield what tells a pod's packet: the wire that it came in by, else its source."""
    if not bounds.wires:
        yield ("-s", str(bounds.pod_range))
    for wire in bounds.wires:
        yield ("-i", wire)


def _forwards(bounds: Bounds) -> Iterator[Rule]:
    if bounds.wires:
        for port in bounds.overlay_ports:
            yield from _but_by_wires(bounds, "-o", (), _udp(port))
    if bounds.closed_ports:
        beyond = ("!", "-o", bounds.wires[0]) if len(bounds.wires) == 1 else ()
        for pods in _of_pods(bounds):
            yield (*pods, *beyond, *_tcp(bounds.closed_ports), "-j", NODES)


def _overlay(nodes: Iterable[IPv4Address], bounds: Bounds) -> Iterator[Rule]:
    for pods in _of_pods(bounds):
        yield (*pods, *DROP)
    for node in nodes:
        yield ("-s", f"{node}/32", "-j", "RETURN")
    yield DROP


def _udp(port: int) -> Rule:
    return ("-p", "udp", "-m", "udp", "--dport", str(port))


def _tcp(ports: Iterable[int]) -> Rule:
    listed = ",".join(str(port) for port in sorted(set(ports)))
    return ("-p", "tcp", "-m", "multiport", "--dports", listed)
