"""What queues have used."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.shares import HALF_LIFE_S, LASTING_S, Span, usage
from tests.unit.gpu.gpuworld import NOW, after

spans = st.lists(
    st.builds(
        lambda gpus, since_s, length_s: Span(
            gpus, after(since_s), None if length_s is None else after(since_s + length_s)
        ),
        st.integers(1, 8),
        st.floats(0, 5000),
        st.none() | st.floats(0, 5000),
    ),
    max_size=6,
)


@given(spans, st.floats(0, 6000), st.floats(0, 6000))
def test_what_was_stored_in_between_changes_nothing(
    given_spans: list[Span], first_s: float, second_s: float
) -> None:
    """A program that was begun anew counts as if it had never ended."""
    middle, end = NOW + timedelta(seconds=first_s), NOW + timedelta(seconds=first_s + second_s)
    stored = usage(0.0, NOW, given_spans, middle)
    assert usage(stored, middle, given_spans, end) == pytest.approx(
        usage(0.0, NOW, given_spans, end), abs=1e-6
    )


def test_half_is_forgotten_in_an_hour() -> None:
    assert usage(100.0, NOW, [], after(HALF_LIFE_S)) == pytest.approx(50.0)


def test_a_short_run_counts_its_gpu_seconds() -> None:
    assert usage(0.0, NOW, [Span(4, NOW, after(10))], after(10)) == pytest.approx(40.0, rel=0.01)


def test_a_gpu_that_is_held_for_ever_comes_to_a_bound() -> None:
    assert usage(0.0, NOW, [Span(1, NOW)], after(100 * HALF_LIFE_S)) == pytest.approx(LASTING_S)


def test_nothing_is_counted_before_anything_was_used() -> None:
    assert usage(0.0, None, [], NOW) == 0.0
    assert usage(0.0, None, [Span(2, after(5))], NOW) == 0.0
