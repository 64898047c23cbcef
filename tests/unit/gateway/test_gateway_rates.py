"""Rates: what a gateway's Lease says of the roads that were asked for lately."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.rates import REPORT_BYTES_MAX, ROADS_MAX, Tally, rates_between


def a_road(name: str) -> tuple[str, str, str]:
    return name, "/", f"default/{name}:80"


def test_a_report_has_the_rates_of_its_span_alone_the_busiest_road_first() -> None:
    before = {a_road("a"): Tally(100, 10, 5.0), a_road("c"): Tally(7, 0, 1.0)}
    after = {
        a_road("a"): Tally(110, 12, 5.25),
        a_road("b"): Tally(400, 0, 1.0),
        a_road("c"): Tally(7, 0, 1.0),
    }

    assert json.loads(rates_between(before, after, 10.0)) == [
        [*a_road("b"), 40.0, 0.0, 2.5],
        [*a_road("a"), 1.0, 0.2, 25.0],
    ]


def test_where_nobody_asks_the_report_is_empty_and_stays_so() -> None:
    some = {a_road("a"): Tally(100, 10, 5.0)}

    assert rates_between(some, some, 10.0) == ""


@given(st.integers(0, 200), st.integers(0, 1000))
def test_a_report_is_json_of_a_size_that_a_lease_bears(road_count: int, path_chars: int) -> None:
    roads = {(f"h{i}", "/" + "é" * path_chars, "s"): Tally(i + 1) for i in range(road_count)}
    report = rates_between({}, roads, 1.0)

    assert len(report.encode()) <= REPORT_BYTES_MAX + 2
    rows = json.loads(report or "[]")
    assert len(rows) <= ROADS_MAX
    assert [row[0] for row in rows] == [f"h{road_count - 1 - i}" for i in range(len(rows))]
