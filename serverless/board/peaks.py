"""The most that was needed lately: a sliding maximum, in constant time for each note. Pure."""

from collections import deque


class Peaks:
    """Notes of a number that holds until the next note."""

    def __init__(self) -> None:
        # Falling numbers, each with when it ended to be the present one; the last one is present.
        self._notes: deque[tuple[float, int]] = deque()
        self._present = 0

    def note(self, number: int, now_s: float) -> None:
        """From now on it is this number."""
        if number == self._present:
            return
        if number < self._present:
            # It has been the present one until now.
            self._forget_below(self._present)
            self._notes.append((now_s, self._present))
        self._present = number
        self._forget_below(number)

    def most(self, window_s: float, now_s: float) -> int:
        """Return the greatest number that it was within the window."""
        while self._notes and self._notes[0][0] <= now_s - window_s:
            self._notes.popleft()
        return max(self._notes[0][1] if self._notes else 0, self._present)

    def ends_in_s(self, window_s: float, now_s: float) -> float | None:
        """Return when `most` will next be less, were nothing noted meanwhile; None: never."""
        if not self._notes or self._notes[0][1] <= self._present:
            return None
        return max(0.0, self._notes[0][0] + window_s - now_s)

    def _forget_below(self, number: int) -> None:
        while self._notes and self._notes[-1][1] <= number:
            self._notes.pop()
