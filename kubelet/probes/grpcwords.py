"""gRPC's health check on HTTP/2 without a library: one request, and the one message it is after.

Only the answer's message is read. Headers need no decoder: a server that refuses the call (by a
status in its trailers) sends no message, and that is what is told. Pure. HTTP/2 is RFC 9113, the
literals of headers are RFC 7541 6.2.2, and the message is grpc.health.v1.HealthCheckResponse.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM = 1
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8
FRAME_BYTES_MAX = 16 * 1024  # the most that a server may send unasked
MESSAGE_HEAD = struct.Struct(">BI")


class Frame(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7


class Serving(IntEnum):
    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Malformed(Exception):
    """What came is no HTTP/2, or no message of the health service."""


class Reading(NamedTuple):
    """What an answer says so far. message: the bytes of gRPC; reply: what is to be sent back."""

    message: bytes = b""
    is_over: bool = False
    reply: bytes = b""


def request_bytes(authority: str, service: str) -> bytes:
    """Return all that a client sends to ask after a service's health."""
    headers = (
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority), ("te", "trailers"), ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.32"),
    )  # fmt: skip
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
    name = service.encode()
    asked = b"\x0a" + _number(len(name), 7, 0) + name if name else b""
    message = MESSAGE_HEAD.pack(0, len(asked)) + asked
    return (
        PREFACE
        + _frame(Frame.SETTINGS, 0, 0, b"")
        + _frame(Frame.HEADERS, END_HEADERS, STREAM, block)
        + _frame(Frame.DATA, END_STREAM, STREAM, message)
    )


def frames_in(buffer: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Take the whole frames out of a buffer: type, flags, stream and payload. Raises: Malformed."""
    while len(buffer) >= 9:
        length = int.from_bytes(buffer[:3])
        if length > FRAME_BYTES_MAX:
            raise Malformed("the answer is not HTTP/2")
        if len(buffer) < 9 + length:
            return
        kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9]) & 0x7FFF_FFFF
        payload = bytes(buffer[9 : 9 + length])
        del buffer[: 9 + length]
        yield kind, flags, stream, payload


def after(reading: Reading, frame: tuple[int, int, int, bytes]) -> Reading:
    """Return what is known after one more frame. Raises: Malformed."""
    kind, flags, stream, payload = frame
    match kind:
        case Frame.SETTINGS if not flags & ACK:
            return reading._replace(reply=reading.reply + _frame(Frame.SETTINGS, ACK, 0, b""))
        case Frame.PING if not flags & ACK:
            return reading._replace(reply=reading.reply + _frame(Frame.PING, ACK, 0, payload))
        case Frame.GOAWAY:
            return reading._replace(is_over=True)
        case Frame.RST_STREAM if stream == STREAM:
            return reading._replace(is_over=True)
        case Frame.DATA | Frame.HEADERS if stream == STREAM:
            text = _unpadded(flags, payload) if kind == Frame.DATA else b""
            message = reading.message + text
            if len(message) > FRAME_BYTES_MAX:
                raise Malformed("the answer is longer than any of grpc.health.v1.Health")
            is_over = bool(flags & END_STREAM) or _is_whole(message)
            return reading._replace(message=message, is_over=is_over)
        case _:
            return reading


def serving_of(message: bytes) -> Serving | None:
    """Return what the message says; None: there is none, the call was refused.

    Raises: Malformed.
    """
    if not _is_whole(message):
        return None
    is_packed, length = MESSAGE_HEAD.unpack_from(message)
    body = message[MESSAGE_HEAD.size : MESSAGE_HEAD.size + length]
    if not body:
        return Serving.UNKNOWN
    if is_packed or body[0] != 0x08 or len(body) < 2 or body[1] not in list(Serving):
        raise Malformed("the answer is no message of grpc.health.v1.Health")
    return Serving(body[1])


def _is_whole(message: bytes) -> bool:
    head = MESSAGE_HEAD.size
    return len(message) >= head and len(message) >= head + MESSAGE_HEAD.unpack_from(message)[1]


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Malformed("the answer is not HTTP/2")
    return payload[1 : len(payload) - payload[0]]


def _frame(kind: Frame, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _text(text: str) -> bytes:
    raw = text.encode()
    return _number(len(raw), 7, 0) + raw


def _number(value: int, prefix_bits: int, first: int) -> bytes:
    """Return an integer of RFC 7541 5.1; protobuf's lengths are the same up to 127."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((first | value,))
    found, value = bytearray((first | limit,)), value - limit
    while value >= 128:
        found.append(value % 128 + 128)
        value //= 128
    return bytes((*found, value))
