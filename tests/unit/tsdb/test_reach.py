"""How far back queries reach, and what waits for another engine."""

import struct
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.labels import key_of_dict
from tsdb.limits import Limits
from tsdb.promql.parser import parse
from tsdb.promql.reach import earliest_ms
from tsdb.remote.outgoing import BATCH_BYTES, KEY_BYTES, SAMPLE_BYTES, Outgoing, columns_of
from tsdb.scrape.intake import STALE

MUCH = 1 << 30
FIRST_MS, LAST_MS, LOOKBACK_MS = 1_000_000_000, 1_003_600_000, 300_000
A, B = key_of_dict({"__name__": "a"}), key_of_dict({"__name__": "b"})


@pytest.mark.parametrize(
    ("query", "before_s"),
    [
        ("1", 0),
        ("a", 300),
        ("a[10s]", 10),
        ("rate(a[1h])", 3600),
        ("a offset 1d", 86_700),
        ("a offset -1d", 0),
        ("max_over_time(rate(a[1m])[2h:10s])", 7260),
        ("max_over_time(a[2h:10s] offset 1h)", 7200 + 3600 + 300),
        ("sum(a) / sum(rate(b[1d] offset 1d)) or topk(scalar(c offset 3d), d)", 3 * 86_400 + 300),
        ("a @ start()", 300),
        ("a[4000s] @ end()", 400),
        ("rate(a[1m] @ 1000)", 1_000_000 - 1000 + 60),
        ("-(a offset 600s)", 900),
    ],
)
def test_a_query_reaches_back_as_far_as_its_oldest_selector(query: str, before_s: int) -> None:
    found = earliest_ms(parse(query, Limits()), FIRST_MS, LAST_MS, LOOKBACK_MS)
    assert FIRST_MS - found == before_s * 1000


def taken(queue: Outgoing, count: int = 100) -> dict[bytes, list[tuple[int, float]]]:
    return dict(queue.take(count))


def test_samples_leave_in_their_order_and_only_once() -> None:
    queue = Outgoing(100, MUCH)
    queue.offer(*columns_of([A, B, A], [2, 5, 1], [20.0, 50.0, 10.0]))
    queue.offer(*columns_of([A], [3], [30.0]))
    assert queue.waiting == 4
    assert taken(queue, 2) == {A: [(2, 20.0)], B: [(5, 50.0)]}
    assert queue.waiting == 2
    assert taken(queue) == {A: [(1, 10.0), (3, 30.0)]}
    assert (taken(queue), queue.waiting, queue.dropped) == ({}, 0, 0)


def test_beyond_its_limit_the_oldest_are_dropped_and_counted() -> None:
    queue = Outgoing(3, MUCH)
    for at_ms in range(5):
        queue.offer(*columns_of([A], [at_ms], [float(at_ms)]))
    assert (queue.waiting, queue.dropped) == (3, 2)
    assert taken(queue) == {A: [(2, 2.0), (3, 3.0), (4, 4.0)]}


def test_many_small_batches_of_series_that_come_once_are_bounded_by_their_bytes() -> None:
    """A million samples of as many series, each in a batch of its own, are not 24 MB."""
    queue = Outgoing(1_000_000, 10_000)
    for at_ms in range(100):
        queue.offer(*columns_of([b"%100d" % at_ms], [at_ms], [0.0]))

    one_bytes = BATCH_BYTES + SAMPLE_BYTES + KEY_BYTES + 100
    assert queue.waiting == 10_000 // one_bytes
    assert queue.held_bytes == queue.waiting * one_bytes
    assert queue.dropped == 100 - queue.waiting
    assert min(taken(queue))[-2:] == b"%2d" % queue.dropped


def test_a_series_is_counted_once_and_a_view_does_not_hold_what_it_is_a_part_of() -> None:
    queue = Outgoing(1000, 2200)
    whole = np.arange(1_000_000)
    for at_ms in range(3):
        queue.offer([b"x" * 300, b"x" * 300], whole[at_ms : at_ms + 2], np.zeros(2))
    assert queue.held_bytes == 3 * BATCH_BYTES + 6 * SAMPLE_BYTES + KEY_BYTES + 300
    noted = weakref.ref(whole)
    del whole
    assert noted() is None
    queue.offer([b"y" * 3000], np.zeros(1, np.int64), np.zeros(1))
    assert (queue.waiting, queue.dropped, queue.held_bytes) == (0, 7, 0)


def test_a_stale_marker_stays_one() -> None:
    queue = Outgoing(10, MUCH)
    queue.offer([A], np.array([1], np.int64), np.array([STALE]))
    ((_, value),) = taken(queue)[A]
    assert struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 7))
def test_however_it_is_cut_everything_comes_out(sizes: list[int], part: int) -> None:
    queue, count = Outgoing(10_000, MUCH), sum(sizes)
    at = iter(range(count))
    for size in sizes:
        times = [next(at) for _ in range(size)]
        queue.offer(*columns_of([A if one % 2 else B for one in times], times, [0.0] * size))
    found = []
    while queue.waiting:
        batch = taken(queue, part)
        assert sum(map(len, batch.values())) <= part
        found += sorted(at_ms for samples in batch.values() for at_ms, _ in samples)
    assert found == list(range(count))
    assert queue.held_bytes == 0
