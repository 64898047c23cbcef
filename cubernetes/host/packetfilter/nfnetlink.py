"""nf_tables' messages over netlink as bytes: written into batches, and read from dumps. Pure.

Numbers are those of linux/netlink.h and linux/netfilter/nf_tables.h. All attributes of nf_tables
are in network byte order.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")
GENMSG = struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("=HH")

FAMILY_IPV4 = 2
SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 16, 17
ERROR, DONE = 2, 3

NEW_TABLE, GET_TABLE, DELETE_TABLE = 0, 1, 2
NEW_CHAIN, GET_CHAIN, DELETE_CHAIN = 3, 4, 5
NEW_RULE, GET_RULE = 6, 7
NEW_SET, GET_SET = 9, 10
NEW_ELEMENTS, GET_ELEMENTS, DELETE_ELEMENTS = 12, 13, 14
GET_GENERATION = 16

REQUEST, DUMP, CREATE, APPEND = 0x1, 0x300, 0x400, 0x800
NESTED = 0x8000
_KIND_MASK = 0x3FFF
# A list of elements is one attribute, whose length has 16 bits.
ELEMENTS_BYTES_MAX = 60_000


class Message(NamedTuple):
    """One message of ours: its kind (NEW_TABLE ..), flags and attributes."""

    kind: int
    flags: int
    body: bytes


class Answer(NamedTuple):
    """One message of the kernel. kind is its whole type: of netlink itself, or of a subsystem."""

    kind: int
    sequence: int
    flags: int
    body: bytes


def attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + b"\0" * (-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def text(kind: int, content: str) -> bytes:
    return attribute(kind, content.encode("ascii") + b"\0")


def number(kind: int, content: int) -> bytes:
    return attribute(kind, struct.pack("!I", content))


def number64(kind: int, content: int) -> bytes:
    return attribute(kind, struct.pack("!Q", content))


def packed(message: Message, sequence: int) -> bytes:
    """Return one message as it goes out."""
    whole = HEADER.size + GENMSG.size + len(message.body)
    kind = SUBSYSTEM << 8 | message.kind
    head = HEADER.pack(whole, kind, message.flags | REQUEST, sequence, 0)
    return head + GENMSG.pack(FAMILY_IPV4, 0, 0) + message.body


def batch(messages: Iterable[Message]) -> bytes:
    """Return messages that the kernel takes all together, or not at all; numbered from 1."""
    parts = [_edge(BATCH_BEGIN, 0)]
    parts += [packed(message, at) for at, message in enumerate(messages, start=1)]
    return b"".join((*parts, _edge(BATCH_END, 0)))


def _edge(kind: int, sequence: int) -> bytes:
    head = HEADER.pack(HEADER.size + GENMSG.size, kind, REQUEST, sequence, 0)
    return head + GENMSG.pack(0, 0, SUBSYSTEM)


def answers_in(content: bytes) -> Iterator[Answer]:
    """Yield the messages of one datagram; what is cut off ends it."""
    at = 0
    while at + HEADER.size <= len(content):
        length, kind, flags, sequence, _ = HEADER.unpack_from(content, at)
        if length < HEADER.size or at + length > len(content):
            return
        yield Answer(kind, sequence, flags, content[at + HEADER.size : at + length])
        at += length + 3 & ~3


def error_in(answer: Answer) -> int:
    """Return the errno that an ERROR or DONE carries; 0 for success."""
    return -struct.unpack_from("=i", answer.body)[0] if len(answer.body) >= 4 else 0


def attributes_in(content: bytes, start: int = 0) -> Mapping[int, bytes]:
    """Return attributes by their kind; of a kind that comes twice the last."""
    return dict(each_attribute(content, start))


def each_attribute(content: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield attributes in order; what is cut off ends them."""
    at = start
    while at + 4 <= len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        if length < 4 or at + length > len(content):
            return
        yield kind & _KIND_MASK, content[at + 4 : at + length]
        at += length + 3 & ~3


def text_in(content: bytes) -> str:
    return content.rstrip(b"\0").decode("ascii", errors="replace")
