"""What an nf_tables rule is made of: loads into registers, tests of them, and verdicts. Pure.

A register has 32 bits here; what is longer takes the following ones as well. The numbers are those
of linux/netfilter/nf_tables.h.
"""

import struct
from typing import Final

from cubernetes.host.packetfilter.nfnetlink import attribute, nested, number, number64, text

R0: Final = 8  # NFT_REG32_00
_VERDICT_REGISTER = 0

EQUAL, NOT_EQUAL = 0, 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
META_MARK, META_PROTOCOL = 3, 16
CT_STATUS = 2
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5
LOCAL_ADDRESS = 2  # RTN_LOCAL
REFUSE_UNREACHABLE, REFUSE_RESET = 0, 1
_PORT_UNREACHABLE = 3
_FIB_BY_SOURCE, _FIB_BY_DESTINATION = 1, 2
_DYNSET_UPDATE = 1
_DNAT = 1
_RANDOM = 1
_RANDOM_FULLY = 16

_VALUE, _VERDICT = 1, 2


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def payload(base: int, offset: int, length: int, to: int) -> bytes:
    """Load bytes of a header; what they leave of the last register is 0."""
    return _expression(
        "payload", number(1, to), number(2, base), number(3, offset), number(4, length)
    )


def source(to: int) -> bytes:
    return payload(NETWORK_HEADER, 12, 4, to)


def destination(to: int) -> bytes:
    return payload(NETWORK_HEADER, 16, 4, to)


def destination_port(to: int) -> bytes:
    return payload(TRANSPORT_HEADER, 2, 2, to)


def meta(key: int, to: int) -> bytes:
    return _expression("meta", number(1, to), number(2, key))


def set_meta(key: int, origin: int) -> bytes:
    return _expression("meta", number(2, key), number(3, origin))


def connection(key: int, to: int) -> bytes:
    return _expression("ct", number(1, to), number(2, key))


def fib_kind(to: int, *, of_source: bool) -> bytes:
    """Load what kind of address the routing tables say that an end of the packet has."""
    end = _FIB_BY_SOURCE if of_source else _FIB_BY_DESTINATION
    return _expression("fib", number(1, to), number(2, 3), number(3, end))


def compare(register: int, relation: int, value: bytes) -> bytes:
    """End the rule where a register is otherwise."""
    return _expression(
        "cmp", number(1, register), number(2, relation), nested(3, attribute(_VALUE, value))
    )


def bits(register: int, mask: bytes, flipped: bytes) -> bytes:
    """Keep the bits of a mask, and flip others, in place."""
    return _expression(
        "bitwise",
        number(1, register),
        number(2, register),
        number(3, len(mask)),
        nested(4, attribute(_VALUE, mask)),
        nested(5, attribute(_VALUE, flipped)),
    )


def constant(to: int, value: bytes) -> bytes:
    return _expression("immediate", number(1, to), nested(2, attribute(_VALUE, value)))


def verdict_data(code: int, chain: str = "") -> bytes:
    """Return a verdict, as a rule gives it and as an element of a map holds it."""
    parts = [attribute(1, struct.pack("!i", code))]
    return nested(_VERDICT, *parts, *([text(2, chain)] if chain else []))


def verdict(code: int, chain: str = "") -> bytes:
    return _expression(
        "immediate", number(1, _VERDICT_REGISTER), nested(2, verdict_data(code, chain))
    )


def lookup(name: str, key: int, to: int | None = None) -> bytes:
    """End the rule where a set lacks a key; load what the map has for it."""
    found = () if to is None else (number(3, to),)
    return _expression("lookup", text(1, name), number(2, key), *found)


def lookup_verdict(name: str, key: int) -> bytes:
    return lookup(name, key, _VERDICT_REGISTER)


def draw(count: int, offset: int, to: int) -> bytes:
    """Load a random number from offset on, each of count with the same probability."""
    return _expression(
        "numgen", number(1, to), number(2, count), number(3, _RANDOM), number(4, offset)
    )


def remember(name: str, key: int, timeout_s: int) -> bytes:
    """Add an element to a set, or let it begin its time anew; the rule ends where it is full."""
    return _expression(
        "dynset",
        text(1, name),
        number(3, _DYNSET_UPDATE),
        number(4, key),
        number64(6, timeout_s * 1000),
    )


def lead_to(address: int, port: int) -> bytes:
    """Give the packet the destination that two registers hold."""
    return _expression(
        "nat",
        number(1, _DNAT),
        number(2, 2),
        number(3, address),
        number(4, address),
        number(5, port),
        number(6, port),
    )


def masquerade() -> bytes:
    return _expression("masq", number(1, _RANDOM_FULLY))


def refuse(how: int) -> bytes:
    code = _PORT_UNREACHABLE if how == REFUSE_UNREACHABLE else 0
    return _expression("reject", number(1, how), attribute(2, bytes([code])))
