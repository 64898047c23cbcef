"""The index of the head: from label pairs to rows, growing and shrinking with the series."""

from array import array
from collections.abc import Iterable

import numpy as np

from tsdb.codec import Rows
from tsdb.labels import Pairs


class MemoryIndex:
    """Postings of live rows. Most pairs have one series: those cost an int, not a list."""

    def __init__(self) -> None:
        self._rows_by: dict[str, dict[str, int | array[int]]] = {}
        self._live = bytearray()
        self._count = 0
        # Changes with every series that comes or goes, so that answers can be kept until then.
        self.generation = 0

    def add(self, row: int, pairs: Pairs) -> None:
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
        for name, value in pairs:
            values = self._rows_by[name]
            found = values[value]
            if isinstance(found, int):
                del values[value]
                if not values:
                    del self._rows_by[name]
            else:
                found.remove(row)
                if len(found) == 1:
                    values[value] = found[0]

    def __len__(self) -> int:
        return self._count

    def all_rows(self) -> Rows:
        return np.flatnonzero(np.frombuffer(bytes(self._live), np.uint8))

    def label_names(self) -> Iterable[str]:
        return self._rows_by.keys()

    def label_values(self, name: str) -> Iterable[str]:
        return self._rows_by.get(name, {}).keys()

    def postings(self, name: str, value: str) -> Rows:
        found = self._rows_by.get(name, {}).get(value)
        if found is None:
            return np.empty(0, np.intp)
        if isinstance(found, int):
            return np.array([found], np.intp)
        return np.sort(np.array(found, np.intp))
