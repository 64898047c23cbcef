"""How far back queries reach, and what waits for another engine."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.labels import key_of_dict
from tsdb.limits import Limits
from tsdb.promql.parser import parse
from tsdb.promql.reach import earliest_ms
from tsdb.remote.outgoing import Outgoing, columns_of
from tsdb.scrape.intake import STALE

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
    queue = Outgoing(100)
    queue.offer(*columns_of([A, B, A], [2, 5, 1], [20.0, 50.0, 10.0]))
    queue.offer(*columns_of([A], [3], [30.0]))
    assert queue.waiting == 4
    assert taken(queue, 2) == {A: [(2, 20.0)], B: [(5, 50.0)]}
    assert queue.waiting == 2
    assert taken(queue) == {A: [(1, 10.0), (3, 30.0)]}
    assert (taken(queue), queue.waiting, queue.dropped) == ({}, 0, 0)


def test_beyond_its_limit_the_oldest_are_dropped_and_counted() -> None:
    queue = Outgoing(3)
    for at_ms in range(5):
        queue.offer(*columns_of([A], [at_ms], [float(at_ms)]))
    assert (queue.waiting, queue.dropped) == (3, 2)
    assert taken(queue) == {A: [(2, 2.0), (3, 3.0), (4, 4.0)]}


def test_a_stale_marker_stays_one() -> None:
    queue = Outgoing(10)
    queue.offer([A], np.array([1], np.int64), np.array([STALE]))
    ((_, value),) = taken(queue)[A]
    assert struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 7))
def test_however_it_is_cut_everything_comes_out(sizes: list[int], part: int) -> None:
    queue, count = Outgoing(10_000), sum(sizes)
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
