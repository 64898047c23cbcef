"""Samples that wait for another engine: bounded, in the order of the store's appends. Pure."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import Key

type Columns = tuple[Sequence[Key], Ints, Floats]
type Samples = dict[Key, list[tuple[int, float]]]


class Outgoing:
    """A queue of columns, of at most limit samples: beyond, the oldest batches are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[Columns] = deque()
        self.waiting = 0
        self.dropped = 0

    def offer(self, keys: Sequence[Key], times: Ints, values: Floats) -> None:
        """Take samples that the store has taken; the columns are not copied."""
        self._batches.append((keys, times, values))
        self.waiting += len(keys)
        while self.waiting > self._limit:
            dropped_count = len(self._batches.popleft()[0])
            self.waiting -= dropped_count
            self.dropped += dropped_count

    def take(self, count_max: int) -> Samples:
        """Return the oldest samples, by their series; what does not fit stays in front."""
        taken: Samples = {}
        room = count_max
        while room and self._batches:
            keys, times, values = self._batches.popleft()
            now, rest = slice(0, room), slice(room, None)
            # As they lie in memory: a stale marker is a NaN of certain bits.
            columns = zip(keys[now], times[now].tolist(), values[now].tolist(), strict=True)
            for key, at_ms, value in columns:
                taken.setdefault(key, []).append((at_ms, value))
            moved_count = min(room, len(keys))
            if moved_count < len(keys):
                self._batches.appendleft((keys[rest], times[rest], values[rest]))
            room -= moved_count
            self.waiting -= moved_count
        return {key: sorted(found, key=_time) for key, found in taken.items()}


def _time(sample: tuple[int, float]) -> int:
    return sample[0]


def columns_of(keys: Sequence[Key], times: Sequence[int], values: Sequence[float]) -> Columns:
    """Return lists as columns."""
    return keys, np.array(times, np.int64), np.array(values, np.float64)
