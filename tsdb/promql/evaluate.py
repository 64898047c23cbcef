"""From a tree and a source of samples to values, for all steps of a query at once.

Everything here is a generator that yields None now and then and returns its value: whoever drives
it may look at the clock, let others run, or stop. The semantics are those of Prometheus 2: an
instant selector takes the newest sample not older than the lookback (both ends included) unless it
is a stale marker; windows include both ends.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tsdb.budget import Budget
from tsdb.codec import Floats, Ints
from tsdb.errors import BadData, QueryFailed
from tsdb.labels import NAME
from tsdb.matching import Matcher, Op
from tsdb.promql import aggregate, binary, labelling, mathematics, overtime, rates, windows
from tsdb.promql.histogram import histogram_quantile
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
    Type,
    unwrapped,
)
from tsdb.promql.values import (
    Bools,
    Range,
    Scalar,
    Value,
    Vector,
    Words,
    merge_twins,
    nameless,
)
from tsdb.select import Selection
from tsdb.series import Series

type Steps[T] = Generator[None, None, T]


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
        self.budget.check_time()
        yield
        match node:
            case Number() | Text():
                return self._literal(node)
            case Selector() | Subquery():
                return (yield from self._selected(node))
            case Negation():
                return (yield from self._negation(node))
            case Binary():
                return (yield from self._binary(node))
            case Aggregation():
                return (yield from self._aggregation(node))
            case Call():
                return (yield from self._call(node))
        raise BadData(f"cannot evaluate {type(node).__name__}")

    def _literal(self, node: Number | Text) -> Value:
        if isinstance(node, Text):
            return Words(node.value)
        return Scalar(np.full(len(self.steps_ms), node.value))

    def _selected(self, node: Selector | Subquery) -> Steps[Value]:
        if isinstance(node, Subquery):
            return (yield from self._subquery(node))
        if node.range_ms is None:
            return (yield from self._instant(node))[0]
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
        at = {Anchor.START: self.start_ms, Anchor.END: self.end_ms, None: None}.get(
            shift.at_ms if isinstance(shift.at_ms, Anchor) else None
        )
        if isinstance(shift.at_ms, int) and not isinstance(shift.at_ms, Anchor):
            at = shift.at_ms
        base = self.steps_ms if at is None else np.full(len(self.steps_ms), at, np.int64)
        return base - shift.offset_ms

    def _select(self, matchers: Sequence[Matcher], ends_ms: Ints, back_ms: int) -> Steps[Selection]:
        first_ms, last_ms = int(ends_ms.min()) - back_ms, int(ends_ms.max())
        for found in self.source.select(matchers, first_ms, last_ms, self.budget):
            if found is not None:
                return found
            yield
        raise QueryFailed("the source gave no answer")

    def _instant(self, node: Selector) -> Steps[tuple[Vector, Floats]]:
        """Return the newest samples, and their times in seconds."""
        ends_ms = self._ends_ms(node.shift)
        back_ms = self.settings.lookback_ms
        found = yield from self._select(node.matchers, ends_ms, back_ms)
        self.budget.charge_samples(len(found.series) * len(ends_ms))
        frame = found.frame
        places = windows.windows_of(frame, ends_ms - back_ms, ends_ms)
        some = windows.spread(places.right > places.left, frame)
        values = windows.gathered(frame, places.right - 1)
        present = some & ~windows.is_stale(np.ascontiguousarray(values))
        times = windows.spread(windows.times_at(frame, places.right - 1) / 1000.0, frame)
        return Vector(found.series, values, present), np.broadcast_to(times, values.shape)

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
        grid = np.arange(-(-first_ms // step_ms) * step_ms, last_ms + 1, step_ms, dtype=np.int64)
        self.budget.charge_samples(len(grid))
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
            return _checked(nameless(Vector(value.series, -value.values, value.present)))
        raise BadData("parse error: unary expression only allowed on scalar or instant vector")

    def _binary(self, node: Binary) -> Steps[Value]:
        left = yield from self.value(node.left)
        right = yield from self.value(node.right)
        match left, right:
            case Scalar(), Scalar():
                return binary.between_scalars(node.op, left, right)
            case Vector(), Scalar():
                return _checked(
                    binary.with_scalar(
                        node.op, left, right, swapped=False, returns_bool=node.returns_bool
                    )
                )
            case Scalar(), Vector():
                return _checked(
                    binary.with_scalar(
                        node.op, right, left, swapped=True, returns_bool=node.returns_bool
                    )
                )
            case Vector(), Vector() if node.op in ("and", "or", "unless"):
                return binary.set_operation(node.op, left, right, node.matching)
            case Vector(), Vector():
                return binary.between_vectors(
                    node.op, left, right, node.matching, returns_bool=node.returns_bool
                )
        raise BadData("parse error: binary expression must contain only scalar and vector types")

    def _aggregation(self, node: Aggregation) -> Steps[Value]:
        vector = yield from self.vector(node.inner)
        groups = vector.series.grouped(node.without, node.labels)
        match node.op:
            case "count_values":
                label = _text(node.parameter or Text(""))
                return aggregate.count_values(vector, groups, label)
            case "quantile" | "topk" | "bottomk":
                parameter = yield from self.scalar(node.parameter or Number(0.0))
                if node.op == "quantile":
                    return aggregate.quantile(vector, groups, parameter)
                largest = node.op == "topk"
                return aggregate.extremes(vector, groups, parameter, largest=largest)
        return aggregate.aggregate(node.op, vector, groups)

    # Functions

    def _call(self, node: Call) -> Steps[Value]:
        name, arguments = node.name, node.arguments
        if name in _OF_RANGE:
            found = yield from self.range(arguments[-1])
            function = _OF_RANGE[name]
            result = Vector(found.series, *function(found))
            return result if name == "last_over_time" else _checked(nameless(result))
        if name in mathematics.UNARY:
            vector = yield from self.vector(arguments[0])
            values = mathematics.UNARY[name](vector.values)
            return _checked(nameless(Vector(vector.series, values, vector.present)))
        if name in _CALENDAR:
            return (yield from self._calendar(node))
        special: Callable[[Call], Steps[Value]] = getattr(self, f"_call_{name}")
        return (yield from special(node))

    def _calendar(self, node: Call) -> Steps[Value]:
        if node.arguments:
            vector = yield from self.vector(node.arguments[0])
        else:
            vector = _row(self.steps_ms / 1000.0)
        values = mathematics.calendar(node.name, vector.values)
        return _checked(nameless(Vector(vector.series, values, vector.present)))

    def _call_time(self, _node: Call) -> Steps[Value]:
        yield
        return Scalar(self.steps_ms / 1000.0)

    def _call_pi(self, _node: Call) -> Steps[Value]:
        yield
        return Scalar(np.full(len(self.steps_ms), np.pi))

    def _call_vector(self, node: Call) -> Steps[Value]:
        return _row((yield from self.scalar(node.arguments[0])))

    def _call_scalar(self, node: Call) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        single = vector.present.sum(axis=0) == 1
        values = np.where(vector.present, vector.values, 0.0).sum(axis=0)
        return Scalar(np.where(single, values, np.nan))

    def _call_timestamp(self, node: Call) -> Steps[Value]:
        inner = unwrapped(node.arguments[0])
        if isinstance(inner, Selector) and inner.type is Type.VECTOR:
            vector, times = yield from self._instant(inner)
        else:
            vector = yield from self.vector(inner)
            times = np.broadcast_to(self.steps_ms / 1000.0, vector.values.shape)
        return _checked(nameless(Vector(vector.series, times, vector.present)))

    def _call_absent(self, node: Call) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        return _absent(node.arguments[0], vector.present)

    def _call_absent_over_time(self, node: Call) -> Steps[Value]:
        found = yield from self.range(node.arguments[0])
        _, present = overtime.present_over_time(found)
        return _absent(node.arguments[0], present)

    def _call_round(self, node: Call) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        nearest = np.ones(1)
        if len(node.arguments) > 1:
            nearest = yield from self.scalar(node.arguments[1])
        values = mathematics.rounded(vector.values, nearest)
        return _checked(nameless(Vector(vector.series, values, vector.present)))

    def _call_clamp(self, node: Call) -> Steps[Value]:
        low = yield from self.scalar(node.arguments[1])
        high = yield from self.scalar(node.arguments[2])
        return (yield from self._clamped(node, low, high))

    def _call_clamp_min(self, node: Call) -> Steps[Value]:
        low = yield from self.scalar(node.arguments[1])
        return (yield from self._clamped(node, low, np.full(1, np.inf)))

    def _call_clamp_max(self, node: Call) -> Steps[Value]:
        high = yield from self.scalar(node.arguments[1])
        return (yield from self._clamped(node, np.full(1, -np.inf), high))

    def _clamped(self, node: Call, low: Floats, high: Floats) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        values = mathematics.clamped(vector.values, low, high)
        present = vector.present & ~(low > high)
        return _checked(nameless(Vector(vector.series, values, present)))

    def _call_sort(self, node: Call) -> Steps[Value]:
        return _sorted((yield from self.vector(node.arguments[0])), 1.0)

    def _call_sort_desc(self, node: Call) -> Steps[Value]:
        return _sorted((yield from self.vector(node.arguments[0])), -1.0)

    def _call_histogram_quantile(self, node: Call) -> Steps[Value]:
        phi = yield from self.scalar(node.arguments[0])
        vector = yield from self.vector(node.arguments[1])
        return histogram_quantile(phi, vector)

    def _call_quantile_over_time(self, node: Call) -> Steps[Value]:
        phi = yield from self.scalar(node.arguments[0])
        found = yield from self.range(node.arguments[1])
        return _checked(nameless(Vector(found.series, *overtime.quantile_over_time(found, phi))))

    def _call_predict_linear(self, node: Call) -> Steps[Value]:
        found = yield from self.range(node.arguments[0])
        ahead_s = yield from self.scalar(node.arguments[1])
        values = overtime.predict_linear(found, ahead_s, self.steps_ms)
        return _checked(nameless(Vector(found.series, *values)))

    def _call_label_replace(self, node: Call) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        target, template, source, pattern = map(_text, node.arguments[1:])
        return labelling.label_replace(vector, target, template, source, pattern)

    def _call_label_join(self, node: Call) -> Steps[Value]:
        vector = yield from self.vector(node.arguments[0])
        target, separator, *sources = map(_text, node.arguments[1:])
        return labelling.label_join(vector, target, separator, sources)


def _rate(found: Range) -> tuple[Floats, Bools]:
    return rates.rate(found, is_counter=True, is_rate=True)


def _increase(found: Range) -> tuple[Floats, Bools]:
    return rates.rate(found, is_counter=True, is_rate=False)


def _delta(found: Range) -> tuple[Floats, Bools]:
    return rates.rate(found, is_counter=False, is_rate=False)


def _irate(found: Range) -> tuple[Floats, Bools]:
    return rates.instant_change(found, is_rate=True)


def _idelta(found: Range) -> tuple[Floats, Bools]:
    return rates.instant_change(found, is_rate=False)


_OF_RANGE: dict[str, Callable[[Range], tuple[Floats, Bools]]] = {
    "rate": _rate,
    "increase": _increase,
    "delta": _delta,
    "irate": _irate,
    "idelta": _idelta,
    "changes": windows.changes,
    "resets": windows.resets,
    **overtime.OVER_TIME,
}
_CALENDAR = frozenset(
    {
        "day_of_month", "day_of_week", "day_of_year", "days_in_month",
        "hour", "minute", "month", "year",
    }
)  # fmt: skip


def _text(node: Node) -> str:
    literal = unwrapped(node)
    if not isinstance(literal, Text):
        raise BadData("parse error: expected type string")
    return literal.value


def _nothing() -> tuple[Ints, Floats, Bools]:
    return np.empty((0, 0), np.int64), np.empty((0, 0)), np.empty((0, 0), bool)


def _checked(vector: Vector) -> Vector:
    """Refuse two rows that became the same when their names went."""
    return merge_twins(vector)


def _row(values: Floats) -> Vector:
    return Vector(Series([()]), values[None, :], np.ones((1, len(values)), bool))


def _sorted(vector: Vector, sign: float) -> Vector:
    """Order rows by value, NaN last; only an instant query can show it."""
    if vector.values.shape[1] != 1:
        return vector
    rank = sign * vector.values[:, 0]
    rows = np.lexsort((rank, np.isnan(rank)))
    series = vector.series.take(rows.tolist())
    return Vector(series, vector.values[rows], vector.present[rows], ordered=True)


def _absent(node: Node, present: Bools) -> Vector:
    missing = ~present.any(axis=0) if len(present) else np.ones(present.shape[1], bool)
    return Vector(Series([_labels_of_absent(node)]), np.ones((1, len(missing))), missing[None, :])


def _labels_of_absent(node: Node) -> tuple[tuple[str, str], ...]:
    """Return the labels that the selector says a series would have: by = once, and the name not."""
    inner = unwrapped(node)
    if not isinstance(inner, Selector):
        return ()
    names = [matcher.name for matcher in inner.matchers]
    return tuple(
        sorted(
            (matcher.name, matcher.value)
            for matcher in inner.matchers
            if matcher.op is Op.EQUAL
            and matcher.value
            and matcher.name != NAME
            and names.count(matcher.name) == 1
        )
    )
