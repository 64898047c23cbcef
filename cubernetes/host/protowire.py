"""The wire format of protobuf: messages as fields, each a number with bytes or a varint. Pure.

Enough to read what others send without code made from their messages: remote write, and the bodies
of Kubernetes' Go clients; and to write what they read: the OpenAPI v2 document. Source: "Encoding"
of Google's protobuf documentation.
"""

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class ProtobufBroken(Exception):
    """The bytes are no message; says what is wrong."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and the place after it.

    Raises:
        ProtobufBroken: the bytes end within it, or it has more than ten bytes.
    """
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufBroken("a protobuf varint does not end")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7


def fields(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field, wire type, start, stop) of each field; a varint's start holds its value.

    Raises:
        ProtobufBroken: the bytes are no message.
    """
    end = len(data) if end is None else end
    while at < end:
        tag, at = read_varint(data, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            number, at = read_varint(data, at)
            if at > end or not field:
                raise ProtobufBroken("a protobuf field ends beyond its message")
            yield field, kind, number, at
            continue
        if kind == BYTES:
            length, at = read_varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ProtobufBroken(f"a protobuf field of unknown wire type {kind}")
        if at + length > end or not field:
            raise ProtobufBroken("a protobuf field ends beyond its message")
        yield field, kind, at, at + length
        at += length


def signed(number: int) -> int:
    """Return an int64 that was written as a varint."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


def utf8(content: bytes) -> str:
    """Return a text. Raises: ProtobufBroken."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProtobufBroken("a protobuf string is not UTF-8") from error


def varint(number: int) -> bytes:
    """Return a number from 0 to 2**64 - 1 as it is written."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def bytes_field(field: int, content: bytes) -> bytes:
    """Return a field that holds a text, bytes or a message."""
    return varint(field << 3 | BYTES) + varint(len(content)) + content


def varint_field(field: int, number: int) -> bytes:
    """Return a field that holds an int64 or a bool."""
    return varint(field << 3 | VARINT) + varint(number % 2**64)


def double_field(field: int, number: float) -> bytes:
    """Return a field that holds a double."""
    return varint(field << 3 | FIXED64) + struct.pack("<d", number)
