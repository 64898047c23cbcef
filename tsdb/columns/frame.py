"""Samples in memory: rows of values over lanes of timestamps, and how parts become one frame.

Series that are scraped together share their timestamps. A *lane* is one such vector of timestamps;
a row of values names its lane. What is worked out for a lane (which samples a window holds) serves
all of its rows, and that is why a query over a thousand series costs little more than over one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import Floats, Ints, Rows

# Stands behind the end of a lane, so that a search never goes there.
NEVER_MS = np.iinfo(np.int64).max

# Before and behind every time there is: as -EVER and EVER.
EVER = 2**62

# Odd multipliers for telling lanes apart by a sum; equality is checked afterwards.
_MIX = (np.random.default_rng(7).integers(1, 2**62, 4096, dtype=np.int64) << 1) | 1


@dataclass(frozen=True)
class Frame:
    """Values of rows: row r holds values[r, :counts[lane_of[r]]] at times[lane_of[r]].

    times ascend within a lane and are NEVER_MS behind its end; values behind it mean nothing.
    """

    times: Ints
    counts: Ints
    lane_of: Rows
    values: Floats

    @property
    def sample_count(self) -> int:
        if len(self.counts) == 1:
            return int(self.counts[0]) * len(self.lane_of)
        return int(self.counts[self.lane_of].sum())


@dataclass(frozen=True)
class FrameRows:
    """A frame from one source, and the row of the answer that each of its rows belongs to."""

    rows: Rows
    frame: Frame


def empty_frame(row_count: int) -> Frame:
    return Frame(
        np.empty((1, 0), np.int64),
        np.zeros(1, np.int64),
        np.zeros(row_count, np.intp),
        np.empty((row_count, 0)),
    )


def lanes_of(times: Ints, counts: Ints) -> tuple[Ints, Ints, Rows]:
    """Return the distinct lanes among rows of timestamps: times, counts, and the lane of each row.

    times may hold anything behind a row's count.
    """
    if len(counts) == 1:
        return times[:, : counts[0]], counts, np.zeros(1, np.intp)
    width = int(counts.max(initial=0))
    times = times[:, :width]
    if (counts == width).all():
        if (times == times[0]).all():
            return times[:1].copy(), np.array([width]), np.zeros(len(times), np.intp)
    else:
        behind = np.arange(width)[None, :] >= counts[:, None]
        times = np.where(behind, NEVER_MS, times)
    mix = np.resize(_MIX, width)
    _, first, lane_of = np.unique(times @ mix, return_index=True, return_inverse=True)
    if not (times[first][lane_of] == times).all():
        # Two lanes with one sum: possible once in a very long time, and then no lane is shared.
        return times, counts, np.arange(len(times))
    return times[first], counts[first], lane_of.astype(np.intp)


def assemble(row_count: int, parts: Sequence[FrameRows]) -> Frame:
    """Return one frame of all parts: for a timestamp that occurs twice, the earlier part wins.

    Parts are meant to come in the order of time; where they overlap, lanes are sorted.
    """
    whole = [part for part in parts if len(part.rows) and part.frame.values.shape[1]]
    if len(whole) == 1 and len(whole[0].rows) == row_count:
        only = whole[0]
        if row_count == 1 or (only.rows == np.arange(row_count)).all():
            return only.frame
    if not whole:
        return empty_frame(row_count)
    path_of, paths = _paths(row_count, whole)
    counts_of_path = [sum(int(whole[p].frame.counts[lane]) for p, lane in path) for path in paths]
    width = max(counts_of_path)
    values = _gathered(row_count, width, whole)
    times = np.full((len(paths), width), NEVER_MS, np.int64)
    for index, path in enumerate(paths):
        at = 0
        for p, lane in path:
            count = int(whole[p].frame.counts[lane])
            times[index, at : at + count] = whole[p].frame.times[lane, :count]
            at += count
    # Rows of other sources may have come by other paths to the same timestamps.
    times, counts, lane_of_path = lanes_of(times, np.array(counts_of_path, np.int64))
    path_of = lane_of_path[path_of]
    if width > 1:
        _put_in_order(times, counts, path_of, values)
    return Frame(times, counts, path_of, values)


type Path = tuple[tuple[int, int], ...]


def _paths(row_count: int, parts: Sequence[FrameRows]) -> tuple[Rows, list[Path]]:
    """Return, for each row, which sequence of (part, lane) it consists of."""
    path_of = np.zeros(row_count, np.intp)
    paths: list[Path] = [()]
    for index, part in enumerate(parts):
        lane_count = len(part.frame.counts)
        steps = path_of[part.rows] * lane_count + part.frame.lane_of
        distinct, inverse = np.unique(steps, return_inverse=True)
        fresh = [
            (*paths[step // lane_count], (index, step % lane_count)) for step in distinct.tolist()
        ]
        path_of[part.rows] = inverse + len(paths)
        paths += fresh
    used, inverse = np.unique(path_of, return_inverse=True)
    return inverse.astype(np.intp), [paths[path] for path in used.tolist()]


def _gathered(row_count: int, width: int, parts: Sequence[FrameRows]) -> Floats:
    values = np.full((row_count, width), np.nan)
    place = np.zeros(row_count, np.int64)
    for part in parts:
        frame = part.frame
        counts = frame.counts[frame.lane_of]
        starts = place[part.rows]
        if len(frame.counts) == 1 and (starts == starts[0]).all():
            at, count = int(starts[0]), int(frame.counts[0])
            values[part.rows, at : at + count] = frame.values[:, :count]
        else:
            columns = np.arange(frame.values.shape[1])
            row, column = np.nonzero(columns[None, :] < counts[:, None])
            values[part.rows[row], starts[row] + column] = frame.values[row, column]
        place[part.rows] += counts
    return values


def _put_in_order(times: Ints, counts: Ints, lane_of: Rows, values: Floats) -> None:
    """Sort and thin out, in place, the lanes whose times do not strictly ascend."""
    width = times.shape[1]
    within = np.arange(1, width)[None, :] < counts[:, None]
    disordered = np.flatnonzero(((times[:, 1:] <= times[:, :-1]) & within).any(axis=1))
    for lane in disordered.tolist():
        count = int(counts[lane])
        order = np.argsort(times[lane, :count], kind="stable")
        ordered = times[lane, order]
        order = order[np.concatenate(([True], ordered[1:] != ordered[:-1]))]
        members = np.flatnonzero(lane_of == lane)
        sorted_times = times[lane, order]
        times[lane] = NEVER_MS
        times[lane, : len(order)] = sorted_times
        values[members[:, None], np.arange(len(order))] = values[members[:, None], order]
        counts[lane] = len(order)


def restrict(frame: Frame, first_ms: int, last_ms: int) -> Frame:
    """Return the samples of a frame from first_ms to last_ms, both included."""
    lanes = [times[:count] for times, count in zip(frame.times, frame.counts, strict=True)]
    lefts = [int(lane.searchsorted(first_ms)) for lane in lanes]
    rights = [int(lane.searchsorted(last_ms, side="right")) for lane in lanes]
    if len(lefts) == 1:
        left, right = lefts[0], rights[0]
        return Frame(
            frame.times[:, left:right],
            np.array([right - left]),
            frame.lane_of,
            frame.values[:, left:right],
        )
    counts = np.array(rights) - np.array(lefts)
    width = int(counts.max(initial=0))
    columns = np.arange(width)[None, :] + np.array(lefts)[:, None]
    columns = np.minimum(columns, max(0, frame.times.shape[1] - 1))
    times = np.take_along_axis(frame.times, columns, axis=1)
    times[np.arange(width)[None, :] >= counts[:, None]] = NEVER_MS
    values = np.take_along_axis(frame.values, columns[frame.lane_of], axis=1)
    return Frame(times, counts, frame.lane_of, values)


def take(frame: Frame, rows: Rows) -> Frame:
    """Return some rows of a frame, with all of its lanes."""
    return Frame(frame.times, frame.counts, frame.lane_of[rows], frame.values[rows])


def compact(frame: Frame) -> tuple[Rows, Frame]:
    """Return which rows have samples, and a frame of them that has no unused or empty lane."""
    rows = np.flatnonzero(frame.counts[frame.lane_of])
    if not len(rows):
        return rows, empty_frame(0)
    used, lane_of = np.unique(frame.lane_of[rows], return_inverse=True)
    counts = frame.counts[used]
    width = int(counts.max())
    values = frame.values[:, :width]
    if len(rows) < len(values):
        values = values[rows]
    return rows, Frame(frame.times[used, :width], counts, lane_of.astype(np.intp), values)
