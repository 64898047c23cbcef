"""The life of a GPU job, pair by pair."""

from itertools import product

import pytest

from cubernetes.api.gpu.gpujob import ENDED, Phase
from gpu.machine import END_OF, ENDS, LIVE, TABLE, Effect, Event, Impossible, step

PHASES: tuple[Phase, ...] = ("Pending", *LIVE, *ENDS)
# How far a phase is: no news leads to one that is less far, but for a loss.
RANK: dict[Phase, int] = {"Pending": 0, "Submitting": 1, "Queued": 2, "Running": 3, "Cancelling": 4}
# What our own code never makes of each phase.
IMPOSSIBLE: dict[Phase, set[Event]] = {
    "Pending": set(Event) - {Event.ADMITTED, Event.CANCEL},
    "Submitting": {Event.ADMITTED},
    "Queued": {Event.ADMITTED, Event.REFUSED},
    "Running": {Event.ADMITTED, Event.REFUSED},
    "Cancelling": {Event.ADMITTED, Event.REFUSED},
    **{end: {Event.ADMITTED} for end in ENDS},
}


def test_every_pair_is_told_or_impossible() -> None:
    told = {(phase, event) for phase, event in product(PHASES, Event) if (phase, event) in TABLE}
    none = {(phase, event) for phase, events in IMPOSSIBLE.items() for event in events}
    assert told | none == set(product(PHASES, Event))
    assert not told & none


@pytest.mark.parametrize(
    ("phase", "event"), [(phase, one) for phase in PHASES for one in sorted(IMPOSSIBLE[phase])]
)
def test_an_impossible_pair_says_so(phase: Phase, event: Event) -> None:
    with pytest.raises(Impossible, match=event.value):
        step(phase, event)


@pytest.mark.parametrize(
    ("phase", "event"), list(product(ENDS, sorted(set(Event) - {Event.ADMITTED})))
)
def test_an_end_is_final(phase: Phase, event: Event) -> None:
    assert step(phase, event).phase == phase
    assert step(phase, event).effect is Effect.NOTHING


@pytest.mark.parametrize(("phase", "event"), sorted(TABLE))
def test_a_phase_goes_back_only_by_a_loss(phase: Phase, event: Event) -> None:
    """W40: a site that is begun anew may tell an older state; a lost job alone begins again."""
    after = step(phase, event)
    if after.effect is Effect.RETRY:
        assert event in (Event.LOST, Event.ABSENT)
        assert after.phase == "Pending"
    else:
        assert RANK.get(after.phase, 5) >= RANK.get(phase, 5)


def test_only_what_the_site_does_not_know_is_sent() -> None:
    sending = [pair for pair, after in TABLE.items() if after.effect is Effect.SUBMIT]
    assert sending == [("Submitting", Event.ABSENT)]


@pytest.mark.parametrize("phase", LIVE)
@pytest.mark.parametrize("event", END_OF)
def test_w40_a_job_ends_as_its_site_says(phase: Phase, event: Event) -> None:
    """W40: a job that failed or was cancelled at its site was told as done."""
    assert step(phase, event).phase == END_OF[event]


@pytest.mark.parametrize("phase", ["Submitting", "Queued", "Running"])
def test_w41_cancelling_asks_the_site(phase: Phase) -> None:
    """W41: deleting a job did nothing at its site."""
    asked = step(phase, Event.CANCEL)
    assert (asked.phase, asked.effect) == ("Cancelling", Effect.CANCEL)
    assert step("Cancelling", Event.RUNNING).effect is Effect.CANCEL
    assert step("Cancelling", Event.ABSENT).phase == "Cancelled"


def test_every_end_is_reached_from_the_beginning() -> None:
    seen: set[Phase] = {"Pending"}
    while True:
        more = {after.phase for (phase, _), after in TABLE.items() if phase in seen} | seen
        if more == seen:
            break
        seen = more
    assert seen == set(PHASES)
    assert set(ENDS) == ENDED
