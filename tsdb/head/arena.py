"""The newest samples of every series, uncompressed, in two big matrices of rows by columns.

Memory is reserved for the largest number of rows and given by the kernel page by page when a row is
first written, so that an empty arena costs nothing and growth copies nothing.
"""

import mmap

import numpy as np

from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.columns.frame import Frame, FrameRows, lanes_of

# A full row keeps its newest KEPT samples here, so that queries of the last minutes decode nothing.
COLUMNS, KEPT = 64, 16
# From <sys/mman.h>: room in the address space, not in memory.
_MAP_NORESERVE = 0x4000
NO_SAMPLE_MS = np.iinfo(np.int64).min


def _reserved(rows: int, columns: int) -> mmap.mmap:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    return mmap.mmap(-1, max(1, rows * columns * 8), flags=flags)


class Arena:
    """Rows of up to COLUMNS samples; `filled` says how many, `newest_ms` the last one's time."""

    def __init__(self, row_limit: int) -> None:
        self.row_limit = row_limit
        shape = (row_limit, COLUMNS)
        self.times: Ints = np.frombuffer(_reserved(*shape), np.int64).reshape(shape)
        self.values: Floats = np.frombuffer(_reserved(*shape), np.float64).reshape(shape)
        self.filled: Ints = np.frombuffer(_reserved(row_limit, 1), np.int64)
        # Kept as the distance to NO_SAMPLE_MS, because reserved memory starts as zeros.
        self._newest = np.frombuffer(_reserved(row_limit, 1), np.int64)
        self._flat_times = self.times.reshape(-1)
        self._flat_values = self.values.reshape(-1)

    def newest_ms(self, rows: Rows) -> Ints:
        newest: Ints = self._newest[rows] + NO_SAMPLE_MS
        return newest

    def put(self, rows: Rows, columns: Ints, times: Ints, values: Floats) -> None:
        """Write one sample to each place, and make it its row's last if it is the rightmost."""
        places = rows * COLUMNS + columns
        self._flat_times[places] = times
        self._flat_values[places] = values
        # Samples come in the order of time: for a row that occurs twice, the later write stays.
        self.filled[rows] = columns + 1
        self._newest[rows] = times - NO_SAMPLE_MS

    def forget(self, row: int) -> None:
        self.filled[row] = 0
        self._newest[row] = 0

    def oldest(self, rows: Rows, counts: Ints) -> Frame:
        """Return the first counts[i] samples of each row."""
        width = int(counts.max())
        times, lane_counts, lane_of = lanes_of(self.times[rows, :width], counts)
        return Frame(times, lane_counts, lane_of, self.values[rows, :width])

    def drop_oldest(self, rows: Rows, counts: Ints) -> None:
        """Take the first counts[i] samples of each row away."""
        count = int(counts[0])
        if (counts == count).all():
            # Series that are scraped together fill their rows together.
            self.times[rows, :-count] = self.times[rows, count:]
            self.values[rows, :-count] = self.values[rows, count:]
            self.filled[rows] -= count
            return
        columns = np.minimum(np.arange(COLUMNS)[None, :] + counts[:, None], COLUMNS - 1)
        self.times[rows] = np.take_along_axis(self.times[rows], columns, axis=1)
        self.values[rows] = np.take_along_axis(self.values[rows], columns, axis=1)
        self.filled[rows] -= counts

    def holds(self, rows: Rows, times: Ints) -> tuple[Rows, Floats]:
        """Return which of the (row, time) pairs are here, and the values they have here."""
        same = self.times[rows] == times[:, None]
        same &= np.arange(COLUMNS)[None, :] < self.filled[rows][:, None]
        place, column = np.nonzero(same)
        return place, self.values[rows[place], column]

    def read(self, rows: Rows, first_ms: int, last_ms: int) -> FrameRows | None:
        """Return the samples of rows (ascending) that may lie between two times.

        The first row tells where to look; whether that is right for all of them is checked.
        """
        if len(rows) == 1:
            return self._read_one(int(rows[0]), first_ms, last_ms)
        if not len(rows):
            return None
        filled = self.filled[rows]
        least, right = int(filled.min()), int(filled.max())
        if not right:
            return None
        left = 0
        if least:
            left = int(self.times[rows[0], : filled[0]].searchsorted(first_ms))
            if left and (left >= least or not self._before(rows, left - 1, first_ms)):
                left = 0
        lanes = self.times[rows, left:right]
        times, counts, lane_of = lanes_of(lanes, filled - left)
        if len(counts) == 1:
            width = int(times[0].searchsorted(last_ms, side="right"))
            frame = Frame(
                times[:, :width],
                np.array([width]),
                lane_of,
                self.values[rows, left : left + width],
            )
        else:
            frame = Frame(times, counts, lane_of, self.values[rows, left:right])
        return FrameRows(np.arange(len(rows)), frame)

    def _read_one(self, row: int, first_ms: int, last_ms: int) -> FrameRows | None:
        """Return the same of one row: a third of the time, for there is nothing to compare."""
        times = self.times[row : row + 1, : self.filled[row]]
        if not times.shape[1]:
            return None
        left = times[0].searchsorted(first_ms)
        right = times[0].searchsorted(last_ms, side="right")
        values = self.values[row : row + 1, left:right].copy()
        lane_of = np.zeros(1, np.intp)
        frame = Frame(times[:, left:right].copy(), np.array([right - left]), lane_of, values)
        return FrameRows(lane_of, frame)

    def _before(self, rows: Rows, column: int, limit_ms: int) -> bool:
        return bool((self.times[rows, column] < limit_ms).all())
