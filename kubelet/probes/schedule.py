"""When each key is due: one heap for all of them. Pure."""

from heapq import heapify, heappop, heappush
from itertools import count

STALE_MAX = 64  # entries that mean nothing any more, beside as many as there are keys


class Schedule[K]:
    """Keys and when they are due; a key is due once, and setting it again replaces the instant."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._current: dict[K, int] = {}
        self._numbers = count()

    def __contains__(self, key: K) -> bool:
        return key in self._current

    def put(self, key: K, due_at_s: float) -> None:
        number = next(self._numbers)
        self._current[key] = number
        heappush(self._heap, (due_at_s, number, key))
        if len(self._heap) > 2 * len(self._current) + STALE_MAX:
            self._heap = [entry for entry in self._heap if not self._is_stale(entry)]
            heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget a key; one that is not there is nothing."""
        self._current.pop(key, None)

    def __len__(self) -> int:
        """Return how many entries are kept, stale ones among them."""
        return len(self._heap)

    def next_at_s(self) -> float | None:
        """Return when the first key is due; None where there is none."""
        while self._heap and self._is_stale(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_s: float) -> list[K]:
        """Take out the keys that are due, the longest overdue first."""
        taken: list[K] = []
        while (due_at_s := self.next_at_s()) is not None and due_at_s <= now_s:
            key = heappop(self._heap)[2]
            del self._current[key]
            taken.append(key)
        return taken

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        return self._current.get(entry[2]) != entry[1]
