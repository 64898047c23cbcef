"""Docker's local log files, written here byte by byte: what a reader makes of them."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import aclosing
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.blocking import Threads
from cubernetes.host.clock import SystemClock
from cubernetes.host.protowire import varint
from kubelet.runtime.docker_logs import LocalLog, LogReading
from kubelet.runtime.docker_records import LogText, Record, Records, record_of, stamp_of
from kubelet.runtime.driver import LogOptions

SECOND_NS = 1_000_000_000
T0_NS = 1_700_000_000 * SECOND_NS
PIECE_BYTES = 16384


def written(record: Record) -> bytes:
    """Return a record as Docker writes it."""
    source = record.source.encode()
    body = b"\x0a" + varint(len(source)) + source + b"\x10" + varint(record.at_ns)
    body += b"\x1a" + varint(len(record.content)) + record.content
    if record.part:
        last = b"\x08\x01" if record.is_last else b""
        piece = last + b"\x12\x02id" + b"\x18" + varint(record.part)
        body += b"\x20\x01\x2a" + varint(len(piece)) + piece
    length = len(body).to_bytes(4, "big")
    return length + body + length


def pieces_of(
    line: bytes, at_ns: int, source: str = "stdout", *, ends: bool = True
) -> list[Record]:
    """Return the records that Docker makes of a line."""
    if len(line) < PIECE_BYTES and ends:
        return [Record(source, at_ns, line)]
    cut = [line[at : at + PIECE_BYTES] for at in range(0, len(line) + 1, PIECE_BYTES)]
    last = len(cut) if ends else 0
    return [Record(source, at_ns, one, part, part == last) for part, one in enumerate(cut, 1)]


def in_file(folder: Path, records: Sequence[Record], name: str = "container.log") -> None:
    (folder / name).write_bytes(b"".join(written(one) for one in records))


async def is_over() -> bool:
    return True


async def text_of(folder: Path, options: LogOptions) -> bytes:
    reading = LogReading(LocalLog(folder, options), Threads(), SystemClock())
    async with aclosing(reading.pieces(is_over, follow=options.follow)) as pieces:
        return b"".join([piece async for piece in pieces])


@given(
    st.sampled_from(["stdout", "stderr"]), st.integers(0, 2**62), st.binary(), st.integers(0, 9),
    st.booleans(),
)  # fmt: skip
def test_a_record_is_read_as_it_was_written(
    source: str, at_ns: int, content: bytes, part: int, is_last: bool
) -> None:
    record = Record(source, at_ns, content, part, is_last if part else True)
    assert record_of(written(record)[4:-4]) == record


@given(
    st.lists(st.binary(max_size=40), max_size=8),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
)
def test_records_come_whole_wherever_their_bytes_are_cut(
    lines: list[bytes], sizes: list[int]
) -> None:
    wanted = [Record("stdout", T0_NS, line) for line in lines]
    left, records, found = b"".join(written(one) for one in wanted), Records(), list[Record]()
    for size in cycle(sizes):
        if not left:
            break
        found += records.feed(left[:size])
        left = left[size:]
    assert found == wanted


@given(st.lists(st.binary(max_size=60), min_size=2, max_size=6), st.data())
def test_what_a_full_disk_cut_off_costs_that_record_alone(
    lines: list[bytes], data: st.DataObject
) -> None:
    """W: a disk that was full leaves half a record, and the next one follows it directly."""
    each = [written(Record("stdout", T0_NS, line)) for line in lines]
    torn = data.draw(st.integers(0, len(each) - 2))
    kept = data.draw(st.integers(1, len(each[torn]) - 1))
    parts = [*each[:torn], each[torn][:kept], *each[torn + 1 :]]
    found = [one.content for one in Records().feed(b"".join(parts))]
    assert found == [*lines[:torn], *lines[torn + 1 :]]


def a_log() -> list[Record]:
    """Return lines short and long, of both streams, mixed; binary; and an end without its end."""
    long, other = pieces_of(b"x" * 50_000, T0_NS + 1), pieces_of(b"y" * PIECE_BYTES, T0_NS + 3)
    return [
        Record("stdout", T0_NS, b"first"),
        *long[:2],
        Record("stderr", T0_NS + 2, b"between"),
        *long[2:],
        Record("stdout", T0_NS + 2, b"a\xff\x00\x80b"),
        Record("stdout", T0_NS + 2, b""),
        *other,
        *pieces_of(b"end", T0_NS + 4, ends=False),
    ]


LINES = [
    b"first\n", b"between\n", b"x" * 50_000 + b"\n", b"a\xff\x00\x80b\n", b"\n",
    b"y" * PIECE_BYTES + b"\n", b"end",
]  # fmt: skip


async def test_lines_stay_whole_and_bytes_stay_what_they_were(tmp_path: Path) -> None:
    in_file(tmp_path, a_log())
    assert await text_of(tmp_path, LogOptions()) == b"".join(LINES)


@pytest.mark.parametrize("count", range(9))
@pytest.mark.parametrize("cut", range(0, 12, 3))
async def test_the_last_lines_are_lines_and_not_pieces(
    tmp_path: Path, count: int, cut: int
) -> None:
    records = a_log()
    in_file(tmp_path, records[:cut], "container.log.1")
    in_file(tmp_path, records[cut:])
    found = await text_of(tmp_path, LogOptions(tail_count=count))
    assert found == b"".join(LINES[-count:] if count else [])


async def test_a_line_has_one_stamp(tmp_path: Path) -> None:
    in_file(tmp_path, a_log())
    found = (await text_of(tmp_path, LogOptions(timestamps=True))).splitlines()
    assert len(found) == len(LINES)
    assert found[2] == b"2023-11-14T22:13:20.000000001Z " + b"x" * 50_000
    assert stamp_of(T0_NS + 999_999_999) == b"2023-11-14T22:13:20.999999999Z "


@given(st.integers(0, 40), st.integers(1, 40))
def test_lines_before_the_time_asked_for_are_left_out_to_the_nanosecond(
    since: int, line_count: int
) -> None:
    text = LogText(timestamps=False, since_ns=T0_NS + since)
    found = [text.take(Record("stdout", T0_NS + at, b"%d" % at)) for at in range(line_count)]
    assert b"".join(found).split() == [b"%d" % at for at in range(since, line_count)]


async def test_recent_lines_are_found_without_reading_what_is_old(tmp_path: Path) -> None:
    old = [Record("stdout", T0_NS + at, b"old") for at in range(1000)]
    fresh = [Record("stdout", T0_NS + 60 * SECOND_NS + at, b"new %d" % at) for at in range(3)]
    in_file(tmp_path, old, "container.log.1")
    in_file(tmp_path, [*old, *fresh])
    options = LogOptions(since_ns=T0_NS + 60 * SECOND_NS + 1)
    assert await text_of(tmp_path, options) == b"new 1\nnew 2\n"

    log = LocalLog(tmp_path, options)
    log.open()
    try:
        assert log.read() == b"new 1\nnew 2\n"
        assert log.read() is None  # one read was all
    finally:
        log.close()


@pytest.mark.parametrize("rotation_count", [1, 2, 3])
async def test_nothing_is_lost_or_repeated_where_files_are_rotated_under_a_reader(
    tmp_path: Path, rotation_count: int
) -> None:
    """W26: however often Docker rotates between two looks, as long as it keeps the files."""
    names = [tmp_path / "container.log", *(tmp_path / f"container.log.{at}" for at in range(1, 6))]
    wanted, log, found = list[bytes](), LocalLog(tmp_path, LogOptions(follow=True)), b""

    def write(word: str) -> None:
        wanted.append(word.encode())
        with names[0].open("ab") as file:
            file.write(written(Record("stdout", T0_NS, word.encode())))

    def rotate() -> None:
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.rename(older)
        names[0].touch()

    write("before")
    log.open()
    try:
        for turn in range(4):
            found += log.read() or b""
            # Written after the last read and before the rotation.
            write(f"late {turn}")
            for at in range(rotation_count):
                rotate()
                write(f"turn {turn} file {at}")
            while (piece := log.read()) is not None:
                found += piece
    finally:
        log.close()
    assert found.splitlines() == wanted


async def test_who_follows_is_given_what_is_written_until_the_container_ends(
    tmp_path: Path,
) -> None:
    in_file(tmp_path, [Record("stdout", T0_NS, b"one")])
    ended = asyncio.Event()

    async def has_ended() -> bool:
        return ended.is_set()

    log = LocalLog(tmp_path, LogOptions(follow=True))
    found = list[bytes]()
    async with asyncio.timeout(60):
        async for piece in LogReading(log, Threads(), SystemClock()).pieces(has_ended, follow=True):
            found.append(piece)
            if len(found) < 4:
                with (tmp_path / "container.log").open("ab") as file:
                    file.write(written(Record("stdout", T0_NS, b"more")))
            else:
                ended.set()
    assert b"".join(found) == b"one\nmore\nmore\nmore\n"


async def test_who_gives_up_while_the_disk_hangs_leaves_no_descriptor_behind(
    tmp_path: Path,
) -> None:
    async def has_ended() -> bool:
        return True

    path, threads = tmp_path / "container.log", Threads()
    os.mkfifo(path)  # to open it takes until somebody opens the other end
    reading = LogReading(LocalLog(tmp_path, LogOptions()), threads, SystemClock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), aclosing(reading.pieces(has_ended, follow=False)) as all_:
            await anext(all_)
    assert threads.late
    async with asyncio.timeout(60):
        writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
        while threads.late:  # noqa: ASYNC110  a thread that hung has no event to wait for
            await asyncio.sleep(0.002)
    handles = [one for one in Path("/proc/self/fd").iterdir() if one.resolve() == path.resolve()]
    assert handles == [Path(f"/proc/self/fd/{writer}")]
    os.close(writer)


async def test_a_line_without_end_costs_no_memory_without_end() -> None:
    text, given_bytes, held_bytes_max = LogText(timestamps=True), 0, 0
    for part in range(1, 200):
        given_bytes += len(text.take(Record("stdout", T0_NS, b"z" * PIECE_BYTES, part, False)))
        held_bytes_max = max(held_bytes_max, part * PIECE_BYTES - given_bytes)
    assert held_bytes_max <= 300 << 10
    whole = given_bytes + len(text.take(Record("stdout", T0_NS, b"end", 200, True)))
    assert whole == len(stamp_of(T0_NS)) + 199 * PIECE_BYTES + len(b"end\n")


async def test_a_line_whose_end_was_lost_ends_where_the_next_begins(tmp_path: Path) -> None:
    begun = pieces_of(b"x" * 20_000, T0_NS)[:1]
    in_file(tmp_path, [*begun, Record("stdout", T0_NS, b"next"), Record("stdout", T0_NS, b"last")])
    whole = await text_of(tmp_path, LogOptions())
    assert whole == b"x" * PIECE_BYTES + b"\nnext\nlast\n"
    assert await text_of(tmp_path, LogOptions(tail_count=2)) == b"next\nlast\n"
    assert await text_of(tmp_path, LogOptions(tail_count=3)) == whole
