"""Windows over lanes, and what is in them: for all series and steps at once.

Windows are found once for each lane of timestamps. What only needs single samples of a window is
gathered for all rows together; what needs all of them is reduced lane by lane.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.columns.frame import Frame, empty_frame, lanes_of
from tsdb.columns.series import Series
from tsdb.promql.values import Bools, Range, Vector
from tsdb.steps import Steps

LANES_PER_PAUSE = 64
STALE_BITS = 0x7FF0000000000002


@dataclass(frozen=True)
class Windows:
    """For each lane and step: the first sample of the window, and the one behind its last."""

    left: Ints
    right: Ints


def is_stale(values: Floats) -> Bools:
    stale: Bools = values.view(np.int64) == STALE_BITS
    return stale


def without_stale(frame: Frame) -> Frame:
    """Return the frame without stale markers, which no range function sees."""
    counts = frame.counts[frame.lane_of]
    stale = is_stale(np.ascontiguousarray(frame.values))
    if not stale.any():
        return frame
    valid = ~stale & (np.arange(stale.shape[1])[None, :] < counts[:, None])
    return squeezed(frame.times[frame.lane_of], frame.values, valid)


def squeezed(times: Ints, values: Floats, valid: Bools) -> Frame:
    """Return a frame of the valid samples of each row."""
    if not len(values):
        return empty_frame(0)
    order = np.argsort(~valid, axis=1, kind="stable")
    counts = valid.sum(axis=1)
    lanes, lane_counts, lane_of = lanes_of(np.take_along_axis(times, order, axis=1), counts)
    width = lanes.shape[1]
    values = np.take_along_axis(values, order[:, :width], axis=1)
    return Frame(lanes, lane_counts, lane_of, values)


def windows_of(frame: Frame, first_ms: Ints, last_ms: Ints) -> Windows:
    """Return where the samples from first_ms[j] to last_ms[j], both included, lie."""
    if len(frame.counts) == 1:
        times = frame.times[0, : frame.counts[0]]
        left = times.searchsorted(first_ms, side="left")
        return Windows(left[None, :], times.searchsorted(last_ms, side="right")[None, :])
    return _windows_of_lanes(frame, first_ms, last_ms)


def _windows_of_lanes(frame: Frame, first_ms: Ints, last_ms: Ints) -> Windows:
    """Search in all lanes at once: laid behind each other, each moved by more than any span."""
    lane_count, width = frame.times.shape
    if not width or not len(last_ms):
        nothing = np.zeros((lane_count, len(last_ms)), np.int64)
        return Windows(nothing, nothing)
    base_ms = int(first_ms.min())
    # Later than every window; what is behind the end of a lane is that too.
    beyond = int(last_ms.max()) - base_ms + 2
    # A few centuries at a time: so many lanes laid behind each other stay within 64 bits.
    lanes_at_once = max(1, 2**62 // beyond)
    left, right = [], []
    for start in range(0, lane_count, lanes_at_once):
        times = frame.times[start : start + lanes_at_once]
        shift = np.arange(len(times), dtype=np.int64)[:, None] * (beyond + 1)
        at = np.arange(len(times))[:, None] * width
        # Compared before it is subtracted: the end of a lane is as late as a number can be.
        near = np.minimum(np.maximum(times, base_ms - 1), base_ms + beyond - 1) - base_ms + 1
        flat = (near + shift).reshape(-1)
        left.append(flat.searchsorted(first_ms - base_ms + 1 + shift, side="left") - at)
        right.append(flat.searchsorted(last_ms - base_ms + 1 + shift, side="right") - at)
    return Windows(np.concatenate(left), np.concatenate(right))


@dataclass(frozen=True)
class Newest:
    """The newest sample of every series at every step: the column of its lane, if there is one."""

    series: Series
    frame: Frame
    columns: Ints
    some: Bools

    def vector(self) -> Vector:
        values = gathered(self.frame, self.columns)
        present = spread(self.some, self.frame) & ~is_stale(np.ascontiguousarray(values))
        return Vector(self.series, values, present)

    def times_s(self) -> Floats:
        """Return when each sample was taken."""
        times = spread(times_at(self.frame, self.columns) / 1000.0, self.frame)
        return np.broadcast_to(times, (len(self.series), self.columns.shape[1]))


def newest(series: Series, frame: Frame, ends_ms: Ints, back_ms: int) -> Newest:
    """Find the newest samples that are not older than back_ms, counted from each end."""
    places = windows_of(frame, ends_ms - back_ms, ends_ms)
    return Newest(series, frame, places.right - 1, places.right > places.left)


def range_windows(found: Range) -> Windows:
    return windows_of(found.frame, found.ends_ms - found.range_ms, found.ends_ms)


def gathered(frame: Frame, columns: Ints) -> Floats:
    """Return for every row and step the value at the column that the row's lane has there."""
    width = frame.values.shape[1]
    if not width:
        return np.full((len(frame.lane_of), columns.shape[1]), np.nan)
    columns = _within(columns, width)
    if len(columns) == 1:
        alone: Floats = frame.values[:, columns[0]]
        return alone
    return np.take_along_axis(frame.values, columns[frame.lane_of], axis=1)


def spread[N: np.generic](by_lane: NDArray[N], frame: Frame) -> NDArray[N]:
    """Return what is known by lane for every row; one lane serves all rows as it is."""
    return by_lane if len(by_lane) == 1 else by_lane[frame.lane_of]


def times_at(frame: Frame, columns: Ints) -> Ints:
    width = frame.times.shape[1]
    if not width:
        return np.zeros(columns.shape, np.int64)
    found: Ints = np.take_along_axis(frame.times, _within(columns, width), axis=1)
    return found


def _within(columns: Ints, width: int) -> Ints:
    # np.clip does the same, and takes three times as long for a single column.
    within: Ints = np.minimum(np.maximum(columns, 0), width - 1)
    return within


def by_lane(frame: Frame) -> Iterator[tuple[int, Rows, Floats]]:
    """Yield each lane, its rows, and their values, as long as the lane."""
    if len(frame.counts) == 1:
        yield 0, np.arange(len(frame.lane_of)), frame.values[:, : int(frame.counts[0])]
        return
    order = np.argsort(frame.lane_of, kind="stable")
    starts = np.searchsorted(frame.lane_of[order], np.arange(len(frame.counts) + 1))
    for lane, count in enumerate(frame.counts.tolist()):
        rows = order[starts[lane] : starts[lane + 1]]
        if len(rows):
            yield lane, rows, frame.values[rows, :count]


type Reduce = Callable[[Floats, Ints, Ints], Floats]


def reduced(frame: Frame, windows: Windows, reduce: Reduce) -> Steps[Floats]:
    """Apply reduce(values, left, right) to every lane's rows; empty windows give anything."""
    out = np.full((len(frame.lane_of), windows.left.shape[1]), np.nan)
    for lane, rows, values in by_lane(frame):
        if lane % LANES_PER_PAUSE == 0:
            yield
        if values.shape[1]:
            out[rows] = reduce(values, windows.left[lane], windows.right[lane])
    return out


def over_windows(ufunc: np.ufunc, values: Floats, left: Ints, right: Ints) -> Floats:
    """Return ufunc reduced over the columns left[j] to right[j] - 1 of every row."""
    width = values.shape[1]
    left, right = np.minimum(left, width - 1), np.minimum(right, width)
    if right.max(initial=0) == width:
        # reduceat takes no place behind the end: give it a column to name.
        values = np.concatenate((values, values[:, -1:]), axis=1)
    places = np.empty(2 * len(left), np.intp)
    places[0::2], places[1::2] = left, np.maximum(right, left)
    found: Floats = ufunc.reduceat(values, places, axis=1)[:, 0::2]
    return found


def drops_of(frame: Frame) -> Bools:
    """Return where a sample is below the one before it: where a counter was reset."""
    drops = np.zeros(frame.values.shape, bool)
    drops[:, 1:] = frame.values[:, 1:] < frame.values[:, :-1]
    if len(frame.counts) > 1:
        counts = frame.counts[frame.lane_of]
        drops &= np.arange(drops.shape[1])[None, :] < counts[:, None]
    return drops


def counted(found: Range, marks: Bools) -> tuple[Floats, Bools]:
    """changes and resets: how many marked columns each window has, its first one left out."""
    frame, windows = found.frame, range_windows(found)
    before = np.zeros((len(marks), marks.shape[1] + 1))
    np.cumsum(marks, axis=1, out=before[:, 1:])
    running = Frame(frame.times, frame.counts, frame.lane_of, before)
    start = np.minimum(windows.left + 1, windows.right)
    values = gathered(running, windows.right) - gathered(running, start)
    some = windows.right > windows.left
    return values, np.broadcast_to(spread(some, frame), values.shape)


def resets(found: Range) -> tuple[Floats, Bools]:
    return counted(found, drops_of(found.frame))


def changes(found: Range) -> tuple[Floats, Bools]:
    frame = found.frame
    marks = np.zeros(frame.values.shape, bool)
    now, before = frame.values[:, 1:], frame.values[:, :-1]
    marks[:, 1:] = (now != before) & ~(np.isnan(now) & np.isnan(before))
    if len(frame.counts) > 1:
        counts = frame.counts[frame.lane_of]
        marks &= np.arange(marks.shape[1])[None, :] < counts[:, None]
    return counted(found, marks)
