"""SPDY/3.1's frames: written and read again whatever the pieces, and what is none is refused."""

import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from cubernetes.host.web.spdy.dictionary import DICTIONARY
from cubernetes.host.web.spdy.frames import (
    CONTROL_BYTES_MAX,
    FRAME_BYTES_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    Data,
    Frame,
    GoAway,
    Malformed,
    MoreHeaders,
    Ping,
    Reader,
    RstStream,
    SynReply,
    SynStream,
    Writer,
)

HEADERS = {"streamtype": "data", "port": "8080", "requestid": "0"}
FRAMES: Sequence[Frame] = (
    SynStream(1, HEADERS | {"streamtype": "error"}),
    SynReply(1),
    Data(1, b"", is_last=True),
    SynStream(3, HEADERS, is_last=True),
    SynReply(3, {"a": "ü"}),
    Data(3, b"x" * 70_000),
    MoreHeaders(3, {"late": "yes"}, is_last=True),
    RstStream(3, 5),
    Ping(2),
    GoAway(3, 0),
)


def cut(whole: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield a text in pieces of random sizes."""
    while whole:
        size = rng.choice((1, 2, 7, 8, 9, 1000, 100_000))
        yield whole[:size]
        whole = whole[size:]


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    """zlib tells a dictionary by this number, which stands in every header of SPDY/3."""
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_whatever_the_pieces(seed: int) -> None:
    writer, reader = Writer(), Reader()
    whole = b"".join(writer.bytes_of(frame) for frame in FRAMES)
    found = [frame for piece in cut(whole, random.Random(seed)) for frame in reader.feed(piece)]
    assert found == list(FRAMES)


def test_a_stream_as_go_writes_it_is_read() -> None:
    """SYN_STREAM 1, unidirectional bits off, with the headers that kubectl sends for an error."""
    words = [b"Streamtype", b"error", b"Port", b"80"]
    block = struct.pack(">I", 2) + b"".join(struct.pack(">I", len(word)) + word for word in words)
    deflate = zlib.compressobj(9, zdict=DICTIONARY)
    packed = deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
    frame = struct.pack(">HHIIIH", 0x8003, 1, len(packed) + 10, 1, 0, 0) + packed
    assert list(Reader().feed(frame)) == [SynStream(1, {"streamtype": "error", "port": "80"})]


def test_settings_and_windows_are_passed_over() -> None:
    settings = struct.pack(">HHII", 0x8003, 4, 4, 0)
    window = struct.pack(">HHIII", 0x8003, 9, 8, 1, 65_536)
    assert list(Reader().feed(settings + window + Writer().bytes_of(Ping(1)))) == [Ping(1)]


def packed(headers: dict[str, str]) -> bytes:
    return Writer().bytes_of(SynStream(1, headers))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (struct.pack(">HHII", 0x8002, 6, 4, 1), "version 2"),
        (struct.pack(">HHI", 0x8003, 7, CONTROL_BYTES_MAX + 1), "over 16384"),
        (struct.pack(">II", 1, FRAME_BYTES_MAX + 1), "over 1048576"),
        (struct.pack(">HHI", 0x8003, 11, 0), "control frame 11"),
        (struct.pack(">HHI", 0x8003, 6, 0), "cut short"),
        (struct.pack(">II", 0, 0), "stream 0"),
        (struct.pack(">HHIIIH", 0x8003, 1, 14, 1, 0, 0) + b"none", "inflated"),
        (struct.pack(">HHIIIH", 0x8003, 1, 10, 1, 0, 0), "headers cannot be read"),
        (packed({str(one): "" for one in range(HEADERS_MAX + 1)}), "65 headers"),
        (packed({"bomb": "x" * HEADERS_BYTES_MAX}), "headers have over 32768 bytes"),
    ],
)
def test_what_is_no_frame_is_refused_by_name(frame: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        list(Reader().feed(frame))


def test_a_size_over_the_limit_is_refused_before_its_content_is_waited_for() -> None:
    with pytest.raises(Malformed):
        list(Reader().feed(struct.pack(">II", 1, 0xFFFFFF)))


@pytest.mark.parametrize("seed", range(200))
def test_noise_is_read_or_refused_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    writer = Writer()
    whole = bytearray(b"".join(writer.bytes_of(frame) for frame in FRAMES))
    for _ in range(rng.randint(1, 8)):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    reader, found = Reader(), list[Frame]()
    with suppress(Malformed):
        for piece in cut(bytes(whole), rng):
            found += reader.feed(piece)
    assert len(found) <= len(whole) // 8
