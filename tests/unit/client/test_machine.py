"""The informer's table: it gets everywhere, and never asks to go back in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.client.machine import TABLE, Event, IllegalTransition, State, step


def test_every_state_is_reached_from_the_first_and_can_be_left() -> None:
    reached = {State.LISTING}
    for _ in State:
        reached |= {one.state for (state, _), one in TABLE.items() if state in reached}

    assert reached == set(State)
    for state in State:
        assert any(one.state is not state for (begin, _), one in TABLE.items() if begin is state)


@given(events=st.lists(st.sampled_from(Event), max_size=30))
def test_once_listed_it_never_asks_for_a_list_that_may_be_older(events: list[Event]) -> None:
    state, has_listed = State.LISTING, False
    for event in events:
        if (state, event) not in TABLE:
            continue
        state = step(state, event).state
        has_listed = has_listed or event is Event.LISTED
        assert not (has_listed and state is State.LISTING)


def test_every_failure_pauses_and_no_success_does() -> None:
    for (_, event), one in TABLE.items():
        assert one.is_paused == (event in (Event.BROKE, Event.EXPIRED))


def test_an_event_that_cannot_be_is_a_bug() -> None:
    with pytest.raises(IllegalTransition, match="LISTED in WATCHING"):
        step(State.WATCHING, Event.LISTED)
