"""Events grow old: those that nobody has repeated for an hour go, the oldest first.

**What is remembered** is when the next sweep is due, so that a thousand new Events do not mean a
thousand sweeps; forgotten, the next sweep comes sooner. And when each Event was last seen to
change: its own times are by the clock of its writer, which may be hours off. Only what the
first sweep finds is as old as it says, and never younger than now.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.core.event import Event
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Delete, RequeueAfter, View

EVERY_EVENT = Ref("EventSweep", "", "")
SWEEP_S = 30.0
BURST = 200  # deletes in one sweep; a larger backlog is swept on, a second later
BACKLOG_PAUSE_S = 1.0


class Sighting(NamedTuple):
    """An Event as it was when it last changed, and when we noticed, by our clock."""

    revision: str
    at: datetime


@dataclass(slots=True)
class OldEvents:
    """Plans for all Events at once; beyond `count_max` the oldest go before their time."""

    keep_s: float = 3600.0
    count_max: int = 20_000
    due_at: datetime | None = None
    seen: dict[str, Sighting] | None = None  # by uid; None before the first sweep

    name = "events"
    kinds: tuple[type[Object], ...] = (Event,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_EVENT,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        # A due time further away than a sweep is one that a clock set back has left behind.
        left_s = (self.due_at - now).total_seconds() if self.due_at is not None else 0.0
        if 0 < left_s <= SWEEP_S:
            yield RequeueAfter(left_s)
            return
        found = view.list(Event)
        seen = self.seen = self._looked(found, now)
        events = sorted(found, key=lambda one: (seen[one.metadata.uid].at, one.ref))
        limit = now - timedelta(seconds=self.keep_s)
        extra_count = max(0, len(events) - self.count_max)
        old = [
            one
            for place, one in enumerate(events)
            if place < extra_count or seen[one.metadata.uid].at < limit
        ]
        for one in old[:BURST]:
            # One that is repeated at this moment is no longer old.
            yield Delete(Event, one.ref, one.metadata.uid, one.metadata.resource_version)
        pause_s = BACKLOG_PAUSE_S if len(old) > BURST else SWEEP_S
        self.due_at = now + timedelta(seconds=pause_s)
        if events:
            yield RequeueAfter(pause_s)

    def _looked(self, events: Sequence[Event], now: datetime) -> dict[str, Sighting]:
        """Return when each Event was last seen to change; those that are gone are forgotten."""
        before = self.seen
        looked: dict[str, Sighting] = {}
        for one in events:
            meta = one.metadata
            sighting = before.get(meta.uid) if before is not None else None
            if sighting is None or sighting.revision != meta.resource_version:
                at = now if before is not None else _stamp(one) or now
                sighting = Sighting(meta.resource_version, at)
            # By a clock that has been set back, nothing was seen in the future.
            looked[meta.uid] = sighting._replace(at=min(sighting.at, now))
        return looked


def _stamp(one: Event) -> datetime | None:
    return one.last_seen_at or one.metadata.creation_timestamp
