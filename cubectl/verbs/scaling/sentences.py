"""Entries of an autoscaler's history as sentences. Pure."""

from collections.abc import Iterable, Iterator

from cubernetes.api.autoscaling.history import Entry, Measured

REASONS = {
    "ScaleUpStabilized": "less was asked for within its window: the least of it counts",
    "ScaleDownStabilized": "more was asked for within its window: the most of it counts",
    "TooManyReplicas": "there are never more than its maximum",
    "TooFewReplicas": "there are never fewer than its minimum",
    "ScaleUpLimit": "more at once than its steps allow",
    "ScaleDownLimit": "fewer at once than its steps allow",
    "ScalingDisabled": "with no replicas it is switched off",
    "AmbiguousSelector": "another autoscaler scales the same workload",
    "FailedGetScale": "the workload is not there, or cannot be scaled",
    "MinScaleInterval": "its interval since the last change is not over",
    "NoMetrics": "too little is measured to decide",
}
MISSING = "FailedGet"
PLAIN = ("AsWanted", "Rescaled", "")


def told(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a sentence for each change, and for each new reason not to change."""
    last: Entry | None = None
    for entry in entries:
        is_held = entry.reason not in PLAIN and entry.wanted == entry.replicas
        is_new = last is None or entry.reason != last.reason
        if entry.wanted != entry.replicas:
            yield f"{entry.at:%m-%d %H:%M:%S}  {entry.replicas} -> {entry.wanted}: {why(entry)}"
        elif is_held and is_new:
            yield f"{entry.at:%m-%d %H:%M:%S}  stays at {entry.replicas}: {why(entry)}"
        elif last is not None and last.reason not in PLAIN and entry.reason in PLAIN:
            yield f"{entry.at:%m-%d %H:%M:%S}  stays at {entry.replicas}: as wanted again"
        last = entry


def why(entry: Entry) -> str:
    """Return why there are to be so many: what asked for most, and what held it back."""
    known = [one for one in entry.measured if one.proposed is not None]
    best = max(known, key=lambda one: one.proposed or 0, default=None)
    parts = [asked(best)] if best is not None else []
    if entry.reason not in PLAIN:
        parts.append(f"{entry.reason}: {_meant(entry.reason)}")
    return "; ".join(parts) or "as wanted"


def asked(one: Measured) -> str:
    """Return what a metric is, what it should be, and how many replicas it asks for."""
    used = _amount(one.metric, one.used)
    if one.is_share and one.requested and one.ready:
        share = 100 * one.used / (one.requested * one.ready)
        each = _amount(one.metric, one.requested)
        is_now = f"{used} of {one.ready} pods, {share:.0f}% of {each} each"
        goal = f"{one.target:g}%"
    else:
        is_now = f"{used} of {one.ready} pods"
        goal = _amount(one.metric, one.target)
    others = [
        f"{count} {what}"
        for count, what in ((one.missing, "without samples"), (one.unready, "not ready"))
        if count
    ]
    beside = f" ({', '.join(others)})" if others else ""
    wish = "nothing can be said" if one.proposed is None else f"asks for {one.proposed}"
    return f"{one.metric} {wish}: {is_now}, wanted {goal}{beside}"


def _meant(reason: str) -> str:
    is_missing = reason.startswith(MISSING)
    return REASONS.get(reason, "the store has no samples of a metric" if is_missing else "")


def _amount(metric: str, number: float) -> str:
    name = metric.partition("/")[0]
    if name == "cpu":
        return f"{number:.0f}m"
    if name == "memory":
        return f"{number / 2**20:.0f}Mi"
    return f"{number / 1000:g}"
