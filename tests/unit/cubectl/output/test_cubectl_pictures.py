"""Replicas and loads over time as pictures: scales, pieces of time, bounds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cubectl.verbs.scaling.picture import HEIGHT, WIDTH, drawn, sparks, spread

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds(*moments: float) -> list[datetime]:
    return [AT + timedelta(seconds=one) for one in moments]


def test_a_picture_has_a_scale_a_floor_and_its_first_and_last_time() -> None:
    lines = drawn(seconds(0, 5, 63), [1, 3, 2])

    assert lines == [
        f"    3 │{' ' * 5}{'█' * 58}",
        f"    2 │{' ' * 5}{'█' * 59}",
        f"    1 │{'█' * 64}",
        f"      └{'─' * 64}",
        f"       01-01 12:00:00{' ' * 36}01-01 12:01:03",
    ]
    assert drawn([], []) == []


@pytest.mark.parametrize(
    ("most", "scale"),
    [
        (0, [1]),
        (1, [1]),
        (8, [8, 7, 6, 5, 4, 3, 2, 1]),
        (9, [10, 8, 6, 4, 2]),
        (16, [16, 14, 12, 10, 8, 6, 4, 2]),
        (17, [18, 15, 12, 9, 6, 3]),
    ],
)
def test_a_picture_is_at_most_eight_lines_high(most: int, scale: list[int]) -> None:
    lines = drawn(seconds(0, 1), [0, most], width=2)[:-2]

    assert [int(line.split("│")[0]) for line in lines] == scale
    assert len(lines) <= HEIGHT
    assert [line.split("│")[1] for line in lines] == [" █" if most else ""] * len(lines)


def test_a_bar_reaches_the_line_that_it_is_above_the_last_one_of() -> None:
    lines = drawn(seconds(0, 1, 2), [8, 9, 16], width=3)[:-2]

    assert [line.split("│")[1] for line in lines] == ["  █"] * 3 + [" ██"] + ["███"] * 4


def test_a_load_at_its_goal_is_half_high_and_twice_the_goal_is_the_top() -> None:
    ratios = [0.0, 0.25, 0.5, 1.0, 1.5, 1.75, 2.0, 9.0, -1.0, None]

    assert sparks(seconds(*range(10)), ratios, width=10) == " ▁▂▄▆▇██  "
    assert sparks(seconds(0, 1, 2), [1.0, None, 1.0], width=3) == "▄ ▄"
    assert len(sparks(seconds(0, 1), [1.0, 1.0])) == WIDTH == 64


@pytest.mark.parametrize(
    ("moments", "values", "width", "pieces"),
    [
        ([0, 1], [1, 2], 4, [1, 1, 1, 2]),
        ([0, 0.5], [1, 2], 4, [1, 1, 2, 2]),
        ([0, 1, 2, 3, 4], [5, 1, 2, 1, 3], 2, [5, 3]),
        ([0, 2, 3, 9, 10], [3, 0, 1, 7, 4], 10, [3, 3, 0, 1, 1, 1, 1, 1, 1, 7]),
        ([0], [0.5], 3, [0.5, 0.5, 0.5]),
        ([0, 1], [-2, -1], 1, [-1]),
    ],
)
def test_each_piece_of_time_has_the_most_of_it_or_what_was_before(
    moments: Sequence[float], values: Sequence[float], width: int, pieces: Sequence[float]
) -> None:
    assert spread(seconds(*moments), values, width) == pieces


def test_each_value_has_its_time() -> None:
    with pytest.raises(ValueError, match="zip"):
        spread(seconds(0, 1), [1], 2)
