"""Crashes and bad disks: what is torn loses itself alone, nothing is invented, opening succeeds."""

import errno
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.frame import EVER
from tsdb.errors import DiskRefused, TsdbError
from tsdb.head.head import Head
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.storage.checkpoint import Replay, flattened
from tsdb.storage.disk import Disk
from tsdb.storage.records import Damage, framed, payloads, record_end
from tsdb.storage.store import open_store
from tsdb.storage.wal import decode_record, read_log

LIMITS = Limits(series=20, strip_cache_bytes=2**16)
# The longest that stands before the payload of a record, with room.
HEAD_BYTES = 16
type Sample = tuple[int, int, float]


def replayed(data: bytes, path: Path) -> tuple[set[Sample], Damage]:
    """Return the samples (ref, time, value) that a log of these bytes gives, and its damage."""
    # A file that is truncated and written again is flushed when it is closed; a new one is not.
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    damage = Damage()
    head = Head(LIMITS)
    replay = Replay(head)
    for record in read_log(path, damage):
        replay.feed(record)
    replay.finish()
    rows = head.index.all_rows()
    if not len(rows):
        return set(), damage
    row, times, values = flattened(head.frame(rows, -EVER, EVER))
    refs = head.refs_of(rows[row])
    return set(zip(refs.tolist(), times.tolist(), values.tolist(), strict=True)), damage


@pytest.fixture(params=["requests", "checkpoint"])
def a_log(request: pytest.FixtureRequest, open_small: Callable[..., Any]) -> bytes:
    """The log of three requests, the second of which brings a new series; or a checkpoint."""
    small = open_small()
    if request.param == "checkpoint":
        for name, count in (("a", 70), ("b", 3)):
            small.put_columns([name] * count, list(range(1000, 1000 + count)), [2.5] * count)
        small.put("a", 999, 1.5)
        for _ in small.store._checkpoint():
            pass
        path, _ = small.store.wal.files()
        checkpoint: bytes = path.read_bytes()
        return checkpoint
    small.put_columns(["a", "b"], [1000, 1000], [1.5, 2.5])
    small.put_columns(["a", "b", "c"], [2000, 2001, 2002], [3.5, 4.5, 5.5])
    small.put_columns(["a", "b", "c"], [3000, 3000, 3000], [6.5, 7.5, 8.5])
    (segment,) = small.store.wal.files()
    data: bytes = segment.read_bytes()
    return data


def record_spans(data: bytes) -> list[tuple[int, int]]:
    spans = []
    at = 0
    while at < len(data):
        end = record_end(data, at)
        spans.append((at, end))
        at = end
    return spans


def samples_without(data: bytes, spans: Sequence[tuple[int, int]], path: Path) -> set[Sample]:
    return replayed(b"".join(data[a:b] for a, b in spans), path)[0]


def test_a_log_cut_at_any_byte_keeps_every_whole_record(a_log: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    spans = record_spans(a_log)
    for cut in range(len(a_log) + 1):
        whole = [span for span in spans if span[1] <= cut]

        found, damage = replayed(a_log[:cut], path)

        assert found == samples_without(a_log, whole, path)
        assert damage.places == (0 if cut in {0, *(end for _, end in whole)} else 1)


def test_any_flipped_bit_costs_its_record_and_no_other(a_log: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    for start, end in record_spans(a_log):
        others = [span for span in record_spans(a_log) if span != (start, end)]
        expected = samples_without(a_log, others, path)
        # Every bit where a length or a checksum may stand; of the rest, which the checksum covers,
        # one bit of every byte, another each time.
        head_end = min(start + HEAD_BYTES, end)
        bits = [*range(start * 8, head_end * 8), *(at * 8 + at % 8 for at in range(head_end, end))]
        for bit in bits:
            damaged = bytearray(a_log)
            damaged[bit // 8] ^= 1 << bit % 8

            found, damage = replayed(bytes(damaged), path)

            assert found == expected
            assert damage.places == 1


@given(junk=st.binary(max_size=200), at=st.integers(0, 3))
def test_junk_between_records_is_passed_over(junk: bytes, at: int) -> None:
    records = [b"one", b"two", b"three"]
    pieces = [b"".join(framed(record)) for record in records]
    pieces.insert(at, junk)
    damage = Damage()

    assert [bytes(p) for p in payloads(b"".join(pieces), damage)] == records
    assert damage.bytes == len(junk)


@given(payload=st.binary(max_size=300))
def test_any_payload_is_a_record_or_corrupt(payload: bytes) -> None:
    try:
        decode_record(memoryview(payload))
    except TsdbError:
        return


@pytest.mark.parametrize("name", ["blocks", "log"])
def test_a_store_of_damaged_files_opens_and_serves_the_rest(
    name: str, open_small: Callable[..., Any]
) -> None:
    small = open_small(options=Options(out_of_order_s=0.2, block_span_s=1.0, compacted_span_s=1.0))
    for second in range(60):
        small.put("a", second * 100, float(second))
    small.upkeep()
    wanted = set(small.read()["a"])
    small.store.close()
    for path in sorted((small.folder / name).iterdir()):
        intact = path.read_bytes()
        for at in range(0, len(intact), max(1, len(intact) // 60)):
            damaged = bytearray(intact)
            damaged[at] ^= 0x10
            path.write_bytes(damaged)
            small.store = open_store(small.folder, small.limits, small.options)

            found = set(small.read().get("a", []))

            assert found <= wanted
            small.store.close()
            path.with_suffix(".damaged").unlink(missing_ok=True)
            path.write_bytes(intact)
    small.store = open_store(small.folder, small.limits, small.options)
    assert set(small.read()["a"]) == wanted


def test_upkeep_repairs_a_damaged_log(open_small: Callable[..., Any]) -> None:
    small = open_small()
    for at in range(1000, 6000, 1000):
        small.put("a", at, float(at))
    small.store.close()
    (segment,) = small.store.wal.files()
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    small.store = open_store(small.folder, small.limits, small.options)
    left = small.read()
    assert small.store.counters.log_damage.places == 1
    assert len(left["a"]) == 4

    small.upkeep()
    small.reopen()

    assert small.store.counters.log_damage.places == 0
    assert small.read() == left


class FaultyDisk(Disk):
    """Refuses from the given call on, until it is mended; may leave half of a write behind."""

    def __init__(self) -> None:
        self.calls_left = 10**9
        self.code = errno.ENOSPC

    def _spend(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise OSError(self.code, "No space left on device")

    def write(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        if self.calls_left == 0 and sum(map(len, pieces)) > 1:
            self.calls_left = -1
            half = b"".join(pieces)
            return super().write(descriptor, [half[: len(half) // 2]])
        self._spend()
        return super().write(descriptor, pieces)

    def create(self, path: Path) -> int:
        self._spend()
        return super().create(path)

    def sync(self, descriptor: int) -> None:
        self._spend()
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._spend()
        super().rename(source, target)


@pytest.fixture
def on_faulty_disk(
    open_small: Callable[..., Any], tmp_path: Path
) -> Callable[[int], tuple[Any, FaultyDisk]]:
    count = 0

    def opener(calls: int) -> tuple[Any, FaultyDisk]:
        nonlocal count
        count += 1
        small = open_small(
            folder=tmp_path / str(count),
            options=Options(out_of_order_s=0.2, block_span_s=1.0, compacted_span_s=3.0),
        )
        small.store.close()
        disk = FaultyDisk()
        small.store = open_store(small.folder, small.limits, small.options, disk)
        disk.calls_left = calls
        return small, disk

    return opener


def told_twice(small: Any, disk: FaultyDisk, acknowledged: set[tuple[int, float]]) -> None:
    """Write on; every sample that is refused is sent again once the disk is mended."""
    for second in range(18):
        sample = (second * 250, float(second))
        try:
            assert small.put("a", *sample).refused == 0
        except DiskRefused:
            disk.calls_left = 10**9
            if small.store.wal.broken:
                small.upkeep()
            small.put("a", *sample)
        acknowledged.add(sample)
        if second % 9 == 8:
            try:
                small.upkeep()
            except DiskRefused:
                disk.calls_left = 10**9


@pytest.mark.parametrize(
    ("code", "first", "step"),
    [*((errno.ENOSPC, first, 4) for first in range(4)), (errno.EIO, 0, 5)],
)
def test_a_disk_that_refuses_at_any_step_loses_nothing_acknowledged(
    on_faulty_disk: Callable[[int], tuple[Any, FaultyDisk]], code: int, first: int, step: int
) -> None:
    for calls in count(first, step):
        small, disk = on_faulty_disk(calls)
        disk.code = code
        acknowledged: set[tuple[int, float]] = set()

        told_twice(small, disk, acknowledged)
        is_over = 0 < disk.calls_left < 10**8

        assert set(small.read()["a"]) == acknowledged
        small.reopen()
        assert set(small.read()["a"]) == acknowledged
        if is_over:
            # The whole life went by before the disk's turn came: every step has had its fault.
            assert calls > 40
            return


def test_a_full_disk_refuses_writes_and_answers_queries(
    on_faulty_disk: Callable[[int], tuple[Any, FaultyDisk]],
) -> None:
    small, disk = on_faulty_disk(10**9)
    small.put("a", 1000, 1.0)
    disk.calls_left = 0

    for at in (2000, 3000):
        with pytest.raises(DiskRefused):
            small.put("a", at, 2.0)
    assert small.read() == {"a": [(1000, 1.0)]}

    disk.calls_left = 10**9
    small.upkeep()
    assert small.put("a", 2000, 2.0).accepted == 1
    assert small.read() == {"a": [(1000, 1.0), (2000, 2.0)]}


def test_a_repair_between_two_tries_to_write_a_block_loses_nothing(
    on_faulty_disk: Callable[[int], tuple[Any, FaultyDisk]],
) -> None:
    small, disk = on_faulty_disk(10**9)
    wanted = [(at, float(at)) for at in range(0, 4000, 250)]
    for sample in wanted:
        small.put("a", *sample)
    disk.calls_left = 0
    with pytest.raises(DiskRefused):
        small.upkeep()
    # The block was refused; now the log takes one more record, and cannot sync it.
    disk.calls_left = 1
    with pytest.raises(DiskRefused):
        small.put("a", 4000, 4000.0)
    assert small.store.wal.broken

    disk.calls_left = 10**9
    upkeep = small.store.maintain()
    while not small.store.counters.checkpoints:
        next(upkeep)
    upkeep.close()
    small.reopen()

    assert small.read() == {"a": [*wanted, (4000, 4000.0)]}


def test_a_crash_between_forgetting_and_the_checkpoint_loses_nothing(
    open_small: Callable[..., Any],
) -> None:
    small = open_small(options=Options(out_of_order_s=0.2, block_span_s=1.0))
    small.put("a", 100, 1.0)
    small.put("b", 2000, 1.0)
    steps = small.store._flush(1000)
    while small.store.head.ref(small.key("a")) is not None:
        next(steps)
    # Series a is in a block and forgotten; the log still holds its old number. It comes back:
    small.put("a", 2100, 2.0)
    steps.close()

    small.reopen()

    assert small.read()["a"] == [(100, 1.0), (2100, 2.0)]


def test_numbers_of_series_are_never_given_to_another(open_small: Callable[..., Any]) -> None:
    small = open_small(options=Options(out_of_order_s=0.2, block_span_s=1.0))
    small.put("a", 100, 1.0)
    stale = small.store.ref(small.key("a"))
    small.put("b", 5000, 1.0)
    small.upkeep()
    small.put("c", 5000, 1.0)

    outcome = small.store.append(np.array([stale]), np.array([6000]), np.array([9.0]), 2**60)

    assert outcome.no_series == 1
    assert small.read()["c"] == [(5000, 1.0)]
