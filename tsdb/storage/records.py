"""The framing of the log: records that can be checked one by one, and found again after damage.

    magic  4 bytes  D7 54 53 A6
    length 4 bytes  little endian, of the payload
    crc    4 bytes  CRC-32 (the zlib polynomial) of the length field and the payload
    payload

A reader that meets damage looks for the next magic whose record checks out. So damage costs the
records that it touches and no other, and what is not whole is never read as something else.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\xd7TS\xa6"
HEAD_BYTES = 12
PAYLOAD_BYTES_MAX = 64 * 2**20


@dataclass
class Damage:
    """What a reader had to leave out."""

    places: int = 0
    bytes: int = 0


def framed(payload: bytes) -> tuple[bytes, bytes]:
    """Return the head and the payload of one record."""
    length = struct.pack("<I", len(payload))
    crc = zlib.crc32(payload, zlib.crc32(length))
    return MAGIC + length + struct.pack("<I", crc), payload


def record_end(data: bytes | memoryview, at: int) -> int:
    """Return the place after a whole and sound record at a place, or -1 where there is none."""
    if at + HEAD_BYTES > len(data) or data[at : at + 4] != MAGIC:
        return -1
    length, crc = struct.unpack_from("<II", data, at + 4)
    end = at + HEAD_BYTES + length
    if length > PAYLOAD_BYTES_MAX or end > len(data):
        return -1
    found = zlib.crc32(data[at + HEAD_BYTES : end], zlib.crc32(data[at + 4 : at + 8]))
    return end if found == crc else -1


def payloads(data: bytes, damage: Damage) -> Iterator[memoryview]:
    """Yield the payload of every sound record, in order, and count what lies between them."""
    view = memoryview(data)
    at = 0
    while at < len(data):
        end = record_end(view, at)
        if end < 0:
            lost_from = at
            at = _next_record(data, view, at + 1)
            damage.places += 1
            damage.bytes += at - lost_from
            continue
        yield view[at + HEAD_BYTES : end]
        at = end


def _next_record(data: bytes, view: memoryview, at: int) -> int:
    while True:
        at = data.find(MAGIC, at)
        if at < 0:
            return len(data)
        if record_end(view, at) >= 0:
            return at
        at += 1
