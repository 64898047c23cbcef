"""What another policy would have done with a load that is on record, by the same engine. Pure.

The load of a moment is what all pods used together; with other replicas each has its part of it.
What a saturated pod would have used with more room is on no record: replayed growth is at least
what would have been. New pods count at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.autoscaling.engine import (
    Goal,
    History,
    NoProposal,
    PodSample,
    Policy,
    Proposal,
    bounded,
    decided,
    proposed,
    proposed_of_all,
    proposed_of_each,
)


class Wish(NamedTuple):
    """What one metric should be. of: `pods`, or one number that is told `all` or for `each`."""

    goal: Goal
    of: str = "pods"


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy, what each metric should be by its name, and seconds between two changes."""

    policy: Policy
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    interval_s: float = 0.0


class Moment(NamedTuple):
    """Where a replay is: replicas that there are then, and what the first metric is of its goal."""

    at: datetime
    replicas: int
    ratio: float | None


def replayed(entries: Sequence[Entry], plan: Plan) -> list[Moment]:
    """Return what the replicas would have been, at the time of each entry."""
    if not entries:
        return []
    current = bounded(plan.policy, entries[0].replicas)
    history, changed_at = History(), None
    moments = []
    for entry in entries:
        now = entry.at
        ratio = _ratio(entry, plan, current)
        wanted = _wanted(entry, plan, current)
        if wanted is not None and (current or not plan.policy.minimum):
            decision = decided(plan.policy, current, wanted, history, now)
            is_early = changed_at is not None and now < changed_at + timedelta(
                seconds=plan.interval_s
            )
            if is_early:
                history = History(decision.history.proposals, history.changes)
            else:
                history = decision.history
                changed_at = now if decision.replicas != current else changed_at
                current = decision.replicas
        moments.append(Moment(now, current, ratio))
    return moments


def _wanted(entry: Entry, plan: Plan, current: int) -> int | None:
    results = [
        _proposal(plan.wishes[one.metric], one, entry.replicas, current)
        for one in entry.measured
        if one.metric in plan.wishes and one.proposed is not None
    ]
    asked = [one.replicas for one in results if isinstance(one, Proposal)]
    is_whole = len(asked) == len(plan.wishes)
    best = max(asked, default=None)
    return best if best is not None and (is_whole or best >= current) else None


def _proposal(wish: Wish, one: Measured, then: int, current: int) -> Proposal | NoProposal:
    match wish.of:
        case "all":
            # A number of all that falls as pods are added, such as a time to wait.
            value = one.used * then / current if current and then else one.used
            return proposed_of_all(current, current, value, wish.goal)
        case "each":
            return proposed_of_each(current, one.used, wish.goal)
        case _:
            part = one.used / current if current else 0.0
            pods = [PodSample(str(index), part, one.requested) for index in range(current)]
            return proposed(current, pods, wish.goal)


def _ratio(entry: Entry, plan: Plan, current: int) -> float | None:
    """Return what the first metric is beside its goal, with so many replicas."""
    for one in entry.measured:
        wish = plan.wishes.get(one.metric)
        if wish is None or one.proposed is None or not current:
            continue
        part = one.used / current
        if wish.goal.is_share:
            part = 100 * part / one.requested if one.requested else 0.0
        return part / wish.goal.target
    return None
