"""SPDY/3.1's frames as values: written as bytes, and read from pieces of any size. Pure.

Of draft-mbelshe-httpbis-spdy-00 (SPDY/3) what Kubernetes' clients use. Windows are left out, as
those clients have none: SETTINGS and WINDOW_UPDATE are read and passed over. The headers of a
direction are one zlib stream, so its frames are read and written in order, each of them once.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from cubernetes.host.web.spdy.dictionary import DICTIONARY

VERSION = 3
FIN = 0x01
HEAD_BYTES = 8
# A frame costs each hop a turn of its loop, whatever is in it.
DATA_BYTES_MAX = 128 * 1024
# What may come in one frame: a client's data in pieces of its own choice, and headers.
FRAME_BYTES_MAX = 1024 * 1024
CONTROL_BYTES_MAX = 16 * 1024
HEADERS_BYTES_MAX = 32 * 1024
HEADERS_MAX = 64
STREAM_ID_MAX = 2**31 - 1

type Headers = Mapping[str, str]


class Malformed(Exception):
    """What came is no frame of SPDY/3.1; the sentence says why."""


class Kind(IntEnum):
    """The types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Reset(IntEnum):
    """Why a stream is ended at once."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; is_last: none follow in this direction."""

    stream_id: int
    content: bytes
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class SynStream:
    """A stream begins."""

    stream_id: int
    headers: Headers = field(default_factory=dict)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """A stream is taken."""

    stream_id: int
    headers: Headers = field(default_factory=dict)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    """Headers that come later; is_last: no data follows in this direction."""

    stream_id: int
    headers: Headers = field(default_factory=dict)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    """A stream ends at once, in both directions; why: see Reset."""

    stream_id: int
    why: int = Reset.CANCEL


@dataclass(frozen=True, slots=True)
class Ping:
    """A question, or the answer to one: the sides' own numbers are odd (client) and even."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No stream after this one is taken any more."""

    last_stream_id: int = 0
    why: int = 0


type Frame = Data | SynStream | SynReply | MoreHeaders | RstStream | Ping | GoAway


class Writer:
    """Writes the frames of one direction."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def bytes_of(self, frame: Frame) -> bytes:
        """Return a frame as it is sent, before the next one."""
        match frame:
            case Data(stream_id, content, is_last):
                flags = FIN if is_last else 0
                return struct.pack(">II", stream_id, flags << 24 | len(content)) + content
            case SynStream(stream_id, headers, is_last):
                content = struct.pack(">IIH", stream_id, 0, 0) + self._deflated(headers)
                return _control(Kind.SYN_STREAM, content, is_last=is_last)
            case SynReply(stream_id, headers, is_last):
                content = struct.pack(">I", stream_id) + self._deflated(headers)
                return _control(Kind.SYN_REPLY, content, is_last=is_last)
            case MoreHeaders(stream_id, headers, is_last):
                content = struct.pack(">I", stream_id) + self._deflated(headers)
                return _control(Kind.HEADERS, content, is_last=is_last)
            case RstStream(stream_id, why):
                return _control(Kind.RST_STREAM, struct.pack(">II", stream_id, why))
            case Ping(number):
                return _control(Kind.PING, struct.pack(">I", number))
            case GoAway(last_stream_id, why):
                return _control(Kind.GOAWAY, struct.pack(">II", last_stream_id, why))

    def _deflated(self, headers: Headers) -> bytes:
        block = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for word in (name.lower().encode(), value.encode()):
                block += [struct.pack(">I", len(word)), word]
        return self._deflate.compress(b"".join(block)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class Reader:
    """Reads the frames of one direction."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._pending = bytearray()

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield each frame that a piece completes; take them all before the next piece.

        Raises: Malformed.
        """
        self._pending += piece
        at = 0
        try:
            while len(self._pending) - at >= HEAD_BYTES:
                first, second = struct.unpack_from(">II", self._pending, at)
                size = second & 0xFFFFFF
                _check_size(first, size)
                end = at + HEAD_BYTES + size
                if len(self._pending) < end:
                    return
                content = bytes(self._pending[at + HEAD_BYTES : end])
                at = end
                frame = self._frame_of(first, second >> 24, content)
                if frame is not None:
                    yield frame
        finally:
            del self._pending[:at]

    def _frame_of(self, first: int, flags: int, content: bytes) -> Frame | None:
        """Return a frame; None where it is one that is passed over. Raises: Malformed."""
        is_last = bool(flags & FIN)
        if not first >> 31:
            return Data(_stream_id(first), content, is_last)
        return self._control_frame_of(first & 0xFFFF, content, is_last)

    def _control_frame_of(self, kind: int, content: bytes, is_last: bool) -> Frame | None:
        """Raises: Malformed."""
        match kind:
            case Kind.SYN_STREAM:
                (stream_id,) = _numbers(">I6x", content)
                return SynStream(_stream_id(stream_id), self._inflated(content[10:]), is_last)
            case Kind.SYN_REPLY | Kind.HEADERS:
                (stream_id,) = _numbers(">I", content)
                made = SynReply if kind == Kind.SYN_REPLY else MoreHeaders
                return made(_stream_id(stream_id), self._inflated(content[4:]), is_last)
            case Kind.RST_STREAM:
                stream_id, why = _numbers(">II", content)
                return RstStream(_stream_id(stream_id), why)
            case Kind.PING:
                return Ping(*_numbers(">I", content))
            case Kind.GOAWAY:
                last_id, why = _numbers(">II", content)
                return GoAway(last_id & STREAM_ID_MAX, why)
            case Kind.SETTINGS | Kind.WINDOW_UPDATE:
                return None
            case _:
                raise Malformed(f"control frame {kind} is none of SPDY/3.1")

    def _inflated(self, deflated: bytes) -> Headers:
        """Raises: Malformed."""
        try:
            block = self._inflate.decompress(deflated, HEADERS_BYTES_MAX)
        except zlib.error as error:
            raise Malformed(f"headers cannot be inflated: {error}") from error
        if self._inflate.unconsumed_tail:
            raise Malformed(f"headers have over {HEADERS_BYTES_MAX} bytes")
        return _headers_in(block)


def _control(kind: Kind, content: bytes, *, is_last: bool = False) -> bytes:
    flags = FIN if is_last else 0
    head = struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(content))
    return head + content


def _check_size(first: int, size: int) -> None:
    """Refuse a frame by its head, before its content is waited for. Raises: Malformed."""
    is_control = bool(first >> 31)
    if is_control and first >> 16 & 0x7FFF != VERSION:
        raise Malformed(f"version {first >> 16 & 0x7FFF} is not spoken: SPDY/3.1 alone is")
    size_max = CONTROL_BYTES_MAX if is_control else FRAME_BYTES_MAX
    if size > size_max:
        raise Malformed(f"a frame has {size} bytes, over {size_max}")


def _numbers(form: str, content: bytes) -> tuple[int, ...]:
    """Raises: Malformed."""
    try:
        return struct.unpack_from(form, content)
    except struct.error as error:
        raise Malformed("a control frame is cut short") from error


def _stream_id(number: int) -> int:
    """Raises: Malformed."""
    if not number & STREAM_ID_MAX:
        raise Malformed("stream 0 is none")
    return number & STREAM_ID_MAX


def _headers_in(block: bytes) -> Headers:
    """Read the names and values of a header block. Raises: Malformed."""
    words, at = [], 4
    try:
        (count,) = struct.unpack_from(">I", block)
        if count > HEADERS_MAX:
            raise Malformed(f"there are {count} headers, over {HEADERS_MAX}")
        for _ in range(2 * count):
            (size,) = struct.unpack_from(">I", block, at)
            at += 4 + size
            if at > len(block):
                raise Malformed("a header is cut short")
            words.append(block[at - size : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise Malformed(f"headers cannot be read: {error}") from error
    names = [name.lower() for name in words[::2]]
    return dict(zip(names, words[1::2], strict=True))
