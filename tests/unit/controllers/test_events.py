"""Old Events go, the oldest first, some at a time."""

from datetime import timedelta

import pytest

from controllers.cleanup.events import BURST, EVERY_EVENT, SWEEP_S, OldEvents
from cubernetes.api.core.event import Event
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Delete, RequeueAfter
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
    assert list(events.plan(EVERY_EVENT, world.view(), NOW)) == [RequeueAfter(SWEEP_S)]

    soon = NOW + timedelta(seconds=10)
    assert list(events.plan(EVERY_EVENT, world.view(), soon)) == [RequeueAfter(SWEEP_S - 10)]


def test_a_backlog_is_swept_in_portions() -> None:
    world = World([aged(f"e{place:04}", 61 + place) for place in range(BURST + 5)])

    plan = list(OldEvents().plan(EVERY_EVENT, world.view(), NOW))

    deletes = [one for one in plan if isinstance(one, Delete)]
    assert len(deletes) == BURST
    assert deletes[0].ref.name.startswith(f"e{BURST + 4:04}")
    assert plan[-1] == RequeueAfter(1.0)


@pytest.mark.parametrize("ahead_s", [-86_400, -7200, -100, 100, 7200, 86_400])
def test_how_old_an_event_is_is_judged_by_when_it_was_seen(ahead_s: int) -> None:
    """A node whose clock is off by a day has its Events kept for an hour as any other."""
    events, world = OldEvents(), World([aged("other", 0)])
    list(events.plan(EVERY_EVENT, world.view(), NOW))
    world.put(an_event(a_pod("odd"), at=NOW + timedelta(seconds=ahead_s)))
    names = []
    for minute in (1, 59, 62):
        now = NOW + timedelta(minutes=minute)
        world.carry_out(events.plan(EVERY_EVENT, world.view(), now))
        names.append(sorted(one.involved_object.name for one in world.all(Event)))

    assert names == [["odd", "other"], ["odd", "other"], []]
    assert events.seen is not None
    list(events.plan(EVERY_EVENT, world.view(), NOW + timedelta(minutes=63)))
    assert events.seen == {}


def test_an_event_that_is_told_again_has_another_hour() -> None:
    events, world = OldEvents(), World([aged("a", 0)])
    list(events.plan(EVERY_EVENT, world.view(), NOW))
    (one,) = world.all(Event)
    # By the clock of its writer nothing has passed.
    world.put(replaced(one, count=2))
    for minute in (50, 100):
        now = NOW + timedelta(minutes=minute)
        world.carry_out(events.plan(EVERY_EVENT, world.view(), now))

    assert len(world.all(Event)) == 1


def test_what_the_first_sweep_finds_in_the_future_is_of_now() -> None:
    events, world = OldEvents(), World([aged("future", -600)])
    list(events.plan(EVERY_EVENT, world.view(), NOW))

    world.carry_out(events.plan(EVERY_EVENT, world.view(), NOW + timedelta(minutes=61)))

    assert world.all(Event) == []
