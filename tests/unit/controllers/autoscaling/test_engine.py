"""The engine of autoscalers: a table from Kubernetes' documentation and algorithm, then laws."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.autoscaling.engine import (
    Decision,
    Goal,
    History,
    NoProposal,
    Pace,
    PodSample,
    Policy,
    Proposal,
    Step,
    bounded,
    decided,
    proposed,
)
from tests.given import NOW

CPU_50 = Goal(50, is_share=True)
CPU_100 = Goal(100, is_share=True)
VALUE_100 = Goal(100)
UP = Pace(0, (Step("Pods", 4, 15), Step("Percent", 100, 15)))
DOWN = Pace(300, (Step("Percent", 100, 15),))
USUAL = Policy(1, 100, UP, DOWN)


def pods(
    *used: float | None, request: float = 100, unready: Sequence[float | None] = ()
) -> list[PodSample]:
    """Return pods that use so many milli-cores; None has no sample."""
    ready = [PodSample(f"p{index}", one, request) for index, one in enumerate(used)]
    return ready + [
        PodSample(f"u{index}", one, request, is_ready=False) for index, one in enumerate(unready)
    ]


# what, replicas now, pods, goal, replicas that are asked for (None: nothing can be said)
CASES: list[tuple[str, int, list[PodSample], Goal, int | None]] = [
    # As many as bring the average of all pods to the target, rounded up.
    ("200m where 100m are wanted doubles", 1, pods(200), VALUE_100, 2),
    ("50m where 100m are wanted halves", 2, pods(50, 50), VALUE_100, 1),
    ("as wanted", 3, pods(100, 100, 100), VALUE_100, 3),
    ("a part of a pod is a pod", 3, pods(120, 120, 120), VALUE_100, 4),
    ("the average counts", 2, pods(300, 100), VALUE_100, 4),
    ("far above", 2, pods(1000, 1000), VALUE_100, 20),
    ("nothing used", 3, pods(0, 0, 0), VALUE_100, 0),
    ("nearly nothing", 3, pods(1, 1, 1), VALUE_100, 1),
    # tolerance
    ("within 10 percent above", 10, pods(*[110] * 10), VALUE_100, 10),
    ("beyond 10 percent above", 10, pods(*[111] * 10), VALUE_100, 12),
    ("within 10 percent below", 10, pods(*[90] * 10), VALUE_100, 10),
    ("beyond 10 percent below", 10, pods(*[89] * 10), VALUE_100, 9),
    ("a tolerance of its own upwards", 10, pods(*[104] * 10), Goal(100, above=0.03), 11),
    ("and downwards", 10, pods(*[85] * 10), Goal(100, below=0.2), 10),
    ("no tolerance", 10, pods(*[101] * 10), Goal(100, above=0), 11),
    ("no tolerance down", 10, pods(*[99] * 10), Goal(100, below=0), 10),
    ("a tolerance is of its direction", 10, pods(*[115] * 10), Goal(100, below=0.9), 12),
    # utilization: the sum of what is used to the sum of the requests, in whole percent
    ("80 percent where 50 are wanted", 2, pods(80, 80), CPU_50, 4),
    ("requests of other sizes weigh", 2,
     [PodSample("a", 100, 100), PodSample("b", 0, 300)], CPU_50, 1),
    ("a percent is a whole one", 1, pods(55.9), CPU_50, 1),
    ("at the target", 3, pods(50, 50, 50), CPU_50, 3),
    ("a limit reached", 1, pods(100), CPU_50, 2),
    ("four of five idle", 5, pods(100, 0, 0, 0, 0), CPU_50, 2),
    ("all full", 5, pods(*[100] * 5), CPU_50, 10),
    ("above the request", 1, pods(350), CPU_100, 4),
    ("a large request", 2, pods(500, 500, request=1000), CPU_50, 2),
    ("one pod of many is hot", 4, pods(200, 0, 0, 0), CPU_50, 4),
    # missing samples: as the target (or 100 percent) downwards, as nothing upwards
    ("one missing holds a scale-down", 2, pods(10, None), VALUE_100, 2),
    ("one missing dampens a scale-down", 4, pods(10, 10, 10, None), VALUE_100, 2),
    ("one missing dampens a scale-up", 2, pods(300, None), VALUE_100, 3),
    ("missing ones may hold a scale-up", 2, pods(150, None), VALUE_100, 2),
    ("missing ones never turn it round", 4, pods(150, None, None, None), VALUE_100, 4),
    ("a missing one is full downwards", 3, pods(10, 10, None), CPU_50, 3),
    ("three idle, one missing", 4, pods(0, 0, 0, None), CPU_50, 2),
    ("a missing one with a target beyond 100", 3, pods(30, 30, None), Goal(200, True), 2),
    ("missing at the target", 2, pods(100, None), VALUE_100, 2),
    ("most are missing", 5, pods(500, None, None, None, None), VALUE_100, 5),
    ("most are missing and one is very hot", 5, pods(900, *[None] * 4), VALUE_100, 9),
    ("all are missing", 2, pods(None, None), VALUE_100, None),
    # not ready yet: as nothing upwards, not counted downwards
    ("an unready one dampens a scale-up", 2, pods(300, unready=[500]), VALUE_100, 3),
    ("an unready one without a sample too", 2, pods(300, unready=[None]), VALUE_100, 3),
    ("an unready one may hold a scale-up", 2, pods(150, unready=[0]), VALUE_100, 2),
    ("an unready one is not counted downwards", 4, pods(50, 50, unready=[400]), VALUE_100, 1),
    ("unready at the target", 3, pods(100, 100, unready=[900]), VALUE_100, 3),
    ("only unready ones", 2, pods(unready=[100, 100]), VALUE_100, None),
    ("unready and missing upwards", 3, pods(400, None, unready=[50]), VALUE_100, 4),
    ("unready and missing downwards", 3, pods(10, None, unready=[50]), VALUE_100, 2),
    ("unready ones keep the direction", 6, pods(130, unready=[0] * 5), VALUE_100, 6),
    ("utilization with an unready one", 2, pods(100, unready=[90]), CPU_50, 2),
    # nothing to say
    ("no pods", 3, [], VALUE_100, None),
    ("a pod without a request", 2, pods(100, 100, request=0), CPU_50, None),
    ("one of them without a request", 2, [*pods(100), PodSample("z", 1, 0)], CPU_50, None),
    ("no request is needed for an average", 1, pods(200, request=0), VALUE_100, 2),
    # what is found may differ from what is wanted: fewer pods than replicas
    ("half of the pods are not there yet", 4, pods(200, 200), VALUE_100, 4),
    ("more pods than replicas", 2, pods(50, 50, 50), VALUE_100, 2),
    ("a rollout doubles the pods", 2, pods(100, 100, 100, 100), VALUE_100, 2),
    # bands of the mission's AutoScaler: a goal amid two bounds
    ("within the band", 3, pods(65, 40, 70), Goal(60, below=1 / 3, above=1 / 3), 3),
    ("at the upper bound", 3, pods(80, 80, 80), Goal(60, below=1 / 3, above=1 / 3), 3),
    ("above the upper bound", 3, pods(90, 90, 90), Goal(60, below=1 / 3, above=1 / 3), 5),
    ("below the lower bound", 4, pods(30, 30, 30, 30), Goal(60, below=1 / 3, above=1 / 3), 2),
    ("one byte of memory above", 1, pods(101.0), Goal(100, below=0, above=0), 2),
    ("a huge number", 1, pods(1e15), Goal(1e9), 1_000_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "found", "goal", "wanted"),
    [case[1:] for case in CASES],
    ids=[one[0] for one in CASES],
)
def test_a_metric_asks_for_replicas_as_documented(
    current: int, found: list[PodSample], goal: Goal, wanted: int | None
) -> None:
    told = proposed(current, found, goal)
    if wanted is None:
        assert isinstance(told, NoProposal)
        assert told.message
    else:
        assert isinstance(told, Proposal)
        assert told.replicas == wanted


def test_the_table_is_as_long_as_it_says() -> None:
    assert len(CASES) >= 60
    assert len({case[0] for case in CASES}) == len(CASES)


def test_what_is_told_of_a_metric_is_its_average_and_share() -> None:
    told = proposed(2, pods(30, 40), CPU_50)
    assert isinstance(told, Proposal)
    assert (told.average, told.share) == (35, 35)


# what, policy, replicas now, wanted, changes (seconds ago, how many), replicas, reasons
WAYS: list[tuple[str, Policy, int, int, list[tuple[int, int]], int, str]] = [
    ("no change", USUAL, 3, 3, [], 3, ""),
    ("up at once", USUAL, 3, 6, [], 6, ""),
    ("four pods at once from one", USUAL, 1, 50, [], 5, "ScaleUpLimit"),
    ("twice as many from ten", USUAL, 10, 50, [], 20, "ScaleUpLimit"),
    ("what was added counts", USUAL, 20, 50, [(10, 10)], 20, "ScaleUpLimit"),
    ("after its period no more", USUAL, 20, 50, [(15, 10)], 40, "ScaleUpLimit"),
    ("the maximum", replace(USUAL, maximum=7), 5, 50, [], 7, "TooManyReplicas"),
    ("the limit before the maximum", replace(USUAL, maximum=70), 10, 50, [], 20, "ScaleUpLimit"),
    ("the window holds a scale-down", USUAL, 9, 3, [], 9, "ScaleDownStabilized"),
    ("without a window it goes", replace(USUAL, down=replace(DOWN, window_s=0)), 9, 3, [], 3, ""),
    ("the minimum", Policy(4, 9, UP, replace(DOWN, window_s=0)), 9, 1, [], 4, "TooFewReplicas"),
    ("one pod a minute", Policy(1, 9, UP, Pace(0, (Step("Pods", 1, 60),))), 9, 1, [], 8,
     "ScaleDownLimit"),
    ("one was removed within the minute", Policy(1, 9, UP, Pace(0, (Step("Pods", 1, 60),))), 8, 1,
     [(30, -1)], 8, "ScaleDownLimit"),
    ("ten percent a minute", Policy(1, 99, UP, Pace(0, (Step("Percent", 10, 60),))), 80, 1, [], 72,
     "ScaleDownLimit"),
    ("Min takes the smaller step down",
     Policy(1, 99, UP, Pace(0, (Step("Pods", 4, 60), Step("Percent", 10, 60)), "Min")), 20, 1, [],
     18, "ScaleDownLimit"),
    ("Max takes the larger step down",
     Policy(1, 99, UP, Pace(0, (Step("Pods", 4, 60), Step("Percent", 10, 60)), "Max")), 20, 1, [],
     16, "ScaleDownLimit"),
    ("Min takes the smaller step up",
     Policy(1, 99, Pace(0, (Step("Pods", 4, 60), Step("Percent", 100, 60)), "Min"), DOWN), 20, 90,
     [], 24, "ScaleUpLimit"),
    ("Disabled does not go down", Policy(1, 99, UP, Pace(0, (), "Disabled")), 20, 1, [], 20,
     "ScaleDownLimit"),
    ("Disabled does not go up", Policy(1, 99, Pace(0, (), "Disabled"), DOWN), 2, 9, [], 2,
     "ScaleUpLimit"),
    ("no steps are no limit", Policy(1, 99, Pace(), Pace()), 2, 98, [], 98, ""),
    ("removed ones may come back", USUAL, 10, 50, [(5, -10)], 40, "ScaleUpLimit"),
]  # fmt: skip


def past(changes: Sequence[tuple[int, int]]) -> History:
    return History({}, [(NOW - timedelta(seconds=ago_s), count) for ago_s, count in changes])


@pytest.mark.parametrize(
    ("policy", "current", "wanted", "changes", "replicas", "reason"),
    [way[1:] for way in WAYS],
    ids=[way[0] for way in WAYS],
)
def test_a_change_keeps_to_windows_steps_and_bounds(
    policy: Policy,
    current: int,
    wanted: int,
    changes: list[tuple[int, int]],
    replicas: int,
    reason: str,
) -> None:
    told = decided(policy, current, wanted, past(changes), NOW)
    assert (told.replicas, told.steadied or told.limited) == (replicas, reason)


def lived(policy: Policy, begin: int, wanted: Sequence[int], step_s: float = 2) -> list[Decision]:
    """Return the decisions of a life in which these counts are wanted, one after another."""
    history, current, told = History(), begin, []
    for index, count in enumerate(wanted):
        decision = decided(policy, current, count, history, NOW + timedelta(seconds=index * step_s))
        history, current = decision.history, decision.replicas
        told.append(decision)
    return told


def test_down_is_gone_as_soon_as_the_window_has_passed() -> None:
    counts = [one.replicas for one in lived(USUAL, 9, [9] + [3] * 200)]
    assert counts[:150] == [9] * 150
    assert counts[150] == 3


def test_a_peak_within_the_window_holds_the_peak() -> None:
    policy = replace(USUAL, down=replace(DOWN, window_s=60))
    counts = [one.replicas for one in lived(policy, 5, [2] * 20 + [8] + [2] * 40)]
    assert counts[20:50] == [8] * 30
    assert counts[50:] == [2] * 11


def test_a_window_upwards_waits_for_a_steady_wish() -> None:
    policy = replace(USUAL, up=replace(UP, window_s=10))
    assert {one.replicas for one in lived(policy, 2, [2, 5, 2, 5, 2, 5] * 20)} == {2}
    assert lived(policy, 2, [2] + [5] * 10)[-1].replicas == 5


def test_a_clock_that_is_set_back_forgets_what_is_of_the_future() -> None:
    later = decided(USUAL, 3, 9, History(), NOW + timedelta(hours=1))
    back = decided(replace(USUAL, down=Pace()), 7, 2, later.history, NOW)
    assert back.replicas == 2


counts = st.integers(0, 30)
paces = st.builds(
    Pace,
    st.sampled_from([0, 10, 60]),
    st.lists(
        st.builds(
            Step,
            st.sampled_from(["Pods", "Percent"]),
            st.integers(1, 200),
            st.sampled_from([15, 60]),
        ),
        max_size=3,
    ),
    st.sampled_from(["Max", "Min", "Disabled"]),
)
policies = st.builds(
    lambda low, more, up, down: Policy(low, low + more, up, down),
    st.integers(1, 9),
    st.integers(0, 20),
    paces,
    paces,
)


@given(policies, counts, st.lists(counts, min_size=1, max_size=40))
def test_law_at_every_instant_within_the_bounds(
    policy: Policy, begin: int, wanted: list[int]
) -> None:
    begin = bounded(policy, begin)
    for one in lived(policy, begin, wanted):
        assert policy.minimum <= one.replicas <= policy.maximum


@given(policies, counts, st.lists(counts, min_size=1, max_size=40))
def test_law_no_change_against_what_the_window_agrees_on(
    policy: Policy, begin: int, wanted: list[int]
) -> None:
    """A change goes no farther than the least wish of the window upwards, the most downwards."""
    current = bounded(policy, begin)
    for index, one in enumerate(lived(policy, current, wanted)):
        now_s = index * 2

        def within(window_s: int, upto: int = index, end_s: int = now_s) -> list[int]:
            inner = [w for at, w in enumerate(wanted[: upto + 1]) if end_s - at * 2 < window_s]
            return inner or [wanted[upto]]

        if one.replicas > current:
            assert one.replicas <= max(policy.minimum, *[min(within(policy.up.window_s))])
        if one.replicas < current:
            assert one.replicas >= min(policy.maximum, max(within(policy.down.window_s)))
        current = one.replicas


@given(policies, counts, st.lists(counts, min_size=1, max_size=40))
def test_law_what_is_remembered_is_bounded(policy: Policy, begin: int, wanted: list[int]) -> None:
    last = lived(policy, bounded(policy, begin), wanted)[-1]
    assert len(last.history.proposals) <= 1 + len(set(wanted))
    assert len(last.history.changes) <= len(wanted)


@given(
    st.integers(1, 20), st.lists(st.integers(0, 500), min_size=1, max_size=9), st.integers(0, 300)
)
def test_law_more_load_never_asks_for_fewer(current: int, used: list[int], more: int) -> None:
    before = proposed(len(used), pods(*used), VALUE_100)
    after = proposed(len(used), pods(used[0] + more, *used[1:]), VALUE_100)
    assert isinstance(before, Proposal)
    assert isinstance(after, Proposal)
    assert after.replicas >= before.replicas


@given(policies, counts, counts, counts)
def test_law_a_greater_wish_never_leads_to_fewer(
    policy: Policy, begin: int, less: int, more: int
) -> None:
    begin, (less, more) = bounded(policy, begin), sorted((less, more))
    small, large = (decided(policy, begin, one, History(), NOW) for one in (less, more))
    assert small.replicas <= large.replicas


@given(st.lists(st.one_of(st.none(), st.integers(0, 500)), max_size=8), st.randoms())
def test_law_the_order_of_pods_says_nothing(used: list[int | None], rng: random.Random) -> None:
    found = pods(*used)
    shuffled = list(found)
    rng.shuffle(shuffled)
    assert proposed(3, found, CPU_50) == proposed(3, shuffled, CPU_50)
