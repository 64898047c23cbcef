"""The JSON of answers: what a client reads back is the number that was meant, as Go writes it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.query import Line, Result
from tsdb.serve.answers import number_json, number_texts, result_json, time_text

FLOATS = st.floats() | st.integers(-(10**6), 10**6).map(lambda n: n / 100) | st.just(-0.0)


def told_of(result: Result) -> Any:
    return json.loads(b"".join(result_json(result)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (1.5, "1.5"), (1e-6, "0.000001"),
        (9.9e-7, "9.9e-07"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-5, "0.00001"),
        (float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"),
        (123456789012345680.0, "123456789012345680"), (1 / 3, "0.3333333333333333"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_prometheus_writes_it(value: float, text: str) -> None:
    assert number_json(value) == text.encode()
    assert number_texts(np.array([value])) == [text.encode()]


@given(
    rows=st.lists(st.lists(FLOATS, min_size=1, max_size=6), max_size=5), at=st.integers(0, 2**42)
)
def test_a_matrix_reads_back(rows: list[list[float]], at: int) -> None:
    lines = [
        Line((("row", str(number)),), at + 15_000 * np.arange(len(row)), np.array(row))
        for number, row in enumerate(rows)
    ]

    told = told_of(Result("matrix", lines))

    assert [one["metric"] for one in told["result"]] == [dict(line.pairs) for line in lines]
    for one, row in zip(told["result"], rows, strict=True):
        read = [float(text) for _, text in one["values"]]
        assert np.array(read).tobytes() == np.where(np.isnan(row), np.nan, row).tobytes()
        assert [round(t * 1000) for t, _ in one["values"]] == [
            at + 15_000 * step for step in range(len(row))
        ]


@given(at=st.integers(-(2**42), 2**42))
def test_a_time_is_seconds_with_the_digits_it_needs(at: int) -> None:
    text = time_text(at).decode()

    assert round(float(text) * 1000) == at
    assert not text.endswith((".", ".0"))


def test_an_empty_result_is_an_empty_list() -> None:
    assert told_of(Result("vector", []))["result"] == []
    assert told_of(Result("matrix", []))["result"] == []
    assert told_of(Result("string", [], 'a"b'))["result"] == [0, 'a"b']
