"""How an informer follows the API: a table of its states, and what each event leads to.

LISTING    knows nothing yet: asks for everything, as of now.
OPENING    knows all up to a revision: asks for what came after.
WATCHING   changes come in.
RELISTING  the history after its revision is gone: asks for everything, not older than that.

A step that pauses waits longer with each failure since the last change that came in. Also a
compacted history pauses: all who are behind would otherwise list at the same moment.
"""

from enum import Enum, auto
from typing import NamedTuple


class State(Enum):
    LISTING = auto()
    OPENING = auto()
    WATCHING = auto()
    RELISTING = auto()


class Event(Enum):
    LISTED = auto()  # the list is there and applied
    CHANGED = auto()  # a change or a bookmark came in
    ENDED = auto()  # the server closed the watch in good order, after a while
    BROKE = auto()  # trouble or a refusal; also a watch that ends at once
    EXPIRED = auto()  # 410: the history, or the next page of a list, is compacted; or not yet there


class Step(NamedTuple):
    state: State
    is_paused: bool = False


TABLE: dict[tuple[State, Event], Step] = {
    (State.LISTING, Event.LISTED): Step(State.OPENING),
    (State.LISTING, Event.BROKE): Step(State.LISTING, is_paused=True),
    (State.LISTING, Event.EXPIRED): Step(State.LISTING, is_paused=True),
    (State.OPENING, Event.CHANGED): Step(State.WATCHING),
    (State.OPENING, Event.ENDED): Step(State.OPENING),
    (State.OPENING, Event.BROKE): Step(State.OPENING, is_paused=True),
    (State.OPENING, Event.EXPIRED): Step(State.RELISTING, is_paused=True),
    (State.WATCHING, Event.CHANGED): Step(State.WATCHING),
    (State.WATCHING, Event.ENDED): Step(State.OPENING),
    (State.WATCHING, Event.BROKE): Step(State.OPENING, is_paused=True),
    (State.WATCHING, Event.EXPIRED): Step(State.RELISTING, is_paused=True),
    (State.RELISTING, Event.LISTED): Step(State.OPENING),
    (State.RELISTING, Event.BROKE): Step(State.RELISTING, is_paused=True),
    (State.RELISTING, Event.EXPIRED): Step(State.RELISTING, is_paused=True),
}


class IllegalTransition(Exception):
    """An event that cannot happen in this state: a bug."""


def step(state: State, event: Event) -> Step:
    """Raises: IllegalTransition."""
    found = TABLE.get((state, event))
    if found is None:
        raise IllegalTransition(f"{event.name} in {state.name}")
    return found
