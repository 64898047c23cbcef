"""Which key is worked on next: pure bookkeeping, told the time by its caller.

A key is in one of these places: nowhere, ready, busy, busy and asked for again. Beside that it may
be due at a later time. What holds always:

* a key is never with two workers at once;
* an add is never lost: the key is taken after it, unless it was due later and held;
* failures lengthen the pause of their own key, a success forgets them;
* keys come in the order of their ranks, where they have any, and then as they became ready.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from heapq import heappop, heappush

from cubernetes.host.timing.backoff import backoff_s, jittered_s

RETRY_BASE_S = 0.2
RETRY_MAX_S = 60.0
HELD_MAX_S = 300.0


class Workqueue[K: Hashable]:
    """As large as there are keys: asking for a key twice is asking once."""

    def __init__(self, rank: Callable[[K], tuple[float, ...]] | None = None) -> None:
        """rank: a ready key of a lower rank is taken first, of equal ones the older."""
        self._rank = rank
        self._ranked: list[tuple[tuple[float, ...], int, K]] = []
        self._ready: OrderedDict[K, None] = OrderedDict()
        self._busy: set[K] = set()
        self._asked_again: set[K] = set()
        self._due: dict[K, float] = {}
        self._timetable: list[tuple[float, int, K]] = []
        self._entry_count = 0
        self._failure_counts: dict[K, int] = {}
        self._held: set[K] = set()

    def __len__(self) -> int:
        """Return how many keys are ready."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Ask for key as soon as possible. A held key stays due when it is due."""
        if key in self._held:
            return
        if key in self._busy:
            self._asked_again.add(key)
        else:
            self._make_ready(key)

    def _make_ready(self, key: K) -> None:
        if self._rank is not None and key not in self._ready:
            self._entry_count += 1
            heappush(self._ranked, (self._rank(key), self._entry_count, key))
        self._ready[key] = None

    def add_early(self, key: K) -> None:
        """Ask for a key now instead of when it was due; one whose work fails keeps its pause."""
        if key in self._failure_counts:
            return
        self._due.pop(key, None)
        self.add(key)

    def is_waiting(self, key: K) -> bool:
        """Return whether a key is ready or busy."""
        return key in self._ready or key in self._busy

    def add_at(self, key: K, at_s: float) -> None:
        """Ask for key at a time, whatever happens until then; the earliest such wish counts."""
        if at_s >= self._due.get(key, float("inf")):
            return
        self._due[key] = at_s
        self._entry_count += 1
        heappush(self._timetable, (at_s, self._entry_count, key))

    def take(self, now_s: float) -> K | None:
        """Return the key whose turn it is; it is busy until `done` or `retry`."""
        self._ring(now_s)
        if not self._ready:
            return None
        if self._rank is None:
            key, _ = self._ready.popitem(last=False)
        else:
            key = heappop(self._ranked)[2]
            del self._ready[key]
        self._busy.add(key)
        return key

    def done(self, key: K) -> None:
        """Give back a key whose work succeeded."""
        self._failure_counts.pop(key, None)
        self._give_back(key)

    def retry(self, key: K, now_s: float, fraction: float, *, is_held: bool = False) -> float:
        """Give back a key whose work failed; return in how many seconds it is due again.

        fraction in [0, 1) spreads the pause. Held, the key comes back then and not before: for
        work that fails by a bug, which no news about the key will mend.
        """
        count = self._failure_counts[key] = self._failure_counts.get(key, 0) + 1
        limit_s = HELD_MAX_S if is_held else RETRY_MAX_S
        pause_s = jittered_s(backoff_s(count, base_s=RETRY_BASE_S, limit_s=limit_s), fraction)
        if is_held:
            self._held.add(key)
            self._asked_again.discard(key)
            # A wish for an earlier time would end the hold.
            self._due.pop(key, None)
        self._give_back(key)
        self.add_at(key, now_s + pause_s)
        return pause_s

    def failure_count(self, key: K) -> int:
        """Return how often in a row the work on key has failed."""
        return self._failure_counts.get(key, 0)

    def due_s(self) -> float | None:
        """Return when the next key will be due, None when none is."""
        self._forget_old_entries()
        return self._timetable[0][0] if self._timetable else None

    def _give_back(self, key: K) -> None:
        self._busy.remove(key)
        if key in self._asked_again:
            self._asked_again.remove(key)
            self._make_ready(key)

    def _ring(self, now_s: float) -> None:
        """Make ready whatever is due."""
        while (due_s := self.due_s()) is not None and due_s <= now_s:
            _, _, key = heappop(self._timetable)
            del self._due[key]
            self._held.discard(key)
            self.add(key)

    def _forget_old_entries(self) -> None:
        """Drop entries that an earlier wish or a hold has replaced."""
        while self._timetable and self._due.get(self._timetable[0][2]) != self._timetable[0][0]:
            heappop(self._timetable)
