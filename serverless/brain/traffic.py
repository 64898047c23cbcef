"""Which revisions calls go to, and in which parts, by what is asked for and what loads. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.serverless.function import LATEST, LOADED, TRAFFIC, TrafficShare
from cubernetes.api.serverless.functionrevision import FunctionRevision


class Share(NamedTuple):
    """A revision that could be loaded, and how many calls of a hundred it has."""

    revision: FunctionRevision
    percent: int


class Split(NamedTuple):
    """Where calls go; no shares: nowhere yet.

    lacking: what was asked for and is not so; heir: the revision that has its part, if any.
    """

    shares: tuple[Share, ...] = ()
    lacking: str = ""
    heir: str = ""


def is_loaded(one: FunctionRevision) -> bool | None:
    """Return whether the code can be loaded; None while nobody knows."""
    found = condition_of(one.status.conditions, LOADED)
    return None if found is None or found.status == "Unknown" else found.status == "True"


def split_of(
    traffic: Sequence[TrafficShare],
    revisions: Sequence[FunctionRevision],
    newest: FunctionRevision | None,
) -> Split:
    """Return where calls go. newest: the newest revision that could be loaded.

    The part of a revision that is not there, or cannot be loaded, goes to the newest; where there
    is none of that either, to the one of the others that has the largest part.
    """
    by_name = {one.metadata.name: one for one in revisions}
    parts: dict[str, int] = {}
    spare, lacking = 0, []
    for asked in traffic or (TrafficShare(revision=LATEST, percent=100),):
        found = newest if asked.revision == LATEST else by_name.get(asked.revision)
        if found is not None and is_loaded(found):
            parts[found.metadata.name] = parts.get(found.metadata.name, 0) + asked.percent
            continue
        spare += asked.percent
        if asked.revision != LATEST:
            why = "there is no such revision" if found is None else _why_not(found)
            lacking.append(f"{asked.revision}: {why}")
    heir = ""
    if spare and newest is not None:
        heir = newest.metadata.name
        by_name[heir] = newest
    elif spare and parts:
        heir = max(parts, key=lambda name: parts[name])
    if heir:
        parts[heir] = parts.get(heir, 0) + spare
    shares = tuple(Share(by_name[name], percent) for name, percent in parts.items())
    return Split(shares, "; ".join(lacking), heir)


def _why_not(revision: FunctionRevision) -> str:
    verdict = is_loaded(revision)
    return "it has not been loaded yet" if verdict is None else "it cannot be loaded"


def told_of(split: Split) -> tuple[TrafficShare, ...]:
    """Return the shares as a status tells them."""
    return tuple(
        TrafficShare(revision=one.revision.metadata.name, percent=one.percent)
        for one in split.shares
    )


def largest_of(split: Split) -> str:
    """Return the name of the revision that most calls go to; empty: there is none."""
    if not split.shares:
        return ""
    return max(split.shares, key=lambda one: one.percent).revision.metadata.name


def verdict_on(split: Split) -> Condition:
    """Return whether calls go where they were asked to go."""
    if split.lacking:
        where = f"go to {split.heir}" if split.heir else "wait: no revision could be loaded yet"
        told = f"{split.lacking}; its calls {where}"
        return Condition(type=TRAFFIC, status="False", reason="NoRevision", message=told)
    return Condition(type=TRAFFIC, status="True", reason=TRAFFIC)
