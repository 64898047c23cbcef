"""Pods that wait for a node: which one is decided on next. Pure, and told the time.

A pod is in the queue, in work, or *parked*: no node takes it, so it is asked for again only when
room appears, or after a long and growing pause.
"""

from cubernetes.client.cache import Key
from cubernetes.host.backoff import backoff_s
from cubernetes.reconcile.workqueue import Workqueue


class Waiting:
    """In the order of asking; a pod that fails again and again holds up no other."""

    def __init__(
        self, *, retry_base_s: float = 10.0, retry_limit_s: float = 300.0, wake_pause_s: float = 0.2
    ) -> None:
        """Between two wakings wake_pause_s pass: so much a stream of small news may cost."""
        self._queue: Workqueue[Key] = Workqueue()
        self._base_s, self._limit_s = retry_base_s, retry_limit_s
        self._wake_pause_s = wake_pause_s
        self._parked: dict[Key, int] = {}  # how often in a row no node was found
        self._woken_at_s = float("-inf")
        self._wake_at_s: float | None = None
        # How often room has appeared: a decision of before may be wrong by now.
        self.epoch = 0

    @property
    def ready_count(self) -> int:
        """Return how many pods are to be decided on now."""
        return len(self._queue)

    @property
    def parked_count(self) -> int:
        """Return how many pods no node has taken so far."""
        return len(self._parked)

    def add(self, key: Key) -> None:
        self._queue.add(key)

    def take(self, now_s: float) -> Key | None:
        """Return whose turn it is, None where it is nobody's; give it back by the others."""
        if self._wake_at_s is not None and self._wake_at_s <= now_s:
            self._wake_at_s, self._woken_at_s = None, now_s
            for key in self._parked:
                self._queue.add(key)
        return self._queue.take(now_s)

    def due_s(self) -> float | None:
        """Return when to take again although nothing has happened until then."""
        due = [at_s for at_s in (self._queue.due_s(), self._wake_at_s) if at_s is not None]
        return min(due, default=None)

    def done(self, key: Key) -> None:
        """Give a key back that needs no node any more."""
        self._parked.pop(key, None)
        self._queue.done(key)

    def park(self, key: Key, now_s: float, epoch: int) -> None:
        """Give a key back that no node takes, as was decided in that epoch."""
        count = self._parked[key] = self._parked.get(key, 0) + 1
        self._queue.done(key)
        pause_s = backoff_s(count, base_s=self._base_s, limit_s=self._limit_s)
        self._queue.add_at(key, now_s + pause_s)
        if epoch != self.epoch:
            self._set_alarm(now_s)

    def retry(self, key: Key, now_s: float, fraction: float, *, is_held: bool = False) -> float:
        """Give a key back whose write failed; return in how many seconds it is due again."""
        return self._queue.retry(key, now_s, fraction, is_held=is_held)

    def failure_count(self, key: Key) -> int:
        return self._queue.failure_count(key)

    def wake(self, now_s: float) -> None:
        """Room has appeared: ask again for everything that is parked, soon."""
        self.epoch += 1
        self._set_alarm(now_s)

    def _set_alarm(self, now_s: float) -> None:
        if self._wake_at_s is None:
            self._wake_at_s = max(now_s, self._woken_at_s + self._wake_pause_s)
