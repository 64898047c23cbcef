"""A head written as records and read again is the same head, whatever came and went before."""

from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.frame import EVER
from tsdb.columns.labels import key_of_dict
from tsdb.head.head import Batch, Head, in_order
from tsdb.limits import Limits
from tsdb.storage.checkpoint import Replay, write_head
from tsdb.storage.wal import LogFile, decode_record

LIMITS = Limits(series=100)
type Life = list[tuple[range, int]]


def put(head: Head, numbers: range, first_ms: int, count: int) -> None:
    """Append count samples, a second apart, to each of some series of one metric."""
    refs = []
    for number in numbers:
        key = key_of_dict({"__name__": "m", "n": str(number)})
        ref = head.ref(key)
        refs.append(head.add_series(key) if ref is None else ref)
    rows = np.repeat(head.rows_of(np.array(refs)), count)
    times = np.tile(first_ms + 1000 * np.arange(count), len(refs))
    batch, _ = in_order(Batch(rows, times, (rows * 7 + times % 1013).astype(np.float64)))
    fresh = batch.times > head.newest_of(batch.rows)
    head.add_fresh(batch.where(fresh))
    head.add_late(batch.where(~fresh))


def samples(head: Head) -> dict[bytes, tuple[bytes, bytes]]:
    """Return the times and the values of every series, bit by bit."""
    rows = head.index.all_rows()
    frame = head.frame(rows, -EVER, EVER)
    found = {}
    for row, key in enumerate(head.keys_of(rows.tolist())):
        lane = frame.lane_of[row]
        count = frame.counts[lane]
        found[key] = (frame.times[lane, :count].tobytes(), frame.values[row, :count].tobytes())
    return found


def again(head: Head) -> tuple[Head, Replay]:
    payloads: list[bytes] = []
    for _ in write_head(head, cast(LogFile, payloads)):
        pass
    copy = Head(LIMITS)
    replay = Replay(copy)
    for payload in payloads:
        replay.feed(decode_record(memoryview(payload)))
    replay.finish()
    return copy, replay


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Draw which series have how many samples in each of some spans."""
    spans = st.tuples(st.integers(0, 20), st.integers(1, 30), st.integers(1, 150))
    return [(range(low, low + size), count) for low, size, count in draw(st.lists(spans))]


@given(lives(), st.integers(0, 3), st.integers(0, 400))
def test_a_checkpoint_is_read_as_it_was_written(life: Life, forgotten: int, late: int) -> None:
    head = Head(LIMITS)
    for number, (series, count) in enumerate(life):
        put(head, series, number * 200_000, count)
    put(head, range(3), late * 1000 + 500, 2)
    head.settled_ms = head.earliest_ms = forgotten * 200_000 + 10_000
    for _ in head.forget_before(head.earliest_ms):
        pass

    copy, _ = again(head)
    twice, _ = again(copy)

    assert samples(copy) == samples(head) == samples(twice)
    assert (copy.settled_ms, copy.next_ref) == (head.settled_ms, twice.next_ref)
    refs = np.arange(head.next_ref)
    known = head.rows_of(refs) >= 0
    wanted = head.newest_of(head.rows_of(refs[known]))
    assert copy.newest_of(copy.rows_of(refs[known])).tolist() == wanted.tolist()


def test_what_is_sealed_is_taken_as_it_is() -> None:
    head = Head(LIMITS)
    put(head, range(60), 0, 500)

    copy, replay = again(head)

    assert replay.result.pieces == 30
    assert replay.result.samples < 60 * 64
    pieces = [[p.strip for slab in each.slabs() for p in slab.pieces] for each in (head, copy)]
    assert pieces[0] == pieces[1]
