"""The chains that fronts lead into: shared by all ports that are served alike. Pure.

A front's element names a way: whether a packet is masqueraded, which sources may come, and over how
many endpoints it is spread. A `Spread` holds no address of a service: it draws a number and finds
the endpoint in the map `slots` by the packet's own destination. A `Sticky` belongs to one port
whose clients keep their endpoints, and to all doors of it.

A way's name follows from what it holds, so that a chain is never edited.

Within a rule no key is made of what a map gave: the kernel takes that, `nft list` ends in an abort.
"""

import hashlib
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Literal, NamedTuple

from cubernetes.host.packetfilter import expressions as say
from cubernetes.host.packetfilter.expressions import (
    ACCEPT,
    DROP,
    EQUAL,
    GOTO,
    LOCAL_ADDRESS,
    META_MARK,
    META_PROTOCOL,
    NOT_EQUAL,
    R0,
)
from cubernetes.host.packetfilter.nftables import ChainOf, Statement

# The maps and sets that the rules look into; skeleton.py says what they hold.
FRONTS, NODE_FRONTS = "fronts", "node-fronts"
SLOTS, NODE_SLOTS, CLIENTS, LOOPS = "slots", "node-slots", "clients", "loops"

MASQUERADE_BIT, REJECT_BIT = 0x4000, 0x2000
# Slots of the endpoints of this node are numbered from here.
HERE_FROM = 1 << 31
REFUSED = "refused"


class Spread(NamedTuple):
    """To any of so many endpoints. is_here: this node's; is_node_port: found without an address."""

    is_node_port: bool
    is_here: bool
    among: int

    @property
    def name(self) -> str:
        door, place = "node" if self.is_node_port else "address", "here" if self.is_here else "all"
        return f"{door}-{place}-{self.among}"


class Sticky(NamedTuple):
    """To the endpoint that a client has had in the last seconds, else to any. key: the port's."""

    key: bytes
    endpoints: tuple[bytes, ...]
    seconds: int

    @property
    def name(self) -> str:
        said = b"".join((self.key, *self.endpoints, self.seconds.to_bytes(4)))
        return f"sticky-{hashlib.sha256(said).hexdigest()[:20]}"


class Marked(NamedTuple):
    """To an end, masqueraded: always, or only for strangers to the pod range."""

    masqueraded: Literal["always", "strangers"]
    end: Spread | Sticky

    @property
    def name(self) -> str:
        return f"{self.masqueraded}-{self.end.name}"


class Local(NamedTuple):
    """What comes from outside is served by this node alone, or where here is None by nobody."""

    anywhere: Spread | Sticky
    here: Spread | Sticky | None

    @property
    def name(self) -> str:
        return f"local-{self.here.name if self.here else 'none'}-{self.anywhere.name}"


class Sources(NamedTuple):
    """Only who comes from one of these networks is led on."""

    networks: tuple[IPv4Network, ...]
    on: Marked | Local

    @property
    def name(self) -> str:
        said = ",".join(str(one) for one in self.networks)
        return f"from-{hashlib.sha256(said.encode()).hexdigest()[:20]}-{self.on.name}"


type Way = Spread | Sticky | Marked | Local | Sources


def needed_by(way: Way) -> tuple[Way, ...]:
    """Return a way and those that its rules lead into, each after what it needs."""
    match way:
        case Sources():
            return (*needed_by(way.on), way)
        case Local():
            return (way.anywhere, *((way.here,) if way.here else ()), way)
        case Marked():
            return (way.end, way)
        case _:
            return (way,)


def chain_of(way: Way, pod_range: IPv4Network) -> ChainOf:
    """Return the chain of a way."""
    match way:
        case Sources():
            rules = tuple(_by_source(way))
        case Local():
            rules = _by_place(way, pod_range)
        case Marked():
            rules = (_marked(way, pod_range), (say.verdict(GOTO, way.end.name),))
        case Sticky():
            rules = tuple(_sticky(way))
        case Spread():
            rules = (_spread(way),)
    return ChainOf(way.name, rules)


def refused() -> ChainOf:
    """Return the way of a door that nobody serves: the filter refuses what is marked so."""
    return ChainOf(REFUSED, ((*marked_with(REJECT_BIT), say.verdict(ACCEPT)),))


def of_network(register: int, network: IPv4Network, relation: int = EQUAL) -> Statement:
    """Return what tells whether an address that is loaded lies in a network."""
    mask = network.netmask.packed
    return (
        say.bits(register, mask, bytes(4)),
        say.compare(register, relation, network.network_address.packed),
    )


def marked_with(bit: int) -> Statement:
    """Return what sets a bit of a packet's mark."""
    mask, flipped = struct.pack("=I", ~bit & 0xFFFFFFFF), struct.pack("=I", bit)
    return (say.meta(META_MARK, R0), say.bits(R0, mask, flipped), say.set_meta(META_MARK, R0))


def _by_source(way: Sources) -> Iterator[Statement]:
    for network in way.networks:
        led = say.verdict(GOTO, way.on.name)
        # Every source has no bits to compare.
        yield (say.source(R0), *of_network(R0, network), led) if network.prefixlen else (led,)
    yield (say.verdict(DROP),)


def _by_place(way: Local, pod_range: IPv4Network) -> tuple[Statement, ...]:
    local = struct.pack("=I", LOCAL_ADDRESS)
    is_own = (say.fib_kind(R0, of_source=True), say.compare(R0, EQUAL, local))
    anywhere = say.verdict(GOTO, way.anywhere.name)
    return (
        # The policy is about what comes from outside: the cluster's own are served by any pod.
        (say.source(R0), *of_network(R0, pod_range), anywhere),
        (*is_own, *marked_with(MASQUERADE_BIT), anywhere),
        (say.verdict(GOTO, way.here.name) if way.here else say.verdict(DROP),),
    )


def _marked(way: Marked, pod_range: IPv4Network) -> Statement:
    """Return what has a packet masqueraded: else the answer would take another way."""
    if way.masqueraded == "always":
        return marked_with(MASQUERADE_BIT)
    strange = (say.source(R0), *of_network(R0, pod_range, NOT_EQUAL))
    return (*strange, *marked_with(MASQUERADE_BIT))


def _spread(way: Spread) -> Statement:
    first = HERE_FROM if way.is_here else 0
    address, slots = ((), NODE_SLOTS) if way.is_node_port else ((say.destination(R0),), SLOTS)
    at = R0 + len(address)
    key = (*address, say.meta(META_PROTOCOL, at), say.destination_port(at + 1))
    drawn = say.draw(way.among, first, R0 + len(key))
    return (*key, drawn, say.lookup(slots, R0, R0), say.lead_to(R0, R0 + 1))


def _sticky(way: Sticky) -> Iterator[Statement]:
    """Yield rules: to the endpoint that the client has; to any, remembered; to any.

    The last serve where more clients came than can be remembered: an element that cannot be added
    ends its rule.
    """
    packed = way.endpoints
    for endpoint in packed:
        known = (*_client(way.key, endpoint), say.lookup(CLIENTS, R0))
        yield (*known, say.remember(CLIENTS, R0, way.seconds), *_lead(endpoint))
    for left, endpoint in zip(range(len(packed), 0, -1), packed, strict=True):
        kept = (*_client(way.key, endpoint), say.remember(CLIENTS, R0, way.seconds))
        yield (*_one_of(left), *kept, *_lead(endpoint))
    for left, endpoint in zip(range(len(packed), 0, -1), packed, strict=True):
        yield (*_one_of(left), *_lead(endpoint))


def _one_of(left: int) -> Statement:
    """Return what takes a packet with probability 1/left: 1/n, 1/(n-1), .. 1 share evenly."""
    return (say.draw(left, 0, R0), say.compare(R0, EQUAL, bytes(4))) if left > 1 else ()


def _client(key: bytes, endpoint: bytes) -> Statement:
    """Return what loads the client, and beside it 64 bits that name the port and the endpoint."""
    name = hashlib.sha256(key + endpoint).digest()
    return (say.source(R0), say.constant(R0 + 1, name[:4]), say.constant(R0 + 2, name[4:8]))


def _lead(endpoint: bytes) -> Statement:
    address, port = endpoint[:4], endpoint[4:6]
    return (say.constant(R0, address), say.constant(R0 + 1, port), say.lead_to(R0, R0 + 1))
