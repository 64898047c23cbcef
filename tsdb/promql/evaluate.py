"""From a tree and a source of samples to values, for all steps of a query at once.

Everything here is a generator that yields None now and then and returns its value: its driver
may look at the clock, let others run, or stop. The semantics are those of Prometheus 2: an
instant selector takes the newest sample not older than the lookback (both ends included) unless it
is a stale marker; windows include both ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tsdb.budget import Budget
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.matching import Matcher
from tsdb.columns.selection import Selection
from tsdb.columns.series import Series
from tsdb.errors import BadData, QueryFailed
from tsdb.promql import aggregate, binary, windows
from tsdb.promql.functions.calls import call, checked, text_of
from tsdb.promql.tree import (
    Aggregation,
    Anchor,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Selector,
    Shift,
    Subquery,
    Text,
    unwrapped,
)
from tsdb.promql.values import (
    Bools,
    Range,
    Scalar,
    Value,
    Vector,
    Words,
    nameless,
)
from tsdb.steps import Steps


class Source(Protocol):
    """Where samples come from: see select.Reader."""

    def select(
        self, matchers: Sequence[Matcher], first_ms: int, last_ms: int, budget: Budget
    ) -> Iterator[Selection | None]: ...


@dataclass(frozen=True)
class Settings:
    """What a query may leave open."""

    lookback_ms: int = 300_000
    subquery_step_ms: int = 60_000


@dataclass(frozen=True)
class Evaluation:
    """One query over its steps. start_ms and end_ms are the whole query's, also in subqueries."""

    source: Source
    budget: Budget
    settings: Settings
    steps_ms: Ints
    start_ms: int
    end_ms: int

    def at_steps(self, steps_ms: Ints) -> "Evaluation":
        return Evaluation(
            self.source, self.budget, self.settings, steps_ms, self.start_ms, self.end_ms
        )

    def value(self, node: Node) -> Steps[Value]:
        """Work out a tree."""
        node = unwrapped(node)
        if isinstance(node, Selector):
            # Reading looks at the clock and pauses by itself.
            return (yield from self._selected(node))
        self.budget.check_time()
        yield
        match node:
            case Number() | Text():
                return self._literal(node)
            case Subquery():
                return (yield from self._subquery(node))
            case Negation():
                return (yield from self._negation(node))
            case Binary():
                return (yield from self._binary(node))
            case Aggregation():
                return (yield from self._aggregation(node))
            case Call():
                return (yield from call(self, node))
        raise BadData(f"cannot evaluate {type(node).__name__}")

    def _literal(self, node: Number | Text) -> Value:
        if isinstance(node, Text):
            return Words(node.value)
        return Scalar(np.full(len(self.steps_ms), node.value))

    def _selected(self, node: Selector) -> Steps[Value]:
        if node.range_ms is None:
            return (yield from self.instant(node)).vector()
        return (yield from self._range(node))

    def vector(self, node: Node) -> Steps[Vector]:
        value = yield from self.value(node)
        if not isinstance(value, Vector):
            raise BadData("parse error: expected type instant vector")
        self.budget.charge_samples(value.values.size)
        return value

    def scalar(self, node: Node) -> Steps[Floats]:
        value = yield from self.value(node)
        if not isinstance(value, Scalar):
            raise BadData("parse error: expected type scalar")
        return value.values

    def range(self, node: Node) -> Steps[Range]:
        value = yield from self.value(node)
        if not isinstance(value, Range):
            raise BadData("parse error: expected type range vector")
        self.budget.charge_samples(len(value.series) * len(self.steps_ms))
        return value

    # Selectors

    def _ends_ms(self, shift: Shift) -> Ints:
        match shift.at_ms:
            case None:
                return self.steps_ms - shift.offset_ms
            case Anchor.START:
                at_ms = self.start_ms
            case Anchor.END:
                at_ms = self.end_ms
            case moment_ms:
                at_ms = moment_ms
        return np.full(len(self.steps_ms), at_ms - shift.offset_ms, np.int64)

    def _select(self, matchers: Sequence[Matcher], ends_ms: Ints, back_ms: int) -> Steps[Selection]:
        first_ms, last_ms = int(ends_ms.min()) - back_ms, int(ends_ms.max())
        for found in self.source.select(matchers, first_ms, last_ms, self.budget):
            if found is not None:
                return found
            yield
        raise QueryFailed("the source gave no answer")

    def instant(self, node: Selector) -> Steps[windows.Newest]:
        ends_ms = self._ends_ms(node.shift)
        back_ms = self.settings.lookback_ms
        found = yield from self._select(node.matchers, ends_ms, back_ms)
        self.budget.charge_samples(len(found.series) * len(ends_ms))
        return windows.newest(found.series, found.frame, ends_ms, back_ms)

    def _range(self, node: Selector) -> Steps[Range]:
        ends_ms = self._ends_ms(node.shift)
        range_ms = node.range_ms or 0
        found = yield from self._select(node.matchers, ends_ms, range_ms)
        return Range(found.series, windows.without_stale(found.frame), ends_ms, range_ms)

    def _subquery(self, node: Subquery) -> Steps[Range]:
        ends_ms = self._ends_ms(node.shift)
        step_ms = node.step_ms or self.settings.subquery_step_ms
        first_ms, last_ms = int(ends_ms.min()) - node.range_ms, int(ends_ms.max())
        # Steps of a subquery are multiples of its step, wherever the query begins.
        begin_ms = -(-first_ms // step_ms) * step_ms
        self.budget.charge_samples(max(0, (last_ms - begin_ms) // step_ms + 1))
        grid = np.arange(begin_ms, last_ms + 1, step_ms, dtype=np.int64)
        if not len(grid):
            return Range(Series([]), windows.squeezed(*_nothing()), ends_ms, node.range_ms)
        value = yield from self.at_steps(grid).value(node.inner)
        if isinstance(value, Scalar):
            shape = (1, len(grid))
            value = Vector(Series([()]), value.values.reshape(shape), np.ones(shape, bool))
        if not isinstance(value, Vector):
            raise BadData("parse error: subquery is only allowed on instant vector")
        times = np.broadcast_to(grid, value.values.shape)
        frame = windows.squeezed(times, value.values, value.present)
        return Range(value.series, windows.without_stale(frame), ends_ms, node.range_ms)

    # Operators

    def _negation(self, node: Negation) -> Steps[Value]:
        value = yield from self.value(node.inner)
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        if isinstance(value, Vector):
            negated = Vector(value.series, -value.values, value.present)
            return (yield from checked(nameless(negated)))
        raise BadData("parse error: unary expression only allowed on scalar or instant vector")

    def _binary(self, node: Binary) -> Steps[Value]:
        left = yield from self.value(node.left)
        right = yield from self.value(node.right)
        match left, right:
            case Scalar(), Scalar():
                return binary.between_scalars(node.op, left, right)
            case Vector(), Scalar():
                result = binary.with_scalar(
                    node.op, left, right, swapped=False, returns_bool=node.returns_bool
                )
                return (yield from checked(result))
            case Scalar(), Vector():
                result = binary.with_scalar(
                    node.op, right, left, swapped=True, returns_bool=node.returns_bool
                )
                return (yield from checked(result))
            case Vector(), Vector() if node.op in ("and", "or", "unless"):
                return (yield from binary.set_operation(node.op, left, right, node.matching))
            case Vector(), Vector():
                between = binary.between_vectors(
                    node.op, left, right, node.matching, returns_bool=node.returns_bool
                )
                return (yield from between)
        raise BadData("parse error: binary expression must contain only scalar and vector types")

    def _aggregation(self, node: Aggregation) -> Steps[Value]:
        vector = yield from self.vector(node.inner)
        groups = yield from vector.series.grouped(node.without, node.labels)
        match node.op:
            case "count_values":
                label = text_of(node.parameter or Text(""))
                charge = self.budget.charge_samples
                return (yield from aggregate.count_values(vector, groups, label, charge))
            case "quantile" | "topk" | "bottomk":
                parameter = yield from self.scalar(node.parameter or Number(0.0))
                if node.op == "quantile":
                    return (yield from aggregate.quantile(vector, groups, parameter))
                largest = node.op == "topk"
                return (yield from aggregate.extremes(vector, groups, parameter, largest=largest))
        return (yield from aggregate.aggregate(node.op, vector, groups))


def _nothing() -> tuple[Ints, Floats, Bools]:
    return np.empty((0, 0), np.int64), np.empty((0, 0)), np.empty((0, 0), bool)
