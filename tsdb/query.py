"""Queries from text to result: at one instant, or over a range of steps."""

from dataclasses import dataclass

import numpy as np

from tsdb.budget import Budget
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import Pairs
from tsdb.errors import BadData, LimitExceeded
from tsdb.limits import Limits
from tsdb.promql.evaluate import Evaluation, Settings, Source
from tsdb.promql.parser import parse
from tsdb.promql.tree import Node, Type
from tsdb.promql.values import Range, Scalar, Value, Vector, Words
from tsdb.promql.windows import range_windows
from tsdb.steps import Steps, watched


@dataclass(frozen=True)
class Line:
    """The points of one series of a result."""

    pairs: Pairs
    times_ms: Ints
    values: Floats


@dataclass(frozen=True)
class Result:
    """What a query gives: kind is Prometheus' resultType; text only where that is string."""

    kind: str
    lines: list[Line]
    text: str = ""


class Engine:
    """Runs queries on a source. Each returns a generator: drive it with `finished` or in turns."""

    def __init__(self, source: Source, limits: Limits, settings: Settings | None = None) -> None:
        self._source, self._limits = source, limits
        self._settings = settings or Settings()
        self._trees: dict[str, Node] = {}

    @property
    def lookback_ms(self) -> int:
        return self._settings.lookback_ms

    def tree(self, text: str) -> Node:
        """Parse, or remember: dashboards ask the same again and again."""
        node = self._trees.get(text)
        if node is None:
            node = parse(text, self._limits)
            if len(self._trees) >= 256:
                self._trees.clear()
            self._trees[text] = node
        return node

    def instant(self, text: str, at_ms: int, budget: Budget) -> Steps[Result]:
        """Work out a query at one moment.

        Raises:
            TsdbError: it cannot be parsed, is over a limit, or has no answer.
        """
        node = self.tree(text)
        steps_ms = np.array([at_ms], np.int64)
        evaluation = Evaluation(self._source, budget, self._settings, steps_ms, at_ms, at_ms)
        value = yield from watched(_worked_out(evaluation, node), budget.check_time)
        return _at_instant(value, at_ms)

    def range(
        self, text: str, first_ms: int, last_ms: int, step_ms: int, budget: Budget
    ) -> Steps[Result]:
        """Work out a query at first_ms and every step_ms after it, up to last_ms.

        Raises:
            TsdbError: as instant; also for a result that has no meaning over a range.
        """
        node = self.tree(text)
        if node.type not in (Type.SCALAR, Type.VECTOR):
            raise BadData(
                f"invalid expression type {str(node.type)!r} for range query, "
                "must be Scalar or instant Vector"
            )
        self._check_span(first_ms, last_ms, step_ms)
        steps_ms = np.arange(first_ms, last_ms + 1, step_ms, dtype=np.int64)
        evaluation = Evaluation(self._source, budget, self._settings, steps_ms, first_ms, last_ms)
        value = yield from watched(_worked_out(evaluation, node), budget.check_time)
        return _over_range(value, steps_ms)

    def _check_span(self, first_ms: int, last_ms: int, step_ms: int) -> None:
        if last_ms < first_ms:
            raise BadData("end timestamp must not be before start time")
        if step_ms <= 0:
            raise BadData("zero or negative query resolution step widths are not accepted")
        if last_ms - first_ms > self._limits.query_range_s * 1000:
            asked = (last_ms - first_ms) / 1000
            raise LimitExceeded("query_range_s", self._limits.query_range_s, asked)
        steps = (last_ms - first_ms) // step_ms
        if steps > self._limits.query_steps:
            raise LimitExceeded("query_steps", self._limits.query_steps, steps)


def _worked_out(evaluation: Evaluation, node: Node) -> Steps[Value]:
    value = yield from _quietly(evaluation.value(node))
    if isinstance(value, Vector | Range):
        # The labels of the answer, if nobody wanted them so far.
        yield from value.series.read()
    return value


def _quietly[T](steps: Steps[T]) -> Steps[T]:
    """Let numbers overflow and divide by zero as IEEE 754 has it, without a warning."""
    while True:
        with np.errstate(all="ignore"):
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
        yield


def _at_instant(value: Value, at_ms: int) -> Result:
    times = np.array([at_ms], np.int64)
    match value:
        case Words():
            return Result("string", [], value.text)
        case Scalar():
            return Result("scalar", [Line((), times, value.values)])
        case Range():
            return Result("matrix", _samples(value))
        case Vector():
            there = value.present[:, 0].tolist()
            rows = zip(value.series.pairs, value.values, there, strict=True)
            return Result("vector", [Line(pairs, times, row) for pairs, row, here in rows if here])


def _samples(value: Range) -> list[Line]:
    places = range_windows(value)
    lines = []
    for row, lane in enumerate(value.frame.lane_of.tolist()):
        left, right = int(places.left[lane, 0]), int(places.right[lane, 0])
        if right > left:
            times = value.frame.times[lane, left:right]
            lines.append(Line(value.series.pairs[row], times, value.frame.values[row, left:right]))
    return sorted(lines, key=lambda line: line.pairs)


def _over_range(value: Value, steps_ms: Ints) -> Result:
    if isinstance(value, Scalar):
        return Result("matrix", [Line((), steps_ms, value.values)])
    if not isinstance(value, Vector):
        raise BadData("invalid expression type for range query")
    pairs = value.series.pairs
    lines = []
    for row in range(len(value.values)):
        there = value.present[row]
        if there.all():
            lines.append(Line(pairs[row], steps_ms, value.values[row]))
        elif there.any():
            lines.append(Line(pairs[row], steps_ms[there], value.values[row][there]))
    return Result("matrix", sorted(lines, key=lambda line: line.pairs))
