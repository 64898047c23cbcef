"""Samples that came late: older than their series' newest one, yet inside the allowed window.

They wait here, sorted when somebody asks, until there are enough of them for a strip.
"""

import numpy as np

from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.columns.frame import Frame, FrameRows, lanes_of


class LateSamples:
    """Rows, times and values, in the order of arrival; reading sorts them once."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Rows, Ints, Floats]] = []
        self._sorted = True
        self.count = 0

    def add(self, rows: Rows, times: Ints, values: Floats) -> None:
        self._pieces.append((rows, times, values))
        self.count += len(rows)
        self._sorted = False

    def all(self) -> tuple[Rows, Ints, Floats]:
        """Return all samples by row and time, the first to arrive where a time occurs twice."""
        if not self._pieces:
            return np.empty(0, np.intp), np.empty(0, np.int64), np.empty(0)
        if not self._sorted:
            rows, times, values = (
                np.concatenate(column) for column in zip(*self._pieces, strict=True)
            )
            order = np.lexsort((times, rows))
            rows, times, values = rows[order], times[order], values[order]
            fresh = np.ones(len(rows), bool)
            fresh[1:] = (rows[1:] != rows[:-1]) | (times[1:] != times[:-1])
            self._pieces = [(rows[fresh], times[fresh], values[fresh])]
            self.count = int(fresh.sum())
            self._sorted = True
        return self._pieces[0]

    def replace(self, rows: Rows, times: Ints, values: Floats) -> None:
        """Keep only these, which are sorted."""
        self._pieces = [(rows, times, values)] if len(rows) else []
        self.count, self._sorted = len(rows), True

    def read(self, wanted: Rows) -> FrameRows | None:
        """Return what is here of the wanted rows, which ascend."""
        if not self.count:
            return None
        rows, times, values = self.all()
        lefts = np.searchsorted(rows, wanted)
        counts = np.searchsorted(rows, wanted, side="right") - lefts
        have = np.flatnonzero(counts)
        if not len(have):
            return None
        return FrameRows(have, padded(times, values, lefts[have], counts[have]))


def padded(times: Ints, values: Floats, lefts: Ints, counts: Ints) -> Frame:
    """Return a frame whose row i is the samples from lefts[i] on, counts[i] of them."""
    columns = np.arange(int(counts.max()))[None, :]
    places = np.minimum(lefts[:, None] + columns, len(times) - 1)
    lanes, lane_counts, lane_of = lanes_of(times[places], counts.astype(np.int64))
    return Frame(lanes, lane_counts, lane_of, values[places])
