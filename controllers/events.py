"""Events grow old: those that nobody has repeated for an hour go, the oldest first.

**What is remembered** is when the next sweep is due, so that a thousand new Events do not mean a
thousand sweeps. Forgotten, the next sweep comes sooner.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cubernetes.api.event import Event
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Again, Delete, View

EVERY_EVENT = Ref("EventSweep", "", "")
SWEEP_S = 30.0
BURST = 200  # deletes in one sweep; a larger backlog is swept on, a second later
BACKLOG_PAUSE_S = 1.0


@dataclass(slots=True)
class OldEvents:
    """Plans for all Events at once; beyond `count_max` the oldest go before their time."""

    keep_s: float = 3600.0
    count_max: int = 20_000
    due_at: datetime | None = None

    name = "events"
    kinds: tuple[type[Object], ...] = (Event,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_EVENT,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        # A due time further away than a sweep is one that a clock set back has left behind.
        left_s = (self.due_at - now).total_seconds() if self.due_at is not None else 0.0
        if 0 < left_s <= SWEEP_S:
            yield Again(left_s)
            return
        events = sorted(view.list(Event), key=lambda one: (_last_seen_s(one), one.ref))
        limit_s = now.timestamp() - self.keep_s
        extra_count = max(0, len(events) - self.count_max)
        old = [
            one
            for place, one in enumerate(events)
            if place < extra_count or _last_seen_s(one) < limit_s
        ]
        for one in old[:BURST]:
            yield Delete(Event, one.ref, one.metadata.uid)
        pause_s = BACKLOG_PAUSE_S if len(old) > BURST else SWEEP_S
        self.due_at = now + timedelta(seconds=pause_s)
        if events:
            yield Again(pause_s)


def _last_seen_s(one: Event) -> float:
    at = one.last_timestamp or one.event_time or one.metadata.creation_timestamp
    return at.timestamp() if at is not None else 0.0
