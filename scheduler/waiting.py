"""Pods that wait for a node: which one is decided on next. Pure, and told the time.

A pod is in the queue, in work, or *parked*: no node takes it, so it is decided on again only when a
filter that refused it is helped by news of a node, or after a long and growing pause.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cubernetes.client.cache import Key
from cubernetes.host.timing.backoff import backoff_s
from cubernetes.reconcile.workqueue import Workqueue
from cubernetes.scheduling.plugin import Change, WaitReason

# Kinds of refusals that are asked whether news help them; where there are more, all pods are woken.
ASKED_MAX = 256


class Parked(NamedTuple):
    refused: WaitReason
    attempts: int  # how often in a row no node was found


class Waiting:
    """By priority, age and order of asking; a pod that fails again and again holds up no other."""

    def __init__(
        self, *, retry_base_s: float = 10.0, retry_limit_s: float = 300.0, wake_pause_s: float = 0.2
    ) -> None:
        """Between two wakings wake_pause_s pass: so much a stream of small news may cost."""
        self._ranks: dict[Key, tuple[float, ...]] = {}
        self._queue: Workqueue[Key] = Workqueue(lambda key: self._ranks.get(key, ()))
        self._base_s, self._limit_s = retry_base_s, retry_limit_s
        self._wake_pause_s = wake_pause_s
        self._parked: dict[Key, Parked] = {}
        # Those that no news have helped yet; the others are woken with the next alarm.
        self._alike: dict[WaitReason, dict[Key, None]] = {}
        self._woken: set[Key] = set()
        self._woken_at_s = float("-inf")
        self._wake_at_s: float | None = None
        # How often there were news: a decision of before may be wrong by now.
        self.epoch = 0

    @property
    def ready_count(self) -> int:
        """Return how many pods are to be decided on now."""
        return len(self._queue)

    @property
    def parked_count(self) -> int:
        """Return how many pods no node has taken so far."""
        return len(self._parked)

    def add(self, key: Key, priority: int = 0, created_s: float = 0.0) -> None:
        """Ask for a pod: those of higher priority are taken first, and then the older."""
        self._ranks[key] = (-priority, created_s)
        self._queue.add(key)

    def take(self, now_s: float) -> Key | None:
        """Return whose turn it is, None where it is nobody's; give it back by the others."""
        if self._wake_at_s is not None and self._wake_at_s <= now_s:
            self._wake_at_s, self._woken_at_s = None, now_s
            for key in self._parked:
                if key in self._woken:
                    self._queue.add(key)
            self._woken.clear()
        return self._queue.take(now_s)

    def due_s(self) -> float | None:
        """Return when to take again although nothing has happened until then."""
        due = [at_s for at_s in (self._queue.due_s(), self._wake_at_s) if at_s is not None]
        return min(due, default=None)

    def done(self, key: Key) -> None:
        """Give a key back that needs no node any more."""
        self._unlist(key)
        self._parked.pop(key, None)
        self._ranks.pop(key, None)
        self._queue.done(key)

    def park(self, key: Key, now_s: float, epoch: int, refused: WaitReason) -> None:
        """Give a key back that no node takes, as was decided in that epoch."""
        self._unlist(key)
        attempts = self._parked[key].attempts + 1 if key in self._parked else 1
        self._parked[key] = Parked(refused, attempts)
        self._queue.done(key)
        pause_s = backoff_s(attempts, base_s=self._base_s, limit_s=self._limit_s)
        self._queue.add_at(key, now_s + pause_s)
        if epoch != self.epoch:
            # Which news they were is not known any more.
            self._woken.add(key)
            self._set_alarm(now_s)
        else:
            self._alike.setdefault(refused, {})[key] = None

    def retry(self, key: Key, now_s: float, fraction: float, *, is_held: bool = False) -> float:
        """Give a key back whose write failed; return in how many seconds it is due again."""
        return self._queue.retry(key, now_s, fraction, is_held=is_held)

    def failure_count(self, key: Key) -> int:
        return self._queue.failure_count(key)

    def wake(self, now_s: float, changes: Sequence[Change]) -> None:
        """Nodes have changed: decide soon on the parked pods that this may help."""
        self.epoch += 1
        is_much = len(self._alike) > ASKED_MAX
        helped = [one for one in self._alike if is_much or any(map(one.is_helped_by, changes))]
        for one in helped:
            self._woken.update(self._alike.pop(one))
        if helped:
            self._set_alarm(now_s)

    def _unlist(self, key: Key) -> None:
        """Look at no more news for a key."""
        self._woken.discard(key)
        parked = self._parked.get(key)
        alike = self._alike.get(parked.refused) if parked is not None else None
        if parked is not None and alike is not None:
            alike.pop(key, None)
            if not alike:
                del self._alike[parked.refused]

    def _set_alarm(self, now_s: float) -> None:
        if self._wake_at_s is None:
            self._wake_at_s = max(now_s, self._woken_at_s + self._wake_pause_s)
