"""Rates: a burst, then so many a second; what found nothing is counted."""

from hypothesis import given
from hypothesis import strategies as st

from apiserver.fairness.rate import Rate


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 20))
def test_never_more_than_the_burst_and_so_many_a_second(pauses: list[float], burst: int) -> None:
    rate = Rate(per_s=4.0, burst=burst)
    now, allowed_count = 0.0, 0
    for pause_s in pauses:
        now += pause_s
        allowed_count += rate.allows(now)
        assert allowed_count <= burst + 4.0 * now + 1e-6
    assert rate.missed() == len(pauses) - allowed_count
    assert rate.missed() == 0


def test_who_waits_is_allowed_again() -> None:
    rate = Rate(per_s=2.0, burst=1)
    assert [rate.allows(0), rate.allows(0.4), rate.allows(0.5), rate.allows(0.6)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    rate = Rate(per_s=1.0, burst=1)
    assert rate.allows(100)
    assert not rate.allows(50)
    assert not rate.allows(50.5)
