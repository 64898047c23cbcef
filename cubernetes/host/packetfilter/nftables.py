"""What an nf_tables table holds, as data, and the messages that make or unmake it. Pure.

A chain is never edited: its name says what it does, so that another chain takes its place. Each
rule carries a fingerprint of what it was written as, in its comment, where a later life reads it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cubernetes.host.packetfilter import nfnetlink as wire
from cubernetes.host.packetfilter.expressions import ACCEPT, verdict_data
from cubernetes.host.packetfilter.nfnetlink import (
    APPEND,
    CREATE,
    ELEMENTS_BYTES_MAX,
    Message,
    attribute,
    nested,
    number,
    text,
)

PRE_ROUTING, INPUT, FORWARD, OUTPUT, POST_ROUTING = range(5)
# Types of datatype.h: people's programs print a set's keys by them.
ADDRESS, PROTOCOL, PORT, MARK, VERDICT = 7, 12, 13, 19, 0xFFFFFF00
_LENGTHS: Final = {ADDRESS: 4, PROTOCOL: 4, PORT: 4, MARK: 4, VERDICT: 16}
_TYPE_BITS = 6
_IS_MAP, _HAS_TIMEOUT, _IS_DYNAMIC = 0x8, 0x10, 0x20
_COMMENT = 0  # the first kind of user data, as nft prints it

type Statement = tuple[bytes, ...]
"""The expressions of one rule."""


class Hook(NamedTuple):
    """Where the kernel begins a chain. kind: nat, filter. What falls off its end is accepted."""

    kind: str
    number: int
    priority: int


class ChainOf(NamedTuple):
    """One chain, whole."""

    name: str
    rules: tuple[Statement, ...]
    hook: Hook | None = None


class SetOf(NamedTuple):
    """One set, or map where values has types. size_max: of one that packets fill themselves."""

    name: str
    keys: tuple[int, ...]
    values: tuple[int, ...] = ()
    size_max: int = 0


class Goto(NamedTuple):
    """A verdict that an element of a map gives: into a chain, or an end; see `expressions`."""

    code: int
    chain: str = ""


type Value = bytes | Goto
"""What a map has for a key; empty for a set."""


class ElementKey(NamedTuple):
    """An element's set, and its key."""

    name: str
    key: bytes


type Elements = Mapping[ElementKey, Value]


@dataclass(frozen=True, slots=True)
class TableState:
    """What the kernel holds of one table. chains: hook and fingerprints by name."""

    chains: dict[str, tuple[Hook | None, tuple[str, ...]]] = field(default_factory=dict)
    sets: frozenset[str] = frozenset()
    elements: Elements = field(default_factory=dict)


def fingerprints(chain: ChainOf) -> tuple[str, ...]:
    """Return what the comments of a chain's rules say."""
    return tuple(hashlib.sha256(b"".join(rule)).hexdigest()[:16] for rule in chain.rules)


def new_table(table: str) -> Message:
    return Message(wire.NEW_TABLE, CREATE, text(1, table))


def no_table(table: str) -> Message:
    return Message(wire.DELETE_TABLE, 0, text(1, table))


def new_set(table: str, one: SetOf) -> Message:
    flags = _IS_MAP if one.values else 0
    parts = [text(1, table), text(2, one.name)]
    described: list[bytes] = []
    if one.size_max:
        flags |= _HAS_TIMEOUT | _IS_DYNAMIC
        described = [nested(9, number(1, one.size_max))]
    parts += [number(3, flags), number(4, _kind(one.keys)), number(5, _length(one.keys))]
    if one.values:
        parts += [number(6, _kind(one.values)), number(7, _length(one.values))]
    parts += [*described, number(10, 1)]
    return Message(wire.NEW_SET, CREATE, b"".join(parts))


def _kind(types: Sequence[int]) -> int:
    whole = 0
    for one in types:
        whole = whole << _TYPE_BITS | one
    return whole


def _length(types: Sequence[int]) -> int:
    return sum(_LENGTHS[one] for one in types)


def new_chain(table: str, chain: ChainOf) -> Message:
    parts = [text(1, table), text(3, chain.name)]
    if hook := chain.hook:
        place = (number(1, hook.number), number(2, hook.priority & 0xFFFFFFFF))
        parts += [nested(4, *place), number(5, ACCEPT), text(7, hook.kind)]
    return Message(wire.NEW_CHAIN, CREATE, b"".join(parts))


def no_chain(table: str, name: str) -> Message:
    return Message(wire.DELETE_CHAIN, 0, text(1, table) + text(3, name))


def new_rules(table: str, chain: ChainOf) -> Iterator[Message]:
    for rule, comment in zip(chain.rules, fingerprints(chain), strict=True):
        said = comment.encode() + b"\0"
        parts = (text(1, table), text(2, chain.name), nested(4, *rule))
        told = attribute(7, bytes([_COMMENT, len(said)]) + said)
        yield Message(wire.NEW_RULE, CREATE | APPEND, b"".join((*parts, told)))


def comment_in(user_data: bytes) -> str:
    """Return the comment that a rule carries; empty where there is none."""
    if len(user_data) < 2 or user_data[0] != _COMMENT:
        return ""
    return wire.text_in(user_data[2 : 2 + user_data[1]])


def new_elements(table: str, elements: Elements) -> Iterator[Message]:
    items = ((place, value) for place, value in elements.items())
    encoded = ((place.name, _element(place.key, value)) for place, value in items)
    yield from _element_messages(wire.NEW_ELEMENTS, CREATE, table, encoded)


def no_elements(table: str, places: Iterable[ElementKey]) -> Iterator[Message]:
    encoded = ((place.name, _element(place.key, b"")) for place in places)
    yield from _element_messages(wire.DELETE_ELEMENTS, 0, table, encoded)


def _element_messages(
    kind: int, flags: int, table: str, encoded: Iterable[tuple[str, bytes]]
) -> Iterator[Message]:
    waiting: dict[str, list[bytes]] = {}
    sizes: dict[str, int] = {}
    for name, element in encoded:
        if sizes.get(name, 0) + len(element) > ELEMENTS_BYTES_MAX:
            yield Message(kind, flags, _list_of(table, name, waiting.pop(name)))
            sizes[name] = 0
        waiting.setdefault(name, []).append(element)
        sizes[name] = sizes.get(name, 0) + len(element)
    for name, parts in waiting.items():
        yield Message(kind, flags, _list_of(table, name, parts))


def _list_of(table: str, name: str, elements: Iterable[bytes]) -> bytes:
    return text(1, table) + text(2, name) + nested(3, *elements)


def _element(key: bytes, value: Value) -> bytes:
    parts = [nested(1, attribute(1, key))]
    if isinstance(value, Goto):
        parts.append(nested(2, verdict_data(value.code, value.chain)))
    elif value:
        parts.append(nested(2, attribute(1, value)))
    return nested(1, *parts)


def elements_in(name: str, body: bytes) -> Iterator[tuple[ElementKey, Value]]:
    """Yield the elements that one answer to a dump of a set's elements holds."""
    listed = wire.attributes_in(body, wire.GENMSG.size).get(3, b"")
    for _, element in wire.each_attribute(listed):
        parts = wire.attributes_in(element)
        key = wire.attributes_in(parts.get(1, b"")).get(1, b"")
        yield ElementKey(name, key), _value_in(parts.get(2, b""))


def _value_in(content: bytes) -> Value:
    parts = wire.attributes_in(content)
    if 2 in parts:
        told = wire.attributes_in(parts[2])
        code = int.from_bytes(told.get(1, b""), "big", signed=True)
        return Goto(code, wire.text_in(told.get(2, b"")))
    return parts.get(1, b"")
