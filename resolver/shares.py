"""Places of which there are few, so that one source leaves some to others. Pure.

A source may hold no more places than are free: alone it gets half, and each that comes gets as much
as the others then have (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
"""

from collections import Counter


class Shares:
    """Who holds how many of `places`. A source is a client's address."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: Counter[str] = Counter()

    def take(self, source: str) -> bool:
        """Take a place for a source, or return False: it holds as many as are free."""
        if self._held.get(source, 0) >= self._free:
            return False
        self._free -= 1
        self._held[source] += 1
        return True

    def give_back(self, source: str) -> None:
        """Free a place that the source has taken."""
        self._free += 1
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]

    def __len__(self) -> int:
        """Return how many sources hold places."""
        return len(self._held)
