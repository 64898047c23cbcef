"""Samples that wait for another engine: bounded, in the order of the store's appends. Pure."""

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import Key

type Columns = tuple[Sequence[Key], Ints, Floats]
type Samples = dict[Key, list[tuple[int, float]]]

# What is held for a batch, for each sample of it and, beside its text, for each series once: the
# store may have let go of a series whose samples wait here.
BATCH_BYTES, SAMPLE_BYTES, KEY_BYTES = 512, 24, 128


class Outgoing:
    """A queue of columns: beyond so many samples, or bytes of memory, the oldest batches go."""

    def __init__(self, samples_max: int, bytes_max: int) -> None:
        self._samples_max, self._bytes_max = samples_max, bytes_max
        self._uses, self._key_bytes = Counter[Key](), 0
        self._batches: deque[Columns] = deque()
        self.waiting = 0
        self.dropped = 0

    def offer(self, keys: Sequence[Key], times: Ints, values: Floats) -> None:
        """Take samples that the store has taken; the columns are copied where they are views."""
        self._batches.append((keys, _own(times), _own(values)))
        self.waiting += len(keys)
        new = [one for one in set(keys) if one not in self._uses]
        self._key_bytes += sum(map(len, new)) + KEY_BYTES * len(new)
        self._uses.update(keys)
        while self.waiting > self._samples_max or self.held_bytes > self._bytes_max:
            dropped, *_ = self._batches.popleft()
            self._release(dropped)
            self.dropped += len(dropped)

    @property
    def held_bytes(self) -> int:
        """Return about how much memory the queue has."""
        count = len(self._batches)
        return count * BATCH_BYTES + self.waiting * SAMPLE_BYTES + self._key_bytes

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
            self._release(keys[now])
        return {key: sorted(found, key=_time) for key, found in taken.items()}

    def _release(self, keys: Sequence[Key]) -> None:
        self.waiting -= len(keys)
        uses = self._uses
        for key in keys:
            if uses[key] > 1:
                uses[key] -= 1
            else:
                del uses[key]
                self._key_bytes -= len(key) + KEY_BYTES


def _own[Column: (Ints, Floats)](column: Column) -> Column:
    """Return a column without what it may be a part of: a view holds all of that."""
    return column if column.base is None else column.copy()


def _time(sample: tuple[int, float]) -> int:
    return sample[0]


def columns_of(keys: Sequence[Key], times: Sequence[int], values: Sequence[float]) -> Columns:
    """Return lists as columns."""
    return keys, np.array(times, np.int64), np.array(values, np.float64)
