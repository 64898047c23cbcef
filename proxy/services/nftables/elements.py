"""Services and their endpoints to elements of the table's maps. Pure.

fronts      address, protocol, port          -> a way (ways.py), or an end
node-fronts protocol, port                   -> a way
slots       address, protocol, port, number  -> an endpoint
node-slots  protocol, port, number           -> an endpoint
loops       an endpoint's address, twice     (what reaches itself)
"""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from cubernetes.host.packetfilter.expressions import DROP, GOTO
from cubernetes.host.packetfilter.flows import Front
from cubernetes.host.packetfilter.nftables import ElementKey, Elements, Goto, Value
from proxy.services.nftables import ways
from proxy.services.nftables.ways import Local, Marked, Sources, Spread, Sticky, Way
from proxy.services.served import Backend, Served, ServedPort

PROTOCOLS: Mapping[str, int] = {"tcp": 6, "udp": 17}
UDP = PROTOCOLS["udp"]
_PORT_KEY, _NODE_KEY = struct.Struct("!4sB3xH2x"), struct.Struct("!B3xH2x")
_ENDPOINT = struct.Struct("!4sH2x")
_SLOT = struct.Struct("=I")  # as the kernel draws it, in its own byte order


@dataclass(frozen=True, slots=True)
class ServiceElements:
    """What one service adds: elements, and the ways that they lead into.

    skipped says what could not be compiled, and why; the rest of the service is served.
    """

    served: Served = field(default_factory=Served)
    elements: Elements = field(default_factory=dict)
    ways: frozenset[Way] = frozenset()

    @property
    def skipped(self) -> tuple[str, ...]:
        return self.served.skipped


def part_of(served: Served) -> ServiceElements:
    """Return what the ports of a service add."""
    elements: dict[ElementKey, Value] = {}
    used: set[Way] = set()
    for port in served.ports:
        for front in _fronts(port):
            elements.setdefault(front.place, _verdict(front.way))
            if not isinstance(front.way, str):
                used.add(front.way)
            elements |= front.slots
        if port.everywhere:
            addresses = {backend.address.packed for backend in (*port.everywhere, *port.here)}
            elements |= {ElementKey(ways.LOOPS, one + one): b"" for one in addresses}
    return ServiceElements(served, elements, frozenset(used))


@dataclass(frozen=True, slots=True)
class _Front:
    """One door of a port. way: empty drops; a name is of a chain that always stands."""

    place: ElementKey
    way: Way | str
    slots: Elements


def _verdict(way: Way | str) -> Goto:
    name = way if isinstance(way, str) else way.name
    return Goto(GOTO, name) if name else Goto(DROP)


def port_key(address: IPv4Address, protocol: str, port: int) -> bytes:
    return _PORT_KEY.pack(address.packed, PROTOCOLS[protocol], port)


def node_key(protocol: str, port: int) -> bytes:
    return _NODE_KEY.pack(PROTOCOLS[protocol], port)


def _fronts(port: ServedPort) -> Iterator[_Front]:
    # The cluster IP has no front without endpoints: it is refused anyway.
    if port.everywhere:
        key = port_key(port.cluster_ip, port.protocol, port.port)
        yield _Front(
            ElementKey(ways.FRONTS, key), _inner(port), _slots(port, key, port.is_inner_local)
        )
    for address in (*port.externals, *port.balanced):
        key = port_key(address, port.protocol, port.port)
        yield _Front(ElementKey(ways.FRONTS, key), _led(port, address), _outer_slots(port, key))
    if port.node_port:
        key = node_key(port.protocol, port.node_port)
        way = _outer(port, is_node_port=True)
        yield _Front(ElementKey(ways.NODE_FRONTS, key), way, _outer_slots(port, key))


def _inner(port: ServedPort) -> Way | str:
    """Return where the cluster IP of a port with endpoints leads."""
    if port.is_inner_local and not port.here:
        return ""
    return Marked("strangers", _end(port, is_node_port=False, is_here=port.is_inner_local))


def _led(port: ServedPort, address: IPv4Address) -> Way | str:
    """Return where an address from outside leads: one of the pool may be for some sources only."""
    way = _outer(port, is_node_port=False)
    if isinstance(way, str) or not port.sources or address not in port.balanced:
        return way
    return Sources(port.sources, way)


def _outer(port: ServedPort, *, is_node_port: bool) -> Marked | Local | str:
    """Return where the other doors lead."""
    if not port.everywhere:
        return ways.REFUSED
    anywhere = _end(port, is_node_port=is_node_port, is_here=False)
    if not port.is_outer_local:
        return Marked("always", anywhere)
    here = _end(port, is_node_port=is_node_port, is_here=True) if port.here else None
    return Local(anywhere, here)


def _end(port: ServedPort, *, is_node_port: bool, is_here: bool) -> Spread | Sticky:
    backends = port.here if is_here else port.everywhere
    if not port.affinity_s:
        return Spread(is_node_port, is_here, len(backends))
    key = port_key(port.cluster_ip, port.protocol, port.port)
    return Sticky(key, tuple(_packed(one) for one in backends), port.affinity_s)


def _outer_slots(port: ServedPort, key: bytes) -> Elements:
    found = _slots(port, key, is_here=False)
    return found | _slots(port, key, is_here=True) if port.is_outer_local else found


def _slots(port: ServedPort, key: bytes, is_here: bool) -> dict[ElementKey, Value]:
    """Return the endpoints of a door by their numbers.

    Those of a port whose clients keep theirs are never drawn; they tell which flows are stale.
    """
    backends: Sequence[Backend] = port.here if is_here else port.everywhere
    name = ways.SLOTS if len(key) == _PORT_KEY.size else ways.NODE_SLOTS
    first = ways.HERE_FROM if is_here else 0
    return {
        ElementKey(name, key + _SLOT.pack(first + at)): _packed(backend)
        for at, backend in enumerate(backends)
    }


def _packed(backend: Backend) -> bytes:
    return _ENDPOINT.pack(backend.address.packed, backend.port)


def udp_endpoints(elements: Elements) -> Mapping[Front, Collection[str]]:
    """Return the addresses of endpoints behind each UDP front that elements hold.

    The front of a node port has no address: it is at all that the node has.
    """
    fronts: dict[ElementKey, Front] = {}
    for place in elements:
        if place.name == ways.FRONTS and place.key[4] == UDP:
            address, _, number = _PORT_KEY.unpack(place.key)
            key = ElementKey(ways.SLOTS, place.key)
            fronts[key] = Front(str(IPv4Address(address)), str(number))
        elif place.name == ways.NODE_FRONTS and place.key[0] == UDP:
            fronts[ElementKey(ways.NODE_SLOTS, place.key)] = Front(
                "", str(_NODE_KEY.unpack(place.key)[1])
            )
    behind: dict[Front, set[str]] = {front: set() for front in fronts.values()}
    for place, value in elements.items():
        front = fronts.get(ElementKey(place.name, place.key[: -_SLOT.size]))
        if front is not None and isinstance(value, bytes):
            behind[front].add(str(IPv4Address(value[:4])))
    return behind
