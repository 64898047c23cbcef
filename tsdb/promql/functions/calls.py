"""The functions of PromQL, by name: each asks the evaluation for its arguments, gives a value."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from tsdb.budget import Budget
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import NAME
from tsdb.columns.matching import Op
from tsdb.columns.series import Series
from tsdb.errors import BadData
from tsdb.promql import windows
from tsdb.promql.functions import labelling, mathematics, overtime, rates
from tsdb.promql.functions.histogram import histogram_quantile
from tsdb.promql.functions.overtime import OverTime
from tsdb.promql.tree import Call, Node, Selector, Text, Type, unwrapped
from tsdb.promql.values import Bools, Range, Scalar, Value, Vector, merge_twins, nameless
from tsdb.steps import Steps


class Working(Protocol):
    """The evaluation that a function is called in: its steps, and the values of its arguments."""

    @property
    def steps_ms(self) -> Ints: ...

    @property
    def budget(self) -> Budget: ...

    def vector(self, node: Node) -> Steps[Vector]: ...

    def scalar(self, node: Node) -> Steps[Floats]: ...

    def range(self, node: Node) -> Steps[Range]: ...

    def instant(self, node: Selector) -> Steps[windows.Newest]: ...


def call(work: Working, node: Call) -> Steps[Value]:
    """Work out a call."""
    name, arguments = node.name, node.arguments
    if name in _OF_RANGE:
        found = yield from work.range(arguments[-1])
        function = _OF_RANGE[name]
        result = Vector(found.series, *(yield from function(found)))
        return result if name == "last_over_time" else (yield from checked(nameless(result)))
    if name in mathematics.UNARY:
        vector = yield from work.vector(arguments[0])
        values = mathematics.UNARY[name](vector.values)
        return (yield from checked(nameless(Vector(vector.series, values, vector.present))))
    if name in _CALENDAR:
        return (yield from _calendar(work, node))
    return (yield from _SPECIAL[name](work, node))


def _calendar(work: Working, node: Call) -> Steps[Value]:
    if node.arguments:
        vector = yield from work.vector(node.arguments[0])
    else:
        vector = _row(work.steps_ms / 1000.0)
    values = mathematics.calendar(node.name, vector.values)
    return (yield from checked(nameless(Vector(vector.series, values, vector.present))))


def _time(work: Working, _node: Call) -> Steps[Value]:
    yield
    return Scalar(work.steps_ms / 1000.0)


def _pi(work: Working, _node: Call) -> Steps[Value]:
    yield
    return Scalar(np.full(len(work.steps_ms), np.pi))


def _vector(work: Working, node: Call) -> Steps[Value]:
    return _row((yield from work.scalar(node.arguments[0])))


def _scalar(work: Working, node: Call) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    single = vector.present.sum(axis=0) == 1
    values = np.where(vector.present, vector.values, 0.0).sum(axis=0)
    return Scalar(np.where(single, values, np.nan))


def _timestamp(work: Working, node: Call) -> Steps[Value]:
    inner = unwrapped(node.arguments[0])
    if isinstance(inner, Selector) and inner.type is Type.VECTOR:
        newest = yield from work.instant(inner)
        vector, times = newest.vector(), newest.times_s()
    else:
        vector = yield from work.vector(inner)
        times = np.broadcast_to(work.steps_ms / 1000.0, vector.values.shape)
    return (yield from checked(nameless(Vector(vector.series, times, vector.present))))


def _absent_call(work: Working, node: Call) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    return _absent(node.arguments[0], vector.present)


def _absent_over_time(work: Working, node: Call) -> Steps[Value]:
    found = yield from work.range(node.arguments[0])
    _, present = yield from overtime.present_over_time(found)
    return _absent(node.arguments[0], present)


def _round(work: Working, node: Call) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    nearest = np.ones(1)
    if len(node.arguments) > 1:
        nearest = yield from work.scalar(node.arguments[1])
    values = mathematics.rounded(vector.values, nearest)
    return (yield from checked(nameless(Vector(vector.series, values, vector.present))))


def _clamp(work: Working, node: Call) -> Steps[Value]:
    low = yield from work.scalar(node.arguments[1])
    high = yield from work.scalar(node.arguments[2])
    return (yield from _clamped(work, node, low, high))


def _clamp_min(work: Working, node: Call) -> Steps[Value]:
    low = yield from work.scalar(node.arguments[1])
    return (yield from _clamped(work, node, low, np.full(1, np.inf)))


def _clamp_max(work: Working, node: Call) -> Steps[Value]:
    high = yield from work.scalar(node.arguments[1])
    return (yield from _clamped(work, node, np.full(1, -np.inf), high))


def _clamped(work: Working, node: Call, low: Floats, high: Floats) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    values = mathematics.clamped(vector.values, low, high)
    present = vector.present & ~(low > high)
    return (yield from checked(nameless(Vector(vector.series, values, present))))


def _sort(work: Working, node: Call) -> Steps[Value]:
    return _sorted((yield from work.vector(node.arguments[0])), 1.0)


def _sort_desc(work: Working, node: Call) -> Steps[Value]:
    return _sorted((yield from work.vector(node.arguments[0])), -1.0)


def _histogram_quantile(work: Working, node: Call) -> Steps[Value]:
    phi = yield from work.scalar(node.arguments[0])
    vector = yield from work.vector(node.arguments[1])
    return (yield from histogram_quantile(phi, vector))


def _quantile_over_time(work: Working, node: Call) -> Steps[Value]:
    phi = yield from work.scalar(node.arguments[0])
    found = yield from work.range(node.arguments[1])
    result = yield from overtime.quantile_over_time(found, phi)
    return (yield from checked(nameless(Vector(found.series, *result))))


def _predict_linear(work: Working, node: Call) -> Steps[Value]:
    found = yield from work.range(node.arguments[0])
    ahead_s = yield from work.scalar(node.arguments[1])
    result = yield from overtime.predict_linear(found, ahead_s, work.steps_ms)
    return (yield from checked(nameless(Vector(found.series, *result))))


def _label_replace(work: Working, node: Call) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    target, template, source, pattern = map(text_of, node.arguments[1:])
    maker = labelling.Maker(work.budget)
    return (yield from labelling.label_replace(vector, maker, target, template, source, pattern))


def _label_join(work: Working, node: Call) -> Steps[Value]:
    vector = yield from work.vector(node.arguments[0])
    target, separator, *sources = map(text_of, node.arguments[1:])
    maker = labelling.Maker(work.budget)
    return (yield from labelling.label_join(vector, maker, target, separator, sources))


def _at_once(function: Callable[[Range], tuple[Floats, Bools]]) -> OverTime:
    """Return a function that works on whole matrices as one that may pause."""

    def over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
        yield
        return function(found)

    return over_time


_OF_RANGE: dict[str, OverTime] = {
    "rate": partial(rates.rate, is_counter=True, is_rate=True),
    "increase": partial(rates.rate, is_counter=True, is_rate=False),
    "delta": partial(rates.rate, is_counter=False, is_rate=False),
    "irate": _at_once(partial(rates.instant_change, is_rate=True)),
    "idelta": _at_once(partial(rates.instant_change, is_rate=False)),
    "changes": _at_once(windows.changes),
    "resets": _at_once(windows.resets),
    **overtime.OVER_TIME,
}
_CALENDAR = frozenset(
    {
        "day_of_month", "day_of_week", "day_of_year", "days_in_month",
        "hour", "minute", "month", "year",
    }
)  # fmt: skip


def text_of(node: Node) -> str:
    literal = unwrapped(node)
    if not isinstance(literal, Text):
        raise BadData("parse error: expected type string")
    return literal.value


def checked(vector: Vector) -> Steps[Vector]:
    """Refuse two rows that became the same when their names went."""
    return (yield from merge_twins(vector))


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


_SPECIAL: dict[str, Callable[[Working, Call], Steps[Value]]] = {
    "absent": _absent_call,
    "absent_over_time": _absent_over_time,
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "histogram_quantile": _histogram_quantile,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": _pi,
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "round": _round,
    "scalar": _scalar,
    "sort": _sort,
    "sort_desc": _sort_desc,
    "time": _time,
    "timestamp": _timestamp,
    "vector": _vector,
}
