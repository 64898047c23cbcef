"""Turns: each class has its own units, each flow its part of them, and turns go round the flows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.web.shares import IDLE_FLOWS_MAX, FlowFull, Share, Shares, Ticket

SHARE = Share(units=8, flow_units=4, flow_waiting_count=1000)


def a_class(share: Share = SHARE) -> Shares[str]:
    return Shares({"users": share})


def arrive(shares: Shares[str], *users: str, units: int = 1) -> list[Ticket]:
    return [shares.arrived("users", user, units) for user in users]


def users_of(tickets: list[Ticket]) -> list[str]:
    return [ticket.flow.name for ticket in tickets]


def test_one_flow_never_holds_all() -> None:
    shares = a_class()
    arrive(shares, *["crowd"] * 450)
    assert len(list(shares.turns())) == SHARE.flow_units
    arrive(shares, "single")
    assert users_of(list(shares.turns())) == ["single"]


def test_turns_go_round_the_flows_whatever_their_numbers() -> None:
    """450 requests of one user wait, and another user's hundred: neither waits for the other."""
    shares = a_class(Share(units=1, flow_units=1, flow_waiting_count=1000))
    arrive(shares, *["crowd"] * 450)
    served: list[str] = []
    arrive(shares, *["single"] * 100)
    under_way = list(shares.turns())
    while under_way:
        served += users_of(under_way)
        for ticket in under_way:
            shares.left(ticket)
        under_way = list(shares.turns())
    assert len(served) == 550
    # Of the first 200 turns each had one in two.
    assert served[:200].count("single") in (99, 100)


def test_who_comes_later_gets_the_next_turn_but_one_at_the_latest() -> None:
    shares = a_class(Share(units=1, flow_units=1, flow_waiting_count=1000))
    arrive(shares, *["crowd"] * 450)
    (first,) = shares.turns()
    arrive(shares, "single")
    shares.left(first)
    (second,) = shares.turns()
    shares.left(second)
    assert "single" in users_of([second, *shares.turns()])


def test_who_takes_more_units_waits_longer_for_the_next_turn() -> None:
    shares = a_class(Share(units=4, flow_units=4, flow_waiting_count=1000))
    arrive(shares, *["lists"] * 50, units=4)
    arrive(shares, *["gets"] * 50)
    turns: list[str] = []
    for _ in range(40):
        under_way = list(shares.turns())
        turns += users_of(under_way)
        for ticket in under_way:
            shares.left(ticket)
    counted = Counter(turns[:40])
    assert 3 <= counted["gets"] / counted["lists"] <= 5


def test_a_wish_for_much_is_not_overtaken_for_ever() -> None:
    shares = a_class(Share(units=4, flow_units=4, flow_waiting_count=1000))
    small = arrive(shares, "a", "b")
    assert users_of(list(shares.turns())) == ["a", "b"]
    (large,) = arrive(shares, "c", units=4)
    for number in range(20):
        arrive(shares, f"later-{number}")
    assert list(shares.turns()) == []
    for ticket in small:
        shares.left(ticket)
    assert next(shares.turns()) is large


def test_a_class_is_not_used_up_by_another() -> None:
    shares = Shares({"nodes": SHARE, "users": SHARE})
    for number in range(100):
        shares.arrived("users", f"u{number}", 1)
    assert len(list(shares.turns())) == SHARE.units
    shares.arrived("nodes", "n1", 1)
    assert users_of(list(shares.turns())) == ["n1"]


def test_the_first_class_is_first() -> None:
    shares = Shares({"nodes": SHARE, "users": SHARE})
    shares.arrived("users", "jane", 1)
    shares.arrived("nodes", "n1", 1)
    assert users_of(list(shares.turns())) == ["n1", "jane"]


def test_a_flow_has_a_limit_of_those_that_wait() -> None:
    shares = a_class(Share(units=1, flow_units=1, flow_waiting_count=3))
    arrive(shares, "jane")
    list(shares.turns())
    arrive(shares, *["jane"] * 3)
    with pytest.raises(FlowFull):
        arrive(shares, "jane")
    arrive(shares, "joe")


def test_more_than_a_flow_may_have_is_taken_as_that_many() -> None:
    shares = a_class()
    arrive(shares, "jane", units=1000)
    (ticket,) = shares.turns()
    assert ticket.units == shares.held_units == SHARE.flow_units


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.booleans(), st.integers(0, 30)),
    max_size=60,
)


@given(steps)
def test_whoever_comes_and_goes_limits_hold_and_nothing_is_left(
    plan: list[tuple[str, int, bool, int]],
) -> None:
    shares = a_class()
    there: list[Ticket] = []
    for user, units, is_leaving, index in plan:
        if is_leaving and there:
            shares.left(there.pop(index % len(there)))
        else:
            there += arrive(shares, user, units=units)
        list(shares.turns())
        held = [ticket for ticket in there if ticket.is_held]
        assert shares.held_units == sum(ticket.units for ticket in held) <= SHARE.units
        for name in "abc":
            own = sum(ticket.units for ticket in held if ticket.flow.name == name)
            assert own <= SHARE.flow_units
        # Whoever could run does: units are free only where nobody's first wish fits.
        assert list(shares.turns()) == []
    while there:
        shares.left(there.pop())
        list(shares.turns())
    assert (shares.held_units, shares.waiting_count, shares.flow_count) == (0, 0, 0)


def test_who_asks_again_and_again_is_not_always_before_who_waits_with_more() -> None:
    """Three users, of whom two have one request at a time: none has less than a third of it."""
    shares = a_class(Share(units=1, flow_units=1, flow_waiting_count=1000))
    arrive(shares, *["many"] * 100)
    arrive(shares, "one", "another")
    served: Counter[str] = Counter()
    under_way = list(shares.turns())
    for _ in range(90):
        (ticket,) = under_way
        served[ticket.flow.name] += 1
        shares.left(ticket)
        # As at the gate: whoever waits has the units before the client has its answer.
        under_way = list(shares.turns())
        arrive(shares, ticket.flow.name)
    assert all(29 <= served[user] <= 31 for user in ("many", "one", "another")), served


def test_flows_that_are_remembered_have_their_limit() -> None:
    shares = a_class(Share(units=1, flow_units=1, flow_waiting_count=1000))
    count = IDLE_FLOWS_MAX + 10
    arrive(shares, *(f"user-{number}" for number in range(count + 2)))
    (under_way,) = shares.turns()
    for _ in range(count):
        shares.left(under_way)
        (under_way,) = shares.turns()
    # One waits, one holds what there is.
    assert shares.flow_count == IDLE_FLOWS_MAX + 2
    shares.left(under_way)
    (under_way,) = shares.turns()
    assert shares.flow_count == 1
