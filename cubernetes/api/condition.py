"""Condition: one fact about an object, with since when and why."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from cubernetes.api.meta import Instant, Model, replaced

type Truth = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One fact about an object, with since when and why.

    type: which fact.
    status: whether it is so.
    reason: why, as one word for programs.
    message: why, as a sentence for people.
    last_transition_time: when `status` changed last, not when it was last looked at.
    last_heartbeat_time, last_probe_time, observed_generation: kept for clients that send it.
    """

    type: str
    status: Truth
    reason: str = ""
    message: str = ""
    last_transition_time: Instant | None = None
    last_heartbeat_time: Instant | None = None
    last_probe_time: Instant | None = None
    observed_generation: int = 0


def condition_of(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of that type, where there is one."""
    return next((one for one in conditions if one.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    found = condition_of(conditions, kind)
    return found is not None and found.status == "True"


def with_condition(
    conditions: tuple[Condition, ...], new: Condition, now: datetime
) -> tuple[Condition, ...]:
    """Return conditions with `new` in the place of its type.

    The transition time is kept where the status has not changed, so that writing the same fact
    again is no change at all.
    """
    old = condition_of(conditions, new.type)
    kept = old is not None and old.status == new.status
    since = old.last_transition_time if old is not None and kept else now.replace(microsecond=0)
    dated = replaced(new, last_transition_time=since)
    if old is None:
        return (*conditions, dated)
    return tuple(dated if one.type == new.type else one for one in conditions)
