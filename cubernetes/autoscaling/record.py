"""What a round found and did, as numbers that a store of samples keeps, and back. Pure.

An entry is a few series of fixed labels with one timestamp: some days of them are cheap where
numbers are kept, and nothing grows in the store of objects.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.api.meta import Ref
from cubernetes.autoscaling.engine import Goal, NoProposal, PodSample, Proposal

SERIES: Final = "cube_autoscaler_decision"
# A round is an entry where it differs from the last one: in what it did or, by so much, in what it
# was given; and after so long a time at least.
KEEP_S, CHANGE = 15.0, 0.05
COUNTS = ("ready", "missing", "unready")

type Labels = Mapping[str, str]
type Points = Iterable[tuple[float, float]]


class Number(NamedTuple):
    """One sample of an entry."""

    labels: Labels
    value: float


def measured(
    metric: str, goal: Goal, pods: Sequence[PodSample], result: Proposal | NoProposal
) -> Measured:
    """Return what a metric of pods was; what is asked of the engine follows from it."""
    known = [one.used for one in pods if one.is_ready and one.used is not None]
    requested = [one.requested for one in pods if one.is_ready and one.used is not None]
    return Measured(
        metric=metric,
        target=goal.target,
        is_share=goal.is_share,
        used=sum(known),
        requested=sum(requested) / len(requested) if requested else 0.0,
        ready=len(known),
        missing=sum(one.is_ready and one.used is None for one in pods),
        unready=sum(not one.is_ready for one in pods),
        proposed=result.replicas if isinstance(result, Proposal) else None,
    )


def is_news(last: Entry | None, entry: Entry) -> bool:
    """Whether a round says what the last entry does not."""
    if last is None or entry.at >= last.at + timedelta(seconds=KEEP_S) or entry.at < last.at:
        return True
    plain, before = (
        (one.replicas, one.wanted, one.reason, [(m.metric, m.proposed) for m in one.measured])
        for one in (entry, last)
    )
    if plain != before:
        return True
    both = zip(entry.measured, last.measured, strict=True)
    return any(abs(now.used - then.used) > CHANGE * max(now.used, then.used) for now, then in both)


def numbers_of(about: Ref, entry: Entry) -> Iterator[Number]:
    """Yield the samples of an entry; `entry_in` puts them together again."""
    own = {"kind": about.kind, "namespace": about.namespace, "name": about.name}
    for part in ("replicas", "wanted", "minimum", "maximum"):
        yield Number({**own, "part": part}, getattr(entry, part))
    yield Number({**own, "part": "reason", "reason": entry.reason}, 1.0)
    for one in entry.measured:
        named = {**own, "metric": one.metric}
        for part in ("target", "used", "requested", *COUNTS):
            yield Number({**named, "part": part}, getattr(one, part))
        yield Number({**named, "part": "is_share"}, float(one.is_share))
        if one.proposed is not None:
            yield Number({**named, "part": "proposed"}, one.proposed)


def entries_in(series: Iterable[tuple[Labels, Points]]) -> list[Entry]:
    """Return the entries that samples tell, the oldest first; half of one is none."""
    rounds: dict[float, list[Number]] = {}
    for labels, points in series:
        for at_s, value in points:
            rounds.setdefault(at_s, []).append(Number(labels, value))
    found = (_entry_in(at_s, numbers) for at_s, numbers in sorted(rounds.items()))
    return [one for one in found if one is not None]


def _entry_in(at_s: float, numbers: Sequence[Number]) -> Entry | None:
    own: dict[str, float] = {}
    metrics: dict[str, dict[str, float]] = {}
    reason = ""
    for labels, value in numbers:
        part = labels.get("part", "")
        if part == "reason":
            reason = labels.get("reason", "")
        elif "metric" in labels:
            metrics.setdefault(labels["metric"], {})[part] = value
        else:
            own[part] = value
    if not {"replicas", "wanted"} <= own.keys():
        return None
    return Entry(
        at=datetime.fromtimestamp(at_s, UTC),
        replicas=int(own["replicas"]),
        wanted=int(own["wanted"]),
        minimum=int(own.get("minimum", 0)),
        maximum=int(own.get("maximum", 0)),
        reason=reason,
        measured=tuple(_measured_in(name, parts) for name, parts in sorted(metrics.items())),
    )


def _measured_in(metric: str, parts: Mapping[str, float]) -> Measured:
    proposed = parts.get("proposed")
    return Measured(
        metric=metric,
        target=parts.get("target", 0.0),
        is_share=bool(parts.get("is_share", 0.0)),
        used=parts.get("used", 0.0),
        requested=parts.get("requested", 0.0),
        proposed=None if proposed is None else int(proposed),
        **{name: int(parts.get(name, 0)) for name in COUNTS},
    )
