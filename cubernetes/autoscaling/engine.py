"""How many replicas there should be: one engine for every autoscaler. Pure.

`proposed` says how many one metric asks for: Kubernetes' documented algorithm, with its rules for
pods that are not ready and pods without samples. `decided` says how far one may go now: the
windows, the steps and the bounds. Nothing here knows a kind, a clock or a store.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

EDGE = 1e-9  # what floats lose of a bound that is met exactly
CHANGES_MAX = 4096  # remembered changes of one autoscaler
NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"


@dataclass(frozen=True, slots=True)
class PodSample:
    """A pod that counts. used: what it uses, None where no sample tells; requested: its request.

    is_ready: whether its sample says how loaded it is; one that begins may be busy with that.
    """

    name: str
    used: float | None
    requested: float = 0.0
    is_ready: bool = True


@dataclass(frozen=True, slots=True)
class Goal:
    """What one metric should be: target, in percent of the request or on average of each pod.

    A ratio of what is to the target from 1 - below up to 1 + above is as wanted.
    """

    target: float
    is_share: bool = False
    below: float = 0.1
    above: float = 0.1

    def is_met(self, ratio: float) -> bool:
        return 1.0 - self.below - EDGE <= ratio <= 1.0 + self.above + EDGE


@dataclass(frozen=True, slots=True)
class Proposal:
    """How many replicas a metric asks for. share, average and value (of all): what it is now."""

    replicas: int
    average: float
    share: int | None = None
    value: float | None = None


class NoProposal(NamedTuple):
    """Why a metric asks for nothing: hold."""

    message: str


class _Ratio(NamedTuple):
    value: float
    average: float
    share: int | None


def proposed(current: int, pods: Sequence[PodSample], goal: Goal) -> Proposal | NoProposal:
    """Return how many replicas a metric asks for, of these pods, where there are `current` now.

    Pods that are not ready count as using nothing where more would be asked for; pods without a
    sample as using nothing where more would be, and all that they should where fewer would be.
    """
    ready = {pod.name: pod.used for pod in pods if pod.is_ready and pod.used is not None}
    requests = {pod.name: pod.requested for pod in pods}
    if why := _lacking(pods, ready, goal):
        return NoProposal(why)
    ratio = _ratio(ready, requests, goal)
    told = Proposal(current, ratio.average, ratio.share)
    assumed = _assumed(pods, ratio.value, goal)
    if not assumed:
        wanted = math.ceil(ratio.value * len(ready))
        return told if goal.is_met(ratio.value) else replace(told, replicas=wanted)
    filled = {**ready, **assumed}
    again = _ratio(filled, requests, goal).value
    wanted = math.ceil(again * len(filled))
    # What is assumed may hold a change, and never turn it round.
    is_turned = (again < 1.0 < ratio.value) or (ratio.value < 1.0 < again)
    is_against = (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current)
    is_held = goal.is_met(again) or is_turned or is_against
    return told if is_held else replace(told, replicas=wanted)


def proposed_of_all(current: int, ready: int, value: float, goal: Goal) -> Proposal:
    """Return how many replicas bring one number to the target: it falls as pods are added.

    Where there are none, each target's worth of it asks for one.
    """
    ratio = value / goal.target
    wanted = math.ceil(ratio * (ready if current else 1) - EDGE)
    replicas = current if current and goal.is_met(ratio) else wanted
    return Proposal(replicas, value / max(1, current), value=value)


def proposed_of_each(current: int, value: float, goal: Goal) -> Proposal:
    """Return how many replicas share one number, so that each has the target of it."""
    is_met = bool(current) and goal.is_met(value / (goal.target * current))
    wanted = math.ceil(value / goal.target - EDGE)
    return Proposal(current if is_met else wanted, value / max(1, current))


def _lacking(pods: Sequence[PodSample], ready: Mapping[str, float], goal: Goal) -> str:
    """Return why nothing can be said; empty where something can."""
    if not pods:
        return "no pods returned by selector while calculating replica count"
    if not ready:
        return NO_SAMPLES
    lacking = [pod.name for pod in pods if not pod.requested] if goal.is_share else []
    return f"missing request in pod {min(lacking)}" if lacking else ""


def _assumed(pods: Sequence[PodSample], ratio: float, goal: Goal) -> Mapping[str, float]:
    """Return what is assumed of pods whose use is not known, by what the others' ratio is.

    Upwards they use nothing. Downwards those without a sample use all that they should, and those
    that are not ready do not count.
    """
    missing = [pod for pod in pods if pod.is_ready and pod.used is None]
    if ratio > 1.0:
        return {pod.name: 0.0 for pod in pods if not pod.is_ready or pod.used is None}
    if ratio == 1.0:
        return {}
    full = max(100.0, goal.target) / 100.0
    return {pod.name: full * pod.requested if goal.is_share else goal.target for pod in missing}


def _ratio(used: Mapping[str, float], requests: Mapping[str, float], goal: Goal) -> _Ratio:
    total = sum(used.values())
    average = total / len(used)
    if not goal.is_share:
        return _Ratio(average / goal.target, average, None)
    # A whole number of percent, as Kubernetes counts.
    share = int(total * 100 / sum(requests[name] for name in used))
    return _Ratio(share / goal.target, average, share)


class Step(NamedTuple):
    """How far one may go within period_s: so many pods, or percent of what there were."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How one direction is gone: what is asked for all through window_s, and no faster than steps.

    select: of several steps the one that allows most (Max) or least (Min); Disabled: none.
    """

    window_s: int = 0
    steps: Sequence[Step] = ()
    select: Literal["Max", "Min", "Disabled"] = "Max"


@dataclass(frozen=True, slots=True)
class Policy:
    minimum: int
    maximum: int
    up: Pace
    down: Pace


@dataclass(frozen=True, slots=True)
class History:
    """What was proposed and done: each count with when it was proposed last; changes by time."""

    proposals: Mapping[int, datetime] = field(default_factory=dict)
    changes: Sequence[tuple[datetime, int]] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How many there are to be; steadied and limited: what held it back, as Kubernetes' reasons."""

    replicas: int
    history: History
    steadied: str = ""
    limited: str = ""


def decided(policy: Policy, current: int, wanted: int, history: History, now: datetime) -> Decision:
    """Return what to do about `wanted` replicas, with what is to be remembered then."""
    past = _remembered(policy, current, history, now)
    steady, steadied = _steadied(policy, current, wanted, past, now)
    replicas, limited = _limited(policy, current, steady, past, now)
    changes = past.changes
    if replicas != current:
        changes = (*changes, (now, replicas - current))[-CHANGES_MAX:]
    kept = History({**past.proposals, wanted: now}, changes)
    return Decision(replicas, kept, steadied, limited)


def bounded(policy: Policy, current: int) -> int:
    return min(max(current, policy.minimum), policy.maximum)


def _remembered(policy: Policy, current: int, history: History, now: datetime) -> History:
    """Return the history that still counts: nothing of the future, where the clock was set back."""
    window_s = max(policy.up.window_s, policy.down.window_s)
    periods = [step.period_s for pace in (policy.up, policy.down) for step in pace.steps]
    # As nothing is known of the time before, it is taken to have asked for what there is.
    proposals = history.proposals or {current: now}
    return History(
        {count: at for count, at in proposals.items() if _is_within(at, now, window_s)},
        [one for one in history.changes if _is_within(one[0], now, max(periods, default=0))],
    )


def _is_within(at: datetime, now: datetime, span_s: float) -> bool:
    return now - timedelta(seconds=span_s) < at <= now


def _steadied(
    policy: Policy, current: int, wanted: int, past: History, now: datetime
) -> tuple[int, str]:
    """Return the change that all proposals of its window agree on."""
    least, most = wanted, wanted
    for count, at in past.proposals.items():
        if _is_within(at, now, policy.up.window_s):
            least = min(least, count)
        if _is_within(at, now, policy.down.window_s):
            most = max(most, count)
    steady = min(max(current, least), most)
    if steady == wanted:
        return steady, ""
    return steady, "ScaleUpStabilized" if wanted > current else "ScaleDownStabilized"


def _limited(
    policy: Policy, current: int, steady: int, past: History, now: datetime
) -> tuple[int, str]:
    """Return the count within the steps and the bounds, and what has bounded it."""
    if steady > current:
        allowed = max(current, _reach(policy.up, current, 1, past.changes, now))
        if not current and policy.up.select != "Disabled":
            allowed = max(1, allowed)  # no percentage of nothing wakes a workload
        most = min(policy.maximum, allowed)
        if steady > most:
            return most, "ScaleUpLimit" if allowed < policy.maximum else "TooManyReplicas"
    elif steady < current:
        allowed = min(current, _reach(policy.down, current, -1, past.changes, now))
        least = max(policy.minimum, allowed)
        if steady < least:
            return least, "ScaleDownLimit" if allowed > policy.minimum else "TooFewReplicas"
    # No change that was allowed leads out of the bounds, whatever was asked for.
    return bounded(policy, steady), ""


def _reach(
    pace: Pace,
    current: int,
    direction: Literal[1, -1],
    changes: Iterable[tuple[datetime, int]],
    now: datetime,
) -> int:
    """Return how far the steps of a direction allow to go; without steps there is no limit."""
    if pace.select == "Disabled":
        return current
    if not pace.steps:
        return direction * 2**31
    past = list(changes)
    ends = []
    for step in pace.steps:
        begin = current - sum(count for at, count in past if _is_within(at, now, step.period_s))
        if step.type == "Pods":
            ends.append(begin + direction * step.value)
        else:
            share = begin * (100 + direction * step.value) / 100
            ends.append(math.ceil(share) if direction > 0 else int(share))
    farthest = (pace.select == "Max") == (direction > 0)
    return max(ends) if farthest else min(ends)
