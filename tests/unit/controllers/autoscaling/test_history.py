"""What autoscalers keep of their rounds, and what another policy would have done with it."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from controllers.autoscaling.bands import AutoScalers
from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from controllers.autoscaling.measured import question_of
from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.autoscaling.engine import (
    Goal,
    History,
    Pace,
    PodSample,
    Policy,
    Proposal,
    Step,
    decided,
    proposed,
)
from cubernetes.autoscaling.policies import plan_for
from cubernetes.autoscaling.record import entries_in, is_news, measured, numbers_of
from cubernetes.autoscaling.replay import Plan, Wish, replayed
from cubernetes.reconcile.plan import Keep, StillView
from cubernetes.reconcile.readings import Absent, Values, Why
from tests.given import NOW, a_deployment
from tests.unit.controllers.autoscaling.test_bands import an_autoscaler
from tests.unit.controllers.autoscaling.test_hpa import an_hpa, cpu, pods

CPU_50 = Goal(50, is_share=True)
UP = Pace(0, (Step("Pods", 4, 15), Step("Percent", 100, 15)))
DOWN = Pace(60, (Step("Percent", 100, 15),))
BAND = {"cpu": {"minPercentage": 40, "maxPercentage": 60}}
POLICY = Policy(1, 10, UP, DOWN)


def kept(planner: Any, scaler: Any, reading: Values | Absent, after_s: float = 0) -> list[Entry]:
    """Return the entries that a round of two pods keeps, read back from their samples."""
    at = NOW + timedelta(seconds=after_s)
    view = StillView(
        [scaler, a_deployment(replicas=2), *pods(2)],
        readings={question_of("cpu", "default"): reading},
    )
    actions = [one for one in planner.plan(scaler.ref, view, at) if isinstance(one, Keep)]
    return [one for keep in actions for one in read_back(keep, at)]


def read_back(keep: Keep, at: datetime) -> list[Entry]:
    return entries_in((one.labels, [(at.timestamp(), one.value)]) for one in keep.numbers)


@pytest.mark.parametrize(
    ("planner", "scaler"),
    [
        (HorizontalPodAutoscalers, lambda: an_hpa()),
        (AutoScalers, lambda: an_autoscaler(targetUtilization=BAND)),
    ],
)
def test_a_change_is_kept_with_all_that_it_was_decided_on(planner: Any, scaler: Any) -> None:
    (entry,) = kept(planner(), scaler(), cpu(1.0, 0.8))
    assert (entry.replicas, entry.wanted, entry.reason) == (2, 4, "Rescaled")
    (one,) = entry.measured
    assert (one.metric, one.target, one.is_share, one.proposed) == ("cpu", 50.0, True, 4)
    assert (one.used, one.requested, one.ready, one.missing) == (1800.0, 1000.0, 2, 0)


def test_a_refusal_is_kept_with_its_reason_and_the_same_again_is_not() -> None:
    planner, hpa, away = HorizontalPodAutoscalers(), an_hpa(), Absent(Why.UNREACHABLE, "gone")
    (entry,) = kept(planner, hpa, away)
    assert (entry.wanted, entry.reason) == (2, "FailedGetResourceMetric")
    assert entry.measured[0].proposed is None
    assert kept(planner, hpa, away, after_s=1) == []
    assert len(kept(planner, hpa, away, after_s=15)) == 1


def test_a_load_that_moves_is_news_and_noise_is_not() -> None:
    def entry(used: float) -> Entry:
        return Entry(at=NOW, replicas=1, wanted=1, measured=(Measured(
            metric="cpu", target=50, used=used, ready=1, proposed=1),))  # fmt: skip

    assert not is_news(entry(100), entry(104))
    assert is_news(entry(100), entry(106))


def test_an_entry_comes_back_from_its_samples_and_half_of_one_is_none() -> None:
    whole = Entry(
        at=NOW.replace(microsecond=0),
        replicas=3,
        wanted=4,
        minimum=1,
        maximum=9,
        reason="ScaleUpLimit",
        measured=(
            Measured(metric="cpu/main", target=50, is_share=True, used=7, requested=2, ready=3,
                     missing=1, unready=2, proposed=4),
            Measured(metric="pods/hits", target=100, used=0.5),
        ),
    )  # fmt: skip
    numbers = list(numbers_of(an_hpa().ref, whole))
    at_s = NOW.replace(microsecond=0).timestamp()
    assert entries_in((one.labels, [(at_s, one.value)]) for one in numbers) == [whole]
    assert entries_in((one.labels, [(at_s, one.value)]) for one in numbers[1:2]) == []


def lived(policy: Policy, loads: list[float]) -> list[Entry]:
    """Return what an autoscaler with this policy does about loads, a second each."""
    current, history, entries = 1, History(), []
    for second, load in enumerate(loads):
        now = NOW + timedelta(seconds=second)
        there = [PodSample(str(index), load / current, 100.0) for index in range(current)]
        result = proposed(current, there, CPU_50)
        assert isinstance(result, Proposal)
        decision = decided(policy, current, result.replicas, history, now)
        told = measured("cpu", CPU_50, there, result)
        entries.append(Entry(at=now, replicas=current, wanted=decision.replicas, measured=(told,)))
        current, history = decision.replicas, decision.history
    return entries


LOADS = [20.0] * 5 + [300.0] * 40 + [40.0] * 120


def test_the_same_policy_replayed_does_the_same() -> None:
    entries = lived(POLICY, LOADS)
    moments = replayed(entries, Plan(POLICY, {"cpu": Wish(CPU_50)}))
    assert [one.replicas for one in moments] == [one.wanted for one in entries]
    assert {one.replicas for one in moments} >= {1, 5, 6}


def test_another_policy_replayed_does_otherwise_within_its_bounds() -> None:
    entries = lived(POLICY, LOADS)
    slow = Policy(2, 4, Pace(0, (Step("Pods", 1, 15),)), Pace(30, ()))
    counts = [one.replicas for one in replayed(entries, Plan(slow, {"cpu": Wish(CPU_50)}))]
    assert (min(counts), max(counts), counts[5:7], counts[-1]) == (2, 4, [3, 3], 2)


def test_an_interval_holds_a_replay_as_it_holds_an_autoscaler() -> None:
    entries = lived(POLICY, LOADS)
    plan = Plan(POLICY, {"cpu": Wish(CPU_50)}, interval_s=100)
    moments = replayed(entries, plan)
    changes = [one.at for last, one in itertools.pairwise(moments)
               if one.replicas != last.replicas]  # fmt: skip
    assert changes[0] == NOW + timedelta(seconds=5)
    assert all(later - first >= timedelta(seconds=100)
               for first, later in itertools.pairwise(changes))  # fmt: skip


def test_what_is_not_known_is_held_in_a_replay_too() -> None:
    blind = [Entry(at=NOW + timedelta(seconds=n), replicas=3, wanted=3,
                   measured=(Measured(metric="cpu", target=50),)) for n in range(3)]  # fmt: skip
    assert [one.replicas for one in replayed(blind, Plan(POLICY, {"cpu": Wish(CPU_50)}))] == [3] * 3
    assert replayed([], Plan(POLICY)) == []


def test_plans_are_those_of_the_autoscalers() -> None:
    plan = plan_for(an_hpa())
    assert (plan.policy.maximum, plan.wishes) == (10, {"cpu": Wish(CPU_50)})
    banded = plan_for(an_autoscaler(targetUtilization=BAND))
    assert banded.wishes["cpu"].goal.target == 50
    assert banded.interval_s == 0
