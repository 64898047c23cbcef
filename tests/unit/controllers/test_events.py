"""Old Events go, the oldest first, some at a time."""

from datetime import timedelta

from controllers.events import BURST, EVERY_EVENT, SWEEP_S, OldEvents
from cubernetes.api.event import Event
from cubernetes.reconcile.plan import Again, Delete
from tests.carry import World
from tests.given import NOW, a_pod, an_event


def aged(name: str, minutes: int) -> Event:
    return an_event(a_pod(name), at=NOW - timedelta(minutes=minutes))


def test_an_event_that_nobody_repeated_for_an_hour_goes() -> None:
    world = World([aged("old", 61), aged("new", 59)])

    world.carry_out(OldEvents().plan(EVERY_EVENT, world.view(), NOW))

    assert [one.involved_object.name for one in world.all(Event)] == ["new"]


def test_beyond_the_limit_the_oldest_go_before_their_time() -> None:
    world = World([aged(f"e{minutes}", minutes) for minutes in range(6)])

    world.carry_out(OldEvents(count_max=2).plan(EVERY_EVENT, world.view(), NOW))

    assert sorted(one.involved_object.name for one in world.all(Event)) == ["e0", "e1"]


def test_a_thousand_new_events_are_one_sweep_and_nothing_stays_unswept() -> None:
    events, world = OldEvents(), World([aged("a", 1)])
    assert list(events.plan(EVERY_EVENT, world.view(), NOW)) == [Again(SWEEP_S)]

    soon = NOW + timedelta(seconds=10)
    assert list(events.plan(EVERY_EVENT, world.view(), soon)) == [Again(SWEEP_S - 10)]


def test_a_backlog_is_swept_in_portions() -> None:
    world = World([aged(f"e{place:04}", 61 + place) for place in range(BURST + 5)])

    plan = list(OldEvents().plan(EVERY_EVENT, world.view(), NOW))

    deletes = [one for one in plan if isinstance(one, Delete)]
    assert len(deletes) == BURST
    assert deletes[0].ref.name.startswith(f"e{BURST + 4:04}")
    assert plan[-1] == Again(1.0)
