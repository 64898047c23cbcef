"""How benches sum up: the exponent of growth is found whatever the unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ground.report import exponent

SIZES = (1000, 10_000, 50_000)


@given(st.floats(0.001, 1000), st.floats(-1, 3))
def test_a_power_has_its_own_exponent(scale: float, power: float) -> None:
    found = exponent([(size, scale * size**power) for size in SIZES])
    assert found == pytest.approx(power, abs=1e-6)


def test_noise_about_a_line_is_about_linear() -> None:
    assert exponent([(1000, 1.1), (10_000, 9.0), (50_000, 52.0)]) == pytest.approx(1, abs=0.05)
