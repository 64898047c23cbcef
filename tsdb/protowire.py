"""The wire format of protobuf, as far as remote write needs it."""

from collections.abc import Iterator

from tsdb.errors import BadData
from tsdb.labels import read_varint

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field, wire type, start, stop) of each field; a varint's start holds its value.

    Raises:
        BadData: the bytes are no message.
    """
    end = len(data) if end is None else end
    while at < end:
        tag, at = read_varint(data, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            number, at = read_varint(data, at)
            yield field, kind, number, at
            continue
        if kind == BYTES:
            length, at = read_varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise BadData(f"a protobuf field of unknown wire type {kind}")
        if at + length > end or not field:
            raise BadData("a protobuf field ends beyond its message")
        yield field, kind, at, at + length
        at += length


def signed(number: int) -> int:
    """Return an int64 that was written as a varint."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


def utf8(data: bytes, start: int, stop: int) -> str:
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError as error:
        raise BadData("a protobuf string is not UTF-8") from error
