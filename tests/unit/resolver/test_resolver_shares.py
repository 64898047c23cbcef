"""Places of which one source leaves some to others."""

from hypothesis import given
from hypothesis import strategies as st

from resolver.shares import Shares


def taken(shares: Shares, source: str) -> int:
    count = 0
    while shares.take(source):
        count += 1
    return count


def test_a_source_alone_gets_half_and_each_that_comes_as_many_as_are_left() -> None:
    shares = Shares(64)
    assert [taken(shares, source) for source in ("a", "b", "c")] == [32, 16, 8]


def test_the_last_place_is_given_and_then_none() -> None:
    shares = Shares(3)
    assert [shares.take(source) for source in "abcd"] == [True, True, True, False]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_whatever_is_taken_and_given_back_places_are_neither_lost_nor_made(
    steps: list[tuple[bool, str]],
) -> None:
    shares, held = Shares(8), dict.fromkeys("abc", 0)
    for is_taken, source in steps:
        if is_taken:
            is_due = held[source] < 8 - sum(held.values())
            assert shares.take(source) == is_due
            held[source] += is_due
        elif held[source]:
            shares.give_back(source)
            held[source] -= 1
    assert len(shares) == sum(1 for count in held.values() if count)
