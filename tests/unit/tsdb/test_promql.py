"""The language: what is a query and what is not, laws of the evaluator, nothing that hangs it."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsdb.budget import Budget, unlimited
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.frame import Frame
from tsdb.columns.series import Series
from tsdb.errors import BadData, LimitExceeded, QueryFailed, QueryTimeout, TsdbError
from tsdb.limits import Limits
from tsdb.promql.functions.overtime import OVER_TIME
from tsdb.promql.functions.signatures import AGGREGATIONS, SIGNATURES, WITH_PARAMETER
from tsdb.promql.lexer import duration_ms
from tsdb.promql.parser import parse, parse_selector
from tsdb.promql.text import number_text
from tsdb.promql.tree import Binary, Call, Number, Type
from tsdb.promql.values import Range
from tsdb.query import Engine, Result
from tsdb.select import Reader
from tsdb.steps import finished

WORDS = st.sampled_from(
    [
        "sum", "rate", "by", "without", "(", ")", "[", "]", "{", "}", "5m", "1", "x", "le", "+",
        "-", "^", "==", "bool", "on", "group_left", "offset", "@", "start", '"a"', "=", "=~", ",",
        ":", "and", "topk", "1h30m", "NaN", "inf", "0x1f", "histogram_quantile", "`b`", "#c\n",
    ]
)  # fmt: skip


def must_parse_or_be_refused(text: str) -> None:
    """Anything but a tree or an error of ours fails the test by itself."""
    with suppress(TsdbError):
        assert parse(text).type


@given(words=st.lists(WORDS, max_size=25))
def test_any_words_are_a_query_or_a_clear_error(words: list[str]) -> None:
    must_parse_or_be_refused(" ".join(words))
    must_parse_or_be_refused("".join(words))


@given(text=st.text(max_size=80))
@example("(" * 500)
@example("-" * 500)
@example("a" + "[5m:1m]" * 200)
@example("\\x")
def test_any_text_is_a_query_or_a_clear_error(text: str) -> None:
    must_parse_or_be_refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "rate(x)", "rate(x[5m]) [5m]", "x{", "x{a=b}", 'x{a="b"', "sum(x", "1 == 2", "x offset",
        "x[5m] + 1", "foo(x)", "{}", '{a=""}', "sum by (1) (x)", "x and 1", "topk(x)", '"a" + 1',
        "x[0s]", "x offset 5m offset 5m", "-x[5m]", 'x{__name__="y"}', "x @ foo", "1h", "x[5m][5m]",
        "x + on(a) group_left(a) y", "x and on(a) group_left() y", "round(x, 1, 2)", "5m",
        "x bool y",
    ],
)  # fmt: skip
def test_what_prometheus_refuses_is_refused(text: str) -> None:
    with pytest.raises(BadData):
        parse(text)


@pytest.mark.parametrize("name", ["holt_winters", "histogram_fraction", "sort_by_label", "info"])
def test_a_function_that_we_do_not_have_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadData, match=name):
        parse(f"{name}(x)")


def test_operators_bind_as_in_prometheus() -> None:
    power = parse("2 ^ 3 ^ 2")
    assert isinstance(power, Binary)
    assert isinstance(power.right, Binary)
    sum_ = parse("1 + 2 * 3")
    assert isinstance(sum_, Binary)
    assert sum_.op == "+"
    assert parse("SUM(x) BY (a)") == parse("sum by (a) (x)")
    assert isinstance(parse("rate(x[5m])"), Call)
    assert parse("0x1F") == Number(31.0)


def test_a_query_that_is_too_long_or_too_deep_names_its_limit() -> None:
    with pytest.raises(LimitExceeded, match="query_length"):
        parse("x" * 20, Limits(query_length=10))
    with pytest.raises(LimitExceeded, match="query_depth"):
        parse("(" * 100 + "1" + ")" * 100)
    with pytest.raises(LimitExceeded, match="query_depth"):
        parse("a" + " + a" * 1000)
    parse("a" + " or a" * 100)


@pytest.mark.parametrize(
    "text", ["1", "5x", "1m1h", "1s1s", "", "m", "99999999999999999y", "2000y"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadData):
        duration_ms(text)


def test_a_duration_is_the_sum_of_its_units() -> None:
    assert duration_ms("1h30m5s10ms") == 5_405_010


def _range_of(times: Ints, values: Floats, window: int) -> Range:
    count = values.shape[1]
    frame = Frame(times, np.array([count]), np.zeros(1, np.intp), values)
    end = np.array([int(times[0, -1])], np.int64)
    return Range(Series([()]), frame, end, window * 1000)


def test_a_selector_is_matchers_alone() -> None:
    assert len(parse_selector('up{job="a",instance!="b"}')) == 3
    for text in ("up[5m]", "up + 1", "up offset 5m"):
        with pytest.raises(BadData):
            parse_selector(text)


@given(value=st.floats())
def test_a_number_reads_back_from_its_text(value: float) -> None:
    assert np.array_equal(float(number_text(value)), value, equal_nan=True)
    assert "e" not in number_text(value).lower().removeprefix("+inf").removeprefix("-inf")


def asked(small: Any, text: str, at_ms: int, limits: Limits | None = None) -> Result:
    engine = Engine(Reader(small.store), limits or Limits())
    return finished(engine.instant(text, at_ms, unlimited()))


def numbers(result: Result) -> list[float]:
    return [float(line.values[0]) for line in result.lines]


@pytest.fixture
def counters(small: Any) -> Any:
    """Two counters, one sample every 10 s: a grows by 1, b by 2 with a reset in the middle."""
    for step in range(40):
        value = 2.0 * (step if step < 20 else step - 20)
        small.put_columns(["a", "b"], [step * 10_000] * 2, [float(step), value])
    return small


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_every_function_that_is_parsed_is_there(name: str, counters: Any) -> None:
    example = {Type.VECTOR: "a", Type.SCALAR: "1", Type.RANGE: "a[1m]", Type.STRING: '"x"'}
    arguments = ", ".join(example[kind] for kind in SIGNATURES[name].takes)

    result = asked(counters, f"{name}({arguments})", 390_000)

    assert result.kind in ("vector", "scalar")


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_every_aggregation_that_is_parsed_is_there(name: str, counters: Any) -> None:
    kind = WITH_PARAMETER.get(name, Type.VECTOR)
    parameter = {Type.SCALAR: "1, ", Type.STRING: '"x", '}.get(kind, "")

    assert asked(counters, f"{name}({parameter}a)", 390_000).lines


def test_a_rate_is_per_second_and_survives_a_reset(counters: Any) -> None:
    assert numbers(asked(counters, "rate(a[1m])", 390_000)) == pytest.approx([0.1])
    # Of 2 a step, the step of the reset itself counts what the counter shows after it: 0.
    assert numbers(asked(counters, "increase(b[100s])", 250_000)) == pytest.approx([18.0])


def test_an_old_sample_is_not_there_after_the_lookback(counters: Any) -> None:
    assert numbers(asked(counters, "a", 390_000 + 300_000)) == [39.0]
    assert numbers(asked(counters, "a", 390_000 + 300_001)) == []


def test_a_stale_marker_ends_a_series(counters: Any) -> None:
    stale = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
    counters.put("a", 400_000, stale)

    assert numbers(asked(counters, "a", 400_000)) == []
    assert numbers(asked(counters, "count_over_time(a[1m])", 400_000)) == [6.0]


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    window=st.integers(1, 20),
)
def test_functions_over_a_window_are_those_of_its_samples(values: list[float], window: int) -> None:
    lane = np.arange(len(values), dtype=np.int64)[None, :] * 1000
    found = _range_of(lane, np.array([values]), window)
    inside = np.array(values[-window - 1 :])
    wanted = {
        "sum_over_time": inside.sum(),
        "min_over_time": inside.min(),
        "max_over_time": inside.max(),
        "avg_over_time": inside.mean(),
        "count_over_time": len(inside),
        "last_over_time": inside[-1],
        "stddev_over_time": inside.std(),
    }
    for name, value in wanted.items():
        result, present = finished(OVER_TIME[name](found))
        assert present[0, 0]
        assert result[0, 0] == pytest.approx(value, rel=1e-9, abs=1e-6)


def test_series_with_one_signature_on_both_sides_are_refused(counters: Any) -> None:
    with pytest.raises(QueryFailed, match="many-to-many"):
        asked(counters, '{__name__=~"a|b"} + on() {__name__=~"a|b"}', 390_000)


def test_a_query_over_its_budget_ends_with_the_name_of_the_limit(counters: Any) -> None:
    limits = Limits(query_samples=10)
    engine = Engine(Reader(counters.store), limits)
    with pytest.raises(LimitExceeded, match="query_samples"):
        finished(engine.instant("rate(a[10m])", 390_000, Budget(limits, lambda: 0.0, 1.0)))
    with pytest.raises(LimitExceeded, match="query_steps"):
        finished(engine.range("a", 0, 10**9, 1, unlimited()))
    with pytest.raises(QueryTimeout):
        finished(engine.instant("a", 0, Budget(limits, lambda: 2.0, 1.0)))


def test_cancelling_a_query_closes_it(counters: Any) -> None:
    steps = Engine(Reader(counters.store), Limits()).instant("sum(a) + sum(b)", 1, unlimited())
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
