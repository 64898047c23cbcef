"""Frames of WebSockets, as RFC 6455 has them: the client's side of what is sent and read. Pure."""

from enum import IntEnum
from typing import NamedTuple

MESSAGE_BYTES_MAX = 1024 * 1024
CONTROL_BYTES_MAX = 125
_LAST, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_LENGTH_IN_2, _LENGTH_IN_8 = 126, 127
# A client's frames have a key, which hides their bytes from whatever stands between (10.3): within
# TLS nobody does, and a key of zeros leaves the bytes as they are.
_KEY = bytes(4)


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    @property
    def is_control(self) -> bool:
        return self >= Opcode.CLOSE


class Malformed(Exception):
    """What came is no frame of a server's."""


class Message(NamedTuple):
    """A message, whole, or a control frame."""

    opcode: Opcode
    content: bytes


def frame_of(opcode: Opcode, content: bytes) -> bytes:
    """Return a client's frame of a whole message."""
    size_bytes = len(content)
    if size_bytes < _LENGTH_IN_2:
        head = bytes((_LAST | opcode, _MASKED | size_bytes))
    elif size_bytes < 1 << 16:
        head = bytes((_LAST | opcode, _MASKED | _LENGTH_IN_2)) + size_bytes.to_bytes(2)
    else:
        head = bytes((_LAST | opcode, _MASKED | _LENGTH_IN_8)) + size_bytes.to_bytes(8)
    return b"".join((head, _KEY, content))


class _Head(NamedTuple):
    opcode: Opcode
    is_last: bool
    size_bytes: int


class Reader:
    """Takes bytes as they come, in pieces of any size, and gives back whole messages."""

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._message_bytes_max = message_bytes_max
        # What has come and is not read yet; nothing is done before so many bytes are there.
        self._held: list[bytes] = []
        self._held_bytes, self._needed_bytes = 0, 2
        self._head: _Head | None = None
        # What has come of a message in several frames; its opcode is that of the first.
        self._parts: list[bytes] = []
        self._parts_opcode: Opcode | None = None

    def feed(self, piece: bytes) -> list[Message]:
        """Return what is whole now. Raises: Malformed."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes < self._needed_bytes:
            return []
        whole = piece if len(self._held) == 1 else b"".join(self._held)
        messages: list[Message] = []
        at = 0
        while len(whole) - at >= self._needed_bytes:
            at = self._read_on(whole, at, messages)
        self._held, self._held_bytes = [whole[at:]], len(whole) - at
        return messages

    def _read_on(self, whole: bytes, at: int, messages: list[Message]) -> int:
        """Read a head or a content from `at` on, and return where it ends. Raises: Malformed."""
        if self._head is not None:
            head, self._head, self._needed_bytes = self._head, None, 2
            end = at + head.size_bytes
            message = self._message(head, whole[at:end])
            messages += [message] if message is not None else []
            return end
        length = whole[at + 1] & ~_MASKED
        wide = {_LENGTH_IN_2: 2, _LENGTH_IN_8: 8}.get(length, 0)
        end = at + 2 + wide
        if len(whole) < end:
            self._needed_bytes = 2 + wide
            return at
        size_bytes = int.from_bytes(whole[at + 2 : end]) if wide else length
        self._head = self._checked(whole[at], whole[at + 1], size_bytes)
        self._needed_bytes = size_bytes
        return end

    def _checked(self, first: int, second: int, size_bytes: int) -> _Head:
        """Raises: Malformed."""
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError as error:
            raise Malformed(f"a frame of the unknown kind {first & 0x0F:#x}") from error
        is_last = bool(first & _LAST)
        if first & _RESERVED or second & _MASKED:
            raise Malformed("a frame with an extension or a key, which no server may send here")
        if opcode.is_control and (not is_last or size_bytes > CONTROL_BYTES_MAX):
            raise Malformed("a control frame that is cut or too long")
        is_within = self._parts_opcode is not None
        if not opcode.is_control and (opcode is Opcode.CONTINUATION) != is_within:
            raise Malformed("a frame out of its order")
        held_bytes = 0 if opcode.is_control else sum(len(part) for part in self._parts)
        if size_bytes + held_bytes > self._message_bytes_max:
            raise Malformed(f"a message of over {self._message_bytes_max} bytes")
        return _Head(opcode, is_last, size_bytes)

    def _message(self, head: _Head, content: bytes) -> Message | None:
        if head.opcode.is_control or (head.is_last and self._parts_opcode is None):
            return Message(head.opcode, content)
        self._parts.append(content)
        self._parts_opcode = self._parts_opcode or head.opcode
        if not head.is_last:
            return None
        message = Message(self._parts_opcode, b"".join(self._parts))
        self._parts, self._parts_opcode = [], None
        return message
