"""Rounds: each user's watches in turn, nodes first, and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from apiserver.fairness.rounds import CLASS_TURNS, Rounds

NODES, USERS = 0, 1


def all_of(rounds: Rounds[str]) -> list[str]:
    found = []
    while (one := rounds.next()) is not None:
        found.append(one)
    return found


def test_a_crowd_of_one_user_is_not_before_others() -> None:
    rounds: Rounds[str] = Rounds(2)
    for number in range(1000):
        rounds.add(USERS, "crowd", f"crowd-{number}")
    rounds.add(USERS, "single", "single")
    order = all_of(rounds)
    assert order.index("single") <= 1
    assert len(order) == 1001


def test_users_take_turns() -> None:
    rounds: Rounds[str] = Rounds(2)
    for user in "abc":
        for number in range(3):
            rounds.add(USERS, user, f"{user}{number}")
    assert all_of(rounds) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_nodes_are_first_and_users_have_one_turn_in_four() -> None:
    rounds: Rounds[str] = Rounds(2)
    for number in range(100):
        rounds.add(USERS, "jane", f"jane-{number}")
        rounds.add(NODES, f"n{number}", f"n{number}")
    first = all_of(rounds)[:100]
    assert sum(one.startswith("jane") for one in first) == 100 // CLASS_TURNS


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.sampled_from("ab"), st.integers(0, 9)))
)
def test_whoever_is_added_comes_once(plan: list[tuple[bool, int, str, int]]) -> None:
    rounds: Rounds[tuple[int, str, int]] = Rounds(2)
    waiting = set()
    for is_added, of, user, number in plan:
        one = (of, user, number)
        if is_added:
            rounds.add(of, user, one)
            waiting.add(one)
        else:
            rounds.discard(one)
            waiting.discard(one)
        assert len(rounds) == len(waiting)
    taken = []
    while (next_one := rounds.next()) is not None:
        taken.append(next_one)
    assert sorted(taken) == sorted(waiting)
