"""Answers that people act on: exact windows, odd buckets and strings, what is told of series."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.protowire import varint
from tsdb.budget import unlimited
from tsdb.columns.labels import key_of_dict
from tsdb.columns.matching import Matcher, Op
from tsdb.errors import BadData
from tsdb.ingest import Ingest
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.promql.functions.sums import compensated_sum, mean
from tsdb.promql.lexer import string_of
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition, series_pairs
from tsdb.wire.remote import encode_request

NOW_MS = 1_000_000
EPSILON = 2.3e-16  # of a float, a little above


def put(small: Any, labels: dict[str, str], samples: list[tuple[int, float]]) -> None:
    finished(Ingest(small.store).write(encode_request([(key_of_dict(labels), samples)]), 2**60))


def asked(small: Any, query: str) -> list[float]:
    engine = Engine(Reader(small.store), Limits())
    lines = finished(engine.instant(query, NOW_MS, unlimited())).lines
    return [float(line.values[0]) for line in lines]


def window(small: Any, values: list[float]) -> None:
    put(small, {"__name__": "w"}, [(NOW_MS - 60_000 + at, v) for at, v in enumerate(values)])


@pytest.mark.parametrize(
    ("query", "values", "wanted"),
    [
        ("sum_over_time(w[5m])", [3.0, 1e90, 4.0, -1e90], 7.0),
        ("sum_over_time(w[5m])", [0.1] * 10, 1.0),
        ("avg_over_time(w[5m])", [0.1] * 7, 0.1),
        ("avg_over_time(w[5m])", [1.7e308, 1.7e308, 1.7e308], 1.7e308),
        ("stddev_over_time(w[5m])", [0.1] * 7, 0.0),
        ("stdvar_over_time(w[5m])", [1e17 + 64] * 9, 0.0),
        ("stdvar_over_time(w[5m])", [1e9, 1e9 + 1, 1e9 + 2], 2 / 3),
        ("sum_over_time(w[5m])", [math.inf, 1.0], math.inf),
        ("sum_over_time(w[5m])", [math.inf, -math.inf], math.nan),
        ("avg_over_time(w[5m])", [math.inf, math.inf], math.inf),
        ("stddev_over_time(w[5m])", [math.inf], math.nan),
    ],
)
def test_a_window_is_summed_without_loss(
    small: Any, query: str, values: list[float], wanted: float
) -> None:
    window(small, values)

    (found,) = asked(small, query)

    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


@given(values=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=40))
def test_a_compensated_sum_is_as_good_as_an_exact_one(values: list[float]) -> None:
    """But for what the errors of additions themselves round away: a square of the precision."""
    exact = math.fsum(values)
    slack = len(values) * EPSILON**2 * math.fsum(map(abs, values))

    assert compensated_sum(np.array([values]))[0] == pytest.approx(exact, rel=EPSILON, abs=slack)


@pytest.mark.parametrize("values", [(3, 1e90, 4, -1e90), (1e16, 1.0, -1e16, 1e-3, 7.0)])
def test_what_is_lost_in_a_large_number_comes_back_in_every_order(values: Sequence[float]) -> None:
    wanted = math.fsum(values)
    for order in itertools.permutations(values):
        assert compensated_sum(np.array([order]))[0] == wanted, order
        assert mean(np.array([order]), np.array([float(len(order))]))[0] == wanted / len(order)


@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, 1.7e308, 1.7e308],
        [1.7e308, 1.6e308, -1e308, 1e292, 1e292],
        [1.7e308, 1.7e308, 1e292, 1e292, 1e292, 1e292, 1e292, 1e292],
        [-1.7e308, -1.1e308],
    ],
)
def test_a_mean_is_right_where_the_sum_is_too_large_for_a_float(values: list[float]) -> None:
    wanted = float(sum(map(Fraction, values)) / len(values))
    rows = np.array([values, [1.0, *[0.0] * (len(values) - 1)]])
    with np.errstate(all="ignore"):  # as the engine does: too large is an answer
        found = mean(rows, np.array([len(values), 1.0]))

    assert list(found) == [pytest.approx(wanted, rel=EPSILON), 1.0]


def test_what_a_sum_too_large_has_rounded_away_is_part_of_its_mean() -> None:
    values = [1.7e308, 1.7e308, 0.9e292, 0.9e292, 0.9e292]
    with np.errstate(all="ignore"):
        found = mean(np.array([values]), np.array([5.0]))

    assert found[0] == float(sum(map(Fraction, values)) / 5)


@pytest.mark.parametrize(
    ("query", "value", "wanted"),
    [("avg(c)", 0.1, 0.1), ("stddev(c)", 0.1, 0.0), ("stdvar(c)", 0.1, 0.0),
     ("avg(c)", 1.7e308, 1.7e308), ("avg(c)", math.inf, math.inf)],
)  # fmt: skip
def test_a_fold_over_series_that_are_the_same_is_exact(
    small: Any, query: str, value: float, wanted: float
) -> None:
    for number in range(3):
        put(small, {"__name__": "c", "n": str(number)}, [(NOW_MS, value)])

    assert asked(small, query) == [wanted]


# What Prometheus 2.42 answers.
@pytest.mark.parametrize(
    ("buckets", "phi", "wanted"),
    [
        ({"1": 5.0, "2": 8.0}, "-1", -math.inf),
        ({"1": 5.0, "2": 8.0}, "2", math.inf),
        ({"1": 5.0, "2": 8.0}, "0.5", math.nan),
        ({"1": 5.0, "2": 8.0}, "NaN", math.nan),
        ({"+Inf": 8.0}, "-1", -math.inf),
        ({"+Inf": 8.0}, "0.5", math.nan),
        ({"1": 5.0, "2": 8.0, "+Inf": math.nan}, "0.1", 2.0),
        ({"1": math.nan, "2": math.nan, "+Inf": math.nan}, "0.5", 2.0),
        ({"1": 5.0, "2": math.nan, "4": 9.0, "+Inf": 10.0}, "0.1", math.nan),
        ({"1": 5.0, "2": 3.0, "+Inf": 10.0}, "0.5", 1.0),
        ({"1": 0.0, "2": 0.0, "+Inf": 0.0}, "0.5", math.nan),
    ],
)
def test_odd_histograms_have_prometheus_quantiles(
    small: Any, buckets: dict[str, float], phi: str, wanted: float
) -> None:
    for bound, count in buckets.items():
        put(small, {"__name__": "h", "le": bound}, [(NOW_MS, count)])

    (found,) = asked(small, f"histogram_quantile({phi}, h)")

    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


@pytest.mark.parametrize(
    ("quoted", "wanted"),
    [
        (r'"\xc3\xa9"', "é"),
        (r'"\303\251"', "é"),
        (r'"\u00e9\U0001f600"', "é\U0001f600"),
        (r'"\x41\101é"', "AAé"),
        (r'"\xff"', "\ufffd"),
        (r'"\a\b\f\n\r\t\v\\\""', '\a\b\f\n\r\t\v\\"'),
        (r"'\''", "'"),
        (r"`\x`", r"\x"),
    ],
)
def test_an_escape_means_what_it_means_in_go(quoted: str, wanted: str) -> None:
    assert string_of(quoted) == wanted


@pytest.mark.parametrize(
    "quoted", [r'"\400"', r'"\0"', r'"\8"', r'"\ud800"', r'"\x4"', r'"\q"', r'"\'"', "'\\\"'"]
)
def test_an_escape_that_go_refuses_is_refused(quoted: str) -> None:
    with pytest.raises(BadData, match="escape"):
        string_of(quoted)


def test_a_label_that_is_not_utf8_costs_its_series_alone(small: Any) -> None:
    sample = b"\x12\x0b\x09" + bytes(8) + b"\x10\x01"
    body = b"\x0a\x0d\x0a\x08__name__\x12\x01m\x0a\x06\x0a\x01a\x12\x01\xff" + sample
    good = encode_request([(key_of_dict({"__name__": "good"}), [(1000, 1.0)])])

    data = b"\x0a" + varint(len(body)) + body + good
    taken = finished(Ingest(small.store).write(data, 2**60))

    assert (taken.outcome.accepted, taken.outcome.bad_series) == (1, 1)
    assert "UTF-8" in taken.story()
    assert set(small.read()) == {"good"}


def test_samples_older_than_the_retention_are_refused_and_counted(
    open_small: Callable[..., Any],
) -> None:
    small = open_small(options=Options(retention_s=100.0))
    small.put("a", 1_000_000, 1.0)

    assert small.put("b", 900_000, 1.0).accepted == 1
    assert small.put("c", 899_999, 1.0).too_old == 1
    # The newest counts also where it comes with the old one, unless it is from the future.
    outcome = small.put_columns(["d", "e"], [2_000_000, 1_899_999], [1.0, 1.0])
    assert (outcome.accepted, outcome.too_old) == (1, 1)
    refs = np.array([small.store.ref(small.key(name)) for name in ("f", "g")])
    outcome = small.store.append(refs, np.array([10**9, 1_950_000]), np.ones(2), 2_000_000)
    assert (outcome.accepted, outcome.too_new, outcome.too_old) == (1, 1, 0)
    assert small.store.counters.outcome.too_old == 2


def test_series_are_not_told_before_their_first_sample_or_after_their_last(small: Any) -> None:
    small.put("late", 5000, 1.0)
    small.put("early", 1000, 1.0)
    small.put("early", 6000, 1.0)
    reader = Reader(small.store)
    every = [[Matcher("__name__", Op.LIKE, ".+")]]

    def told(first_ms: int, last_ms: int) -> list[bytes]:
        return finished(reader.series(every, first_ms, last_ms, unlimited()))

    assert told(0, 999) == []
    assert told(0, 4999) == [small.key("early")]
    assert len(told(0, 5000)) == 2
    assert told(5001, 9000) == told(6000, 9000) == [small.key("early")]
    assert told(6001, 9000) == []
    assert reader.label_names(0, 999) == []
    assert reader.label_values("__name__", 0, 999) == []
    assert reader.label_names(0, 1000) == ["__name__"]


def test_series_with_samples_in_strips_or_late_ones_are_told_from_these_on(small: Any) -> None:
    small.put_columns(["a"] * 200, list(range(1000, 1200)), [1.0] * 200)
    small.put("a", 900, 1.0)
    small.put("b", 5000, 1.0)
    reader = Reader(small.store)
    every = [[Matcher("__name__", Op.LIKE, ".+")]]

    for last_ms, wanted in ((899, []), (900, [b"a"]), (1100, [b"a"])):
        keys = finished(reader.series(every, 0, last_ms, unlimited()))
        assert [key[-1:] for key in keys] == wanted


# The verdict of Prometheus 2.42 on each, by scraping it.
TAKEN = [
    "  # hello", "\t# HELP m x", "#", "#x", "# HELP", "m{} 1", 'm{a="b",} 1', 'm{a="b"c="d"} 1',
    "m inf", "m NaN", "m iNf", "m 1 0", "m 1 9223372036854775807", 'm{a="b\\qc"} 1', 'm {a="b"} 1',
    'm{ a = "b" , c = "d" } 1', 'm{a="b"}1', "m\t1\t5", "m 1  ", ":m:x 1", 'm{a=""} 1',
    'm{a="}"} 1', "m +5", "m .5", "m 5.", "#TYPE m counter", "#\tHELP\tm\tx", "  ", "",
]  # fmt: skip
REFUSED = [
    "  m 1", "# TYPE m foo", "# TYPE m COUNTER", "# TYPE m", "# HELP 1x y", 'm{a="b" 1',
    'm{a="b",a="c"} 1', 'm{__name__="x"} 1', '{__name__="x"} 1', "{} 1", 'm{,a="b"} 1',
    'm{a="b",,c="d"} 1', "m{,} 1", "m \u0661", "m 1 \u0661", 'm{\uff41="b"} 1', "m 1_0", "m 0x10",
    "m ", "m 1 -5", "m 1 +5", "m 1 1e3", "m 1 99999999999999999999", "m 1 2 3", "m 1\r",
    "m\x0b1", "m\u00a01", "1m 1", "m-x 1", 'm{a:b="x"} 1', 'm 1 # {a="b"} 1', "m 1 # x",
    'm{a="b"} 1 }', "m{a=b} 1", "m{a='b'} 1", "m 1 n 2", "# TYPE m counter extra", "\x0c",
]  # fmt: skip


def must_be_read(line: str) -> None:
    for series in finished(parse_exposition(line, 10)).series:
        series_pairs(series, Limits())


@pytest.mark.parametrize("line", TAKEN)
def test_a_line_that_prometheus_takes_is_taken(line: str) -> None:
    must_be_read(f"{line}\nn 1\n")


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_prometheus_refuses_is_refused(line: str) -> None:
    with pytest.raises(BadData):
        must_be_read(f"{line}\nn 1\n")
