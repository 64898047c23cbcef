"""What a plan may know that is no API object: questions, and what is read for them. Pure.

A planner that asks has a method `asks` (see plan.Asking); the loop answers before it plans, and
`view.reading(question)` gives a Value or an Absent with its reason. Absence is no number: a planner
holds on it, which is to leave things as they are and plan again later (`RequeueAfter`).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

# A sample's clock may be so far ahead of ours.
CLOCK_ERROR_S = 5.0
FRESH_S = 60.0
KEEP_S = 5.0
ROWS_MAX = 50_000  # of one table
# What a store that we set up calls the job by which it asks kubelets what pods use.
KUBELETS_JOB = "kubelets"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number now, by an expression in PromQL.

    An answer that is of a moment more than fresh_s ago is absent. A store evaluates an expression
    at the moment of asking: what may be old inside of it is bounded by the expression's own windows
    (`sum(rate(requests_total[1m]))`). keep_s: for so long others who ask get the same answer.
    """

    query: str
    fresh_s: float = FRESH_S
    keep_s: float = KEEP_S


@dataclass(frozen=True, slots=True)
class Table:
    """A number for each series that an expression gives, by the values of these labels."""

    query: str
    labels: tuple[str, ...]
    fresh_s: float = FRESH_S
    keep_s: float = KEEP_S


# Other kinds of questions join here; each has its source.
type Question = Metric | Table


class Why(StrEnum):
    """Why there is no value."""

    NOT_ASKED = "not asked"  # `asks` did not return the question
    TOO_MANY = "too many questions"
    NO_SOURCE = "no source"  # this program was told of none
    UNREACHABLE = "unreachable"  # the source failed or refused
    LATE = "late"  # no answer within the deadline
    NOTHING = "nothing"  # the source knows no such series
    STALE = "stale"  # of a moment too long ago
    WRONG = "wrong"  # no finite number, several of them, or one of the future


@dataclass(frozen=True, slots=True)
class Value:
    """A finite number, and the moment that it is of."""

    number: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Values:
    """Finite numbers by the values of labels, and the moment that they are of."""

    numbers: Mapping[tuple[str, ...], float]
    at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """No value: hold. message is for people."""

    why: Why
    message: str = ""


type Reading = Value | Values | Absent
type Readings = Mapping[Question, Reading]

NOT_ASKED = Absent(Why.NOT_ASKED, "the planner did not ask for it")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a source says of one series: any float, NaN included, and its moment."""

    number: float
    at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)


class SourceTrouble(Exception):
    """The source could not be reached, or refused the question; the message says why."""


class MetricSource(Protocol):
    """A source of metrics: a store, or a fake that may lie. It need not keep any deadline."""

    async def samples(self, query: str) -> Sequence[Sample]:
        """Return a sample of each series that the expression gives now; empty where none.

        Raises:
            SourceTrouble: it could not be reached, or refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class Track:
    """What a source has of one series over a span: (seconds since 1970, value), oldest first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class SampleStore(MetricSource, Protocol):
    """A source that keeps samples too, and tells its past."""

    async def tracks(self, query: str) -> Sequence[Track]:
        """Return what an expression with a range gives.

        Raises:
            SourceTrouble: it could not be reached, or refused.
        """
        ...

    async def push(self, text: str) -> None:
        """Keep samples, in the text format.

        Raises:
            SourceTrouble: it could not be reached, or refused.
        """
        ...


def value_in(readings: Readings, question: Metric) -> Value | Absent:
    """Return what was read for a question about one number."""
    found = readings.get(question, NOT_ASKED)
    return found if isinstance(found, Value | Absent) else NOT_ASKED


def values_in(readings: Readings, question: Table) -> Values | Absent:
    """Return what was read for a question about many numbers."""
    found = readings.get(question, NOT_ASKED)
    return found if isinstance(found, Values | Absent) else NOT_ASKED


def reading_of(question: Question, samples: Sequence[Sample], now: datetime) -> Reading:
    """Judge what a source has said: a value, or why it is none."""
    if not samples:
        return Absent(Why.NOTHING, "no such series")
    if isinstance(question, Table):
        return _table_of(question, samples, now)
    if len(samples) > 1:
        return Absent(Why.WRONG, f"{len(samples)} series instead of one")
    (sample,) = samples
    if not math.isfinite(sample.number):
        return Absent(Why.WRONG, f"{sample.number} is no finite number")
    return _age_problem(question, sample.at, now) or Value(sample.number, sample.at)


def _table_of(question: Table, samples: Sequence[Sample], now: datetime) -> Reading:
    """Return the rows that are numbers; of two in one place neither is believed."""
    if len(samples) > ROWS_MAX:
        return Absent(Why.WRONG, f"{len(samples)} series, at most {ROWS_MAX}")
    oldest = min(sample.at for sample in samples)
    if problem := _age_problem(question, oldest, now):
        return problem
    places = [tuple(one.labels.get(name, "") for name in question.labels) for one in samples]
    counts = Counter(places)
    numbers = {
        place: sample.number
        for place, sample in zip(places, samples, strict=True)
        if counts[place] == 1 and math.isfinite(sample.number)
    }
    return Values(numbers, oldest)


def _age_problem(question: Question, at: datetime, now: datetime) -> Absent | None:
    age = now - at
    if age > timedelta(seconds=question.fresh_s):
        return Absent(Why.STALE, f"it is of {age.total_seconds():.0f} s ago")
    if age < timedelta(seconds=-CLOCK_ERROR_S):
        return Absent(Why.WRONG, f"it is of {-age.total_seconds():.0f} s in the future")
    return None
