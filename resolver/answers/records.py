"""Names and resource records as they stand in a message (RFC 1035). Pure."""

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IXFR, AXFR = 251, 252
IN = 1

# A pointer to the name of the question: an answer repeats the question's own spelling.
HERE = b"\xc0\x0c"
LABEL_BYTES_MAX = 63
NAME_BYTES_MAX = 255
_FIXED = struct.Struct("!HHIH")
_SRV = struct.Struct("!HHH")
_SOA_TIMES = struct.Struct("!IIIII")

type Labels = tuple[bytes, ...]


class Entry(NamedTuple):
    """One record for the answer section, and the records that its reader asks for next."""

    answer: bytes
    additional: tuple[bytes, ...] = ()


type Entries = tuple[Entry, ...]


def labels_of(name: str) -> Labels:
    """Return the labels of a dotted name, lower case; a final dot changes nothing.

    Raises: ValueError: an empty or too long label, or a name that no message can hold.
    """
    stripped = name.removesuffix(".")
    labels = tuple(part.lower().encode("ascii") for part in stripped.split(".")) if stripped else ()
    if any(not 0 < len(label) <= LABEL_BYTES_MAX for label in labels):
        raise ValueError(f"{name[:80]!r}: a label has 1 to {LABEL_BYTES_MAX} characters")
    if len(packed_name(labels)) > NAME_BYTES_MAX:
        raise ValueError(f"{name[:80]!r}: is longer than {NAME_BYTES_MAX} bytes")
    return labels


def packed_name(labels: Sequence[bytes]) -> bytes:
    """Return a name in full, without compression."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def record(owner: bytes, kind: int, ttl_s: int, content: bytes) -> bytes:
    """Return one record of class IN; owner is a packed name or a pointer to one."""
    return owner + _FIXED.pack(kind, IN, ttl_s, len(content)) + content


def a_record(owner: bytes, ttl_s: int, address: bytes) -> bytes:
    return record(owner, A, ttl_s, address)


def srv_content(port: int, target: Labels, *, priority: int = 0, weight: int = 1) -> bytes:
    """Return the content of a SRV record; its target is never compressed (RFC 2782)."""
    return _SRV.pack(priority, weight, port) + packed_name(target)


def soa_record(owner: bytes, zone: Labels, ttl_s: int, serial: int) -> bytes:
    """Return the record that a negative answer carries: kept by its reader for ttl_s."""
    times = _SOA_TIMES.pack(serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl_s)
    names = packed_name((b"ns", b"dns", *zone)) + packed_name((b"hostmaster", *zone))
    return record(owner, SOA, ttl_s, names + times)


def txt_content(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def address_of(labels: Labels) -> IPv4Address | None:
    """Return the address that a name under in-addr.arpa means; None where it means none."""
    if len(labels) != 6 or labels[4:] != (b"in-addr", b"arpa"):
        return None
    numbers = [_byte_of(label) for label in reversed(labels[:4])]
    return None if None in numbers else IPv4Address(".".join(map(str, numbers)))


def _byte_of(label: bytes) -> int | None:
    is_plain = label.isdigit() and len(label) <= 3 and (label == b"0" or label[:1] != b"0")
    number = int(label) if is_plain else 256
    return number if number < 256 else None
