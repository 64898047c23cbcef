"""The index of the head: from label pairs to rows, growing and shrinking with the series."""

from array import array
from collections.abc import Iterable

import numpy as np

from tsdb.columns.codec import Rows
from tsdb.columns.labels import Pairs


class MemoryIndex:
    """Postings of live rows. Most pairs have one series: those cost an int, not a list.

    Rows that went stay in their postings until somebody reads or adds: then all of them are taken
    out at once, so that a thousand that go cost one pass over a posting, not a thousand.
    """

    def __init__(self) -> None:
        self._rows_by: dict[str, dict[str, int | array[int]]] = {}
        self._live = bytearray()
        self._count = 0
        self._gone: dict[int, Pairs] = {}
        # Changes with every series that comes or goes, so that answers can be kept until then.
        self.generation = 0

    def add(self, row: int, pairs: Pairs) -> None:
        if row in self._gone:
            self._settle()
        self.generation += 1
        if row >= len(self._live):
            self._live.extend(bytes(max(1024, row + 1 - len(self._live))))
        self._live[row] = 1
        self._count += 1
        for name, value in pairs:
            values = self._rows_by.setdefault(name, {})
            found = values.get(value)
            if found is None:
                values[value] = row
            elif isinstance(found, int):
                values[value] = array("I", (found, row))
            else:
                found.append(row)

    def remove(self, row: int, pairs: Pairs) -> None:
        self.generation += 1
        self._live[row] = 0
        self._count -= 1
        self._gone[row] = pairs

    def _settle(self) -> None:
        """Take the rows that went out of the postings."""
        if not self._gone:
            return
        touched = {pair for pairs in self._gone.values() for pair in pairs}
        live = np.frombuffer(bytes(self._live), np.uint8)
        for name, value in touched:
            values = self._rows_by[name]
            found = values[value]
            rows = np.array([found] if isinstance(found, int) else found, np.uint32)
            left = rows[live[rows] != 0]
            if len(left) > 1:
                values[value] = array("I", left.tobytes())
            elif len(left):
                values[value] = int(left[0])
            else:
                del values[value]
                if not values:
                    del self._rows_by[name]
        self._gone.clear()

    def __len__(self) -> int:
        return self._count

    def all_rows(self) -> Rows:
        return np.flatnonzero(np.frombuffer(bytes(self._live), np.uint8))

    def label_names(self) -> Iterable[str]:
        self._settle()
        return self._rows_by.keys()

    def label_values(self, name: str) -> Iterable[str]:
        self._settle()
        return self._rows_by.get(name, {}).keys()

    def postings(self, name: str, value: str) -> Rows:
        self._settle()
        found = self._rows_by.get(name, {}).get(value)
        if found is None:
            return np.empty(0, np.intp)
        if isinstance(found, int):
            return np.array([found], np.intp)
        return np.sort(np.array(found, np.intp))
