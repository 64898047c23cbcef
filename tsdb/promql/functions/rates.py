"""rate, increase, delta, irate, idelta: the change over a window, extrapolated to its edges.

What only depends on timestamps is worked out once for each lane. The series follow in groups whose
numbers fit the processor's cache together. Source of the algorithm: extrapolatedRate in
Prometheus' promql/functions.go.
"""

from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import Floats, Ints
from tsdb.columns.frame import Frame
from tsdb.promql.values import Bools, Range
from tsdb.promql.windows import (
    Windows,
    drops_of,
    gathered,
    over_windows,
    range_windows,
    reduced,
    spread,
    times_at,
)
from tsdb.steps import Steps, finished

# So many numbers of one matrix at a time: the dozen matrices of a rate then stay in the cache.
NUMBERS_AT_ONCE = 32_768


@dataclass(frozen=True)
class _Edges:
    """By lane and step, in seconds: how far the samples of a window reach, and what is beyond."""

    sampled: Floats
    between: Floats
    to_start: Floats
    before: Floats
    after: Floats


def rate(found: Range, *, is_counter: bool, is_rate: bool) -> Steps[tuple[Floats, Bools]]:
    """Return rate, increase or delta for every series and step."""
    frame, windows = found.frame, range_windows(found)
    per = found.range_ms / 1000.0 if is_rate else 1.0
    row_count, step_count = len(frame.lane_of), len(found.ends_ms)
    values = np.empty((row_count, step_count))
    with np.errstate(all="ignore"):
        edges = _edges(found, windows)
        factor = (edges.sampled + edges.before + edges.after) / edges.sampled / per
    size = max(1, NUMBERS_AT_ONCE // max(1, step_count))
    for start in range(0, row_count, size):
        yield
        rows = slice(start, start + size)
        part = Frame(frame.times, frame.counts, frame.lane_of[rows], frame.values[rows])
        first = gathered(part, windows.left)
        with np.errstate(all="ignore"):
            change = gathered(part, windows.right - 1) - first
            if is_counter:
                change += finished(_lost_in_resets(part, windows))
            np.multiply(change, spread(factor, part), out=values[rows])
            if is_counter:
                _end_at_zero(values[rows], part, edges, (first, change, per))
    enough = windows.right - windows.left >= 2
    return values, np.broadcast_to(spread(enough, frame), values.shape)


def _edges(found: Range, windows: Windows) -> _Edges:
    first_ms = times_at(found.frame, windows.left)
    last_ms = times_at(found.frame, windows.right - 1)
    to_start = (first_ms - (found.ends_ms - found.range_ms)) / 1000.0
    to_end = (found.ends_ms - last_ms) / 1000.0
    sampled = (last_ms - first_ms) / 1000.0
    between = sampled / (windows.right - windows.left - 1)
    # Samples nearly reach the edge where they are as near to it as they are to each other.
    near = between * 1.1
    before = np.where(to_start < near, to_start, between / 2)
    after = np.where(to_end < near, to_end, between / 2)
    return _Edges(sampled, between, to_start, before, after)


def _end_at_zero(
    values: Floats, frame: Frame, edges: _Edges, known: tuple[Floats, Floats, float]
) -> None:
    """Correct, in place, where a counter followed back would have been 0 within the window.

    There the extrapolation ends at that moment: a counter is never below 0.
    """
    first, change, per = known
    reaches = first * spread(edges.sampled, frame) < change * spread(edges.to_start, frame)
    reaches &= first >= 0
    reaches &= change > 0
    rows, columns = np.nonzero(reaches)
    if len(rows):
        at = frame.lane_of[rows], columns
        sampled, between = edges.sampled[at], edges.between[at]
        start = sampled * (first[rows, columns] / change[rows, columns])
        start = np.where(start < between * 1.1, start, between / 2)
        whole = sampled + start + edges.after[at]
        values[rows, columns] = change[rows, columns] * (whole / sampled / per)


def _lost_in_resets(frame: Frame, windows: Windows) -> Steps[Floats | float]:
    """Return the sum of the values from which a counter fell within each window."""
    drops = drops_of(frame)
    rows = np.flatnonzero(drops.any(axis=1))
    if not len(rows):
        return 0.0
    values = frame.values[rows]
    fallen = np.where(drops[rows], np.roll(values, 1, axis=1), 0.0)
    part = Frame(frame.times, frame.counts, frame.lane_of[rows], fallen)
    inside = Windows(windows.left + 1, windows.right)
    lost = yield from reduced(part, inside, _sums)
    lost = np.where(spread(inside.right <= inside.left, part), 0.0, lost)
    if len(rows) == len(frame.lane_of):
        return lost
    out = np.zeros((len(frame.lane_of), lost.shape[1]))
    out[rows] = lost
    return out


def _sums(values: Floats, left: Ints, right: Ints) -> Floats:
    return over_windows(np.add, values, left, right)


def instant_change(found: Range, *, is_rate: bool) -> tuple[Floats, Bools]:
    """Return irate or idelta: from the last two samples alone."""
    frame, windows = found.frame, range_windows(found)
    last, before = gathered(frame, windows.right - 1), gathered(frame, windows.right - 2)
    times = times_at(frame, windows.right - 1) - times_at(frame, windows.right - 2)
    with np.errstate(all="ignore"):
        change = last - before
        if is_rate:
            change = np.where(last < before, last, change) / spread(times / 1000.0, frame)
    enough = (windows.right - windows.left >= 2) & (times > 0)
    return change, np.broadcast_to(spread(enough, frame), change.shape)
