"""How often something may happen: some at once, then so many a second. Pure, told the time."""


class Rate:
    """A bucket that holds burst and fills by per_s; a caller that finds it empty is counted."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._left = float(burst)
        self._at = 0.0
        self.missed_count = 0

    def allows(self, now_s: float) -> bool:
        """Take one out of the bucket; false where there is none."""
        self._left = min(self._burst, self._left + max(0.0, now_s - self._at) * self._per_s)
        self._at = now_s
        if self._left < 1:
            self.missed_count += 1
            return False
        self._left -= 1
        return True

    def missed(self) -> int:
        """Return how many found nothing since this was asked last."""
        count, self.missed_count = self.missed_count, 0
        return count
