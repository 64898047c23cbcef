"""Spans of time on the command line: as Go writes them, and none without an end."""

import pytest

from cubectl.session import Misused
from cubectl.verb import span_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("30s", 30.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h2m3s", 3723.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("250us", 0.00025),
    ],
)
def test_a_span_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert span_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inf",
        "nan",
        "-5s",
        "1e9",
        "s",
        "5x",
        "1m 30s",
        "m5",
        "5s5",
        "٣s",
        "9" * 30 + "h",
        "9" * 99,
    ],
)
def test_what_is_no_span_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(Misused, match=r"such as 500ms|longer than"):
        span_s(text)
