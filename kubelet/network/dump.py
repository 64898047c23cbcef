"""A network namespace as the kernel tells it: rtnetlink's dumps, decoded to plain values. Pure.

A kubelet looks at its pods' network every few seconds. pyroute2 decodes every attribute of every
message, a hundred times slower than these few structs; it still does all that changes something.

Numbers are from linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h and linux/neighbour.h.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import NamedTuple

MESSAGE, LINK, ADDRESS, ROUTE, NEIGHBOUR = (
    struct.Struct("=IHHII"),
    struct.Struct("=BxHiII"),
    struct.Struct("=BBBBI"),
    struct.Struct("=BBBBBBBBI"),
    struct.Struct("=BxxxiHBB"),
)
ATTRIBUTE = struct.Struct("=HH")
ERROR, DONE = 2, 3
REQUEST_DUMP = 0x301
FAMILY_ANY, FAMILY_INET, FAMILY_BRIDGE = 0, 2, 7
IS_UP = 1
PERMANENT = 0x80
MAIN_TABLE = 254


class NotUnderstood(Exception):
    """The kernel's answer is an error, or not what this module can read; it says which."""


@dataclass(frozen=True, slots=True)
class Vxlan:
    """What makes a VXLAN device what it is. under: the index of the card that carries it."""

    vni: int
    port: int
    local: IPv4Address | None
    under: int
    learns: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A device. peer: the index of a pair's other end, counted in that one's namespace."""

    index: int
    name: str
    kind: str
    mac: str
    mtu_bytes: int
    is_up: bool
    alias: str = ""
    peer: int = 0
    vxlan: Vxlan | None = None


class Way(NamedTuple):
    """A route of the main table. device: the index of its device, 0 where there is none.

    mtu_bytes: what it says itself; 0: nothing.
    """

    to: IPv4Network
    device: int
    gateway: IPv4Address | None
    source: IPv4Address | None
    scope: int
    kind: int
    protocol: int
    metric: int
    mtu_bytes: int = 0


class Near(NamedTuple):
    """A neighbour (to: its address), or a forwarding entry (to: where its packets are wrapped to).

    is_kept: it was written, not learnt.
    """

    device: int
    mac: str
    to: IPv4Address
    is_kept: bool


@dataclass(frozen=True)
class Space:
    """One network namespace, as far as IPv4 pods are concerned."""

    links: Mapping[str, Link]
    addresses: Sequence[tuple[int, IPv4Interface]]
    routes: Sequence[Way]
    neighbours: Sequence[Near]
    entries: Sequence[Near] = ()

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The names of the devices by their indexes."""
        return {one.index: one.name for one in self.links.values()}

    @cached_property
    def addresses_of(self) -> Mapping[int, Sequence[IPv4Interface]]:
        """The addresses of each device."""
        return _grouped(self.addresses)

    @cached_property
    def neighbours_of(self) -> Mapping[int, Sequence[Near]]:
        """The neighbours of each device that were written, not learnt."""
        return _grouped((one.device, one) for one in self.neighbours if one.is_kept)

    @cached_property
    def ways_by(self) -> Mapping[int, Sequence[Way]]:
        """The routes by each device; 0: by none."""
        return _grouped((one.device, one) for one in self.routes)

    @cached_property
    def ways_to(self) -> Mapping[str, Way]:
        """The route to each place: of several the first. One with a metric comes after ours."""
        return {str(one.to): one for one in reversed(self.routes) if one.metric == 0}


def _grouped[V](pairs: Iterable[tuple[int, V]]) -> Mapping[int, Sequence[V]]:
    grouped: dict[int, list[V]] = {}
    for device, value in pairs:
        grouped.setdefault(device, []).append(value)
    return grouped


class Question(NamedTuple):
    """A dump to ask for: the message's type and the fixed part of its body."""

    kind: int
    body: bytes


LINKS = Question(18, LINK.pack(FAMILY_ANY, 0, 0, 0, 0))
ADDRESSES = Question(22, ADDRESS.pack(FAMILY_INET, 0, 0, 0, 0))
ROUTES = Question(26, ROUTE.pack(FAMILY_INET, 0, 0, 0, 0, 0, 0, 0, 0))
NEIGHBOURS = Question(30, NEIGHBOUR.pack(FAMILY_INET, 0, 0, 0, 0))
ENTRIES = Question(30, NEIGHBOUR.pack(FAMILY_BRIDGE, 0, 0, 0, 0))


def asked(question: Question) -> bytes:
    """Return the message that asks for a dump."""
    length = MESSAGE.size + len(question.body)
    return MESSAGE.pack(length, question.kind, REQUEST_DUMP, 1, 0) + question.body


def bodies(received: bytes) -> tuple[list[bytes], bool]:
    """Cut what one read gave into bodies of messages; the flag tells that it was the last.

    Raises: NotUnderstood, where the kernel answered with an error or the length is nonsense.
    """
    found: list[bytes] = []
    at = 0
    while at + MESSAGE.size <= len(received):
        length, kind, _, _, _ = MESSAGE.unpack_from(received, at)
        if length < MESSAGE.size or at + length > len(received):
            raise NotUnderstood(f"a netlink message of {length} bytes")
        if kind == DONE:
            return found, True
        if kind == ERROR:
            (code,) = struct.unpack_from("=i", received, at + MESSAGE.size)
            raise NotUnderstood(f"netlink error {-code}")
        found.append(received[at + MESSAGE.size : at + length])
        at += _aligned(length)
    return found, False


def link_in(body: bytes) -> Link:
    _, _, index, flags, _ = LINK.unpack_from(body)
    found = _attributes(body, LINK.size)
    about = _attributes(found.get(18, b""))
    kind = _text(about.get(1, b""))
    return Link(
        index=index,
        name=_text(found.get(3, b"")),
        kind=kind,
        mac=_mac(found.get(1, b"")),
        mtu_bytes=_number(found.get(4)),
        is_up=bool(flags & IS_UP),
        alias=_text(found.get(20, b"")),
        peer=_number(found.get(5)),
        vxlan=_vxlan(_attributes(about.get(2, b""))) if kind == "vxlan" else None,
    )


def _vxlan(found: Mapping[int, bytes]) -> Vxlan:
    port = int.from_bytes(found.get(15, b""), "big")
    local, learns = found.get(4), bool(found.get(7, b"\0")[0])
    return Vxlan(_number(found.get(1)), port, _address(local), _number(found.get(3)), learns)


def address_in(body: bytes) -> tuple[int, IPv4Interface]:
    _, bits, _, _, index = ADDRESS.unpack_from(body)
    found = _attributes(body, ADDRESS.size)
    return index, IPv4Interface((found.get(2) or found[1], bits))


def route_in(body: bytes) -> Way | None:
    """Return a route of the main table; None for one of another table."""
    _, bits, _, _, table, protocol, scope, kind, _ = ROUTE.unpack_from(body)
    found = _attributes(body, ROUTE.size)
    if _number(found.get(15), table) != MAIN_TABLE:
        return None
    return Way(
        to=IPv4Network((found.get(1, b"\0\0\0\0"), bits)),
        device=_number(found.get(4)),
        gateway=_address(found.get(5)),
        source=_address(found.get(7)),
        scope=scope,
        kind=kind,
        protocol=protocol,
        metric=_number(found.get(6)),
        mtu_bytes=_number(_attributes(found.get(8, b"")).get(2)),
    )


def near_in(body: bytes) -> Near | None:
    """Return a neighbour or a forwarding entry; None for one without an address or a MAC."""
    _, index, state, _, _ = NEIGHBOUR.unpack_from(body)
    found = _attributes(body, NEIGHBOUR.size)
    to = _address(found.get(1))
    if to is None or 2 not in found:
        return None
    return Near(index, _mac(found[2]), to, bool(state & PERMANENT))


def _attributes(body: bytes, start: int = 0) -> Mapping[int, bytes]:
    return dict(_attributes_in(body, _aligned(start)))


def _attributes_in(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, at)
        if length < ATTRIBUTE.size or at + length > len(body):
            raise NotUnderstood(f"a netlink attribute of {length} bytes")
        # The two highest bits tell how it is packed.
        yield kind & 0x3FFF, body[at + ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode(errors="replace")


def _mac(content: bytes) -> str:
    return content.hex(":")


def _number(content: bytes | None, default: int = 0) -> int:
    return default if content is None else int.from_bytes(content[:4], "little")


def _address(content: bytes | None) -> IPv4Address | None:
    return IPv4Address(content) if content is not None and len(content) == 4 else None
