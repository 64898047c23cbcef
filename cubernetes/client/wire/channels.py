"""The channels of exec and attach: `v5.channel.k8s.io`, and v4, which has no half close. Pure.

Over WebSocket a message is a byte that names its channel, and what is sent on that. The last thing
that a server sends is a Status on ERROR: how the command ended. On CLOSE stands the channel that
ends. Over SPDY/3.1 (v4 alone) each channel is a stream, which its opener names in `streamtype`.
"""

import json
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
PROTOCOLS = (V5, V4)

TERMINAL_CHARS_MAX = 10_000
# Of a text that is to be one JSON object for each size of a terminal.
SIZE_BYTES_MAX = 200


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


STREAM_TYPES: Mapping[str, Channel] = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}


class Misframed(Exception):
    """A message is none of the protocol's; the sentence says why."""


class Frame(NamedTuple):
    channel: Channel
    content: bytes


class Size(NamedTuple):
    """A terminal's size in characters."""

    width: int
    height: int


def frame_of(message: bytes) -> Frame:
    """Raises: Misframed."""
    if not message:
        raise Misframed("a message is empty: its first byte must be a channel")
    try:
        return Frame(Channel(message[0]), message[1:])
    except ValueError as error:
        raise Misframed(f"channel {message[0]}: must be 0 to 4, or 255") from error


def message_of(channel: Channel, content: bytes) -> bytes:
    return bytes((channel,)) + content


def closing(channel: Channel) -> bytes:
    """Return the message by which a channel ends; v4 has none."""
    return message_of(Channel.CLOSE, bytes((channel,)))


def closed_channel(content: bytes) -> Channel:
    """Return which channel ends, by what stands on CLOSE. Raises: Misframed."""
    if content != bytes((Channel.STDIN,)):
        raise Misframed("of the channels a client can close 0 (stdin) alone")
    return Channel.STDIN


def has_half_close(protocol: str) -> bool:
    """Whether a client can say that its stdin ends, and go on reading."""
    return protocol != V4


class SizeLines:
    """Cuts what comes on a stream of sizes into sizes: Go writes one a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield each whole line. Raises: Misframed."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > SIZE_BYTES_MAX:
            raise Misframed(f"a size has over {SIZE_BYTES_MAX} bytes")
        yield from (line for line in lines if line.strip())


def size_message(size: Size) -> bytes:
    told = {"Width": size.width, "Height": size.height}
    content = json.dumps(told, separators=(",", ":"))
    return message_of(Channel.RESIZE, content.encode())


def size_of(content: bytes) -> Size:
    """Raises: Misframed."""
    said = 'a size must be such as {"Width":80,"Height":24}'
    try:
        told = json.loads(content)
        size = Size(told["Width"], told["Height"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Misframed(said) from error
    if any(type(side) is not int for side in size):
        raise Misframed(said)
    if not all(0 <= side <= TERMINAL_CHARS_MAX for side in size):
        raise Misframed(f"{said}, of 0 to {TERMINAL_CHARS_MAX}")
    return size
