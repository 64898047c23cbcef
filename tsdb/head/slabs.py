"""Where series live in the head: slabs of neighbouring rows, each for one metric.

Series of one metric are queried together and look alike, so they lie together: a slab is sealed,
coded and decoded as one. The first slab of a metric is small, later ones grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tsdb.columns.codec import Rows
from tsdb.columns.strip import Strip

SIZES = (4, 16, 64, 256)


@dataclass(frozen=True)
class Piece:
    """A strip, and which rows of its slab it holds, counted from the slab's first."""

    offsets: Rows
    strip: Strip
    serial: int


@dataclass
class Slab:
    """Rows first to first + size - 1, and their sealed samples in the order of sealing."""

    metric: str
    first: int
    size: int
    free: list[int] = field(default_factory=list)
    pieces: tuple[Piece, ...] = ()


class Slabs:
    """Gives out rows and takes them back."""

    def __init__(self, row_limit: int) -> None:
        self._row_limit = row_limit
        self._next_row = 0
        self._serial = 0
        self._of_metric: dict[str, list[Slab]] = {}
        self._all: list[Slab] = []
        self._index_of_row = np.zeros(0, np.int32)
        # Slabs that no metric has any more, by size.
        self._empty: dict[int, list[Slab]] = {size: [] for size in SIZES}

    def new_row(self, metric: str) -> int:
        """Return a row for a new series, or -1 where there are no more."""
        slabs = self._of_metric.setdefault(metric, [])
        for slab in reversed(slabs):
            if slab.free:
                return slab.free.pop()
        size = SIZES[min(len(slabs), len(SIZES) - 1)]
        fresh = self._empty[size].pop() if self._empty[size] else self._new_slab(size)
        if fresh is None:
            return -1
        fresh.metric = metric
        slabs.append(fresh)
        return fresh.free.pop()

    def _new_slab(self, size: int) -> Slab | None:
        if self._next_row + size > self._row_limit:
            return None
        slab = Slab("", self._next_row, size)
        slab.free = list(range(slab.first + size - 1, slab.first - 1, -1))
        self._next_row += size
        if self._next_row > len(self._index_of_row):
            self._index_of_row = np.resize(self._index_of_row, max(1024, 2 * self._next_row))
        self._index_of_row[slab.first : slab.first + size] = len(self._all)
        self._all.append(slab)
        return slab

    def give_back(self, row: int) -> None:
        slab = self.of_row(row)
        slab.free.append(row)
        if len(slab.free) == slab.size and not slab.pieces:
            self._of_metric[slab.metric].remove(slab)
            if not self._of_metric[slab.metric]:
                del self._of_metric[slab.metric]
            self._empty[slab.size].append(slab)

    def of_row(self, row: int) -> Slab:
        return self._all[int(self._index_of_row[row])]

    def all(self) -> list[Slab]:
        return self._all

    def by_metric(self) -> list[Slab]:
        return sorted(self._all, key=lambda slab: (slab.metric, slab.first))

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def among(self, rows: Rows) -> Iterator[tuple[Slab, int, int]]:
        """Yield each slab that has some of the ascending rows, and from where to where they are."""
        if not len(rows):
            return
        indexes = self._index_of_row[rows]
        if indexes[0] == indexes[-1]:
            yield self._all[indexes[0]], 0, len(rows)
            return
        cuts = [0, *(np.flatnonzero(np.diff(indexes)) + 1).tolist(), len(rows)]
        for start, stop in pairwise(cuts):
            yield self._all[indexes[start]], start, stop

    def size_bytes(self) -> int:
        return sum(piece.strip.size_bytes for slab in self._all for piece in slab.pieces)
