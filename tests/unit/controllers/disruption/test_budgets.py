"""PodDisruptionBudgets: what they allow is counted from pods, and never grows on an old view."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.disruption.budgets import GRANT_S, Budgets
from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.policy.poddisruptionbudget import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from cubernetes.api.selectors import LabelSelector
from cubernetes.reconcile.plan import Action, Record, RequeueAfter, StillView, UpdateStatus
from tests.carry import World
from tests.given import NOW, WEB, a_deployment, a_meta, a_pod, a_replicaset, a_statefulset

ROUNDS = 2


def a_budget(
    *,
    status: PodDisruptionBudgetStatus | None = None,
    selector: LabelSelector | None = LabelSelector(match_labels=WEB),  # noqa: B008  a value
    generation: int = 1,
    revision: int = 1,
    **bounds: object,
) -> PodDisruptionBudget:
    spec = PodDisruptionBudgetSpec(selector=selector)
    return PodDisruptionBudget(
        metadata=a_meta("web", "default", generation=generation, revision=revision),
        spec=replaced(spec, **bounds),
        status=status or PodDisruptionBudgetStatus(),
    )


def pods_of(owner: Object | None, ready: int, unready: int = 0) -> list[Pod]:
    return [
        a_pod(f"web-{place}", node="n1", phase="Running", is_ready=place < ready, owner=owner)
        for place in range(ready + unready)
    ]


def settled(*objects: Object) -> PodDisruptionBudgetStatus:
    world = World(objects)
    world.settle(Budgets(), ROUNDS)
    (one,) = world.all(PodDisruptionBudget)
    return one.status


@pytest.mark.parametrize(
    ("bounds", "wanted", "ready", "unready", "told"),
    [
        ({"min_available": 2}, 3, 3, 0, (1, 3, 2, 3)),
        ({"min_available": 2}, 3, 2, 1, (0, 2, 2, 3)),
        # A count says nothing of how many there should be: the pods that are there are expected.
        ({"min_available": 2}, 9, 2, 2, (0, 2, 2, 4)),
        ({"min_available": 0}, 2, 2, 0, (2, 2, 0, 2)),
        # Half of five is three: percentages are rounded up.
        ({"min_available": "50%"}, 5, 5, 0, (2, 5, 3, 5)),
        ({"min_available": "100%"}, 2, 2, 0, (0, 2, 2, 2)),
        ({"max_unavailable": 1}, 3, 3, 0, (1, 3, 2, 3)),
        # One is missing already.
        ({"max_unavailable": 1}, 3, 2, 0, (0, 2, 2, 3)),
        ({"max_unavailable": "30%"}, 5, 5, 0, (2, 5, 3, 5)),
        ({"max_unavailable": 5}, 3, 3, 0, (3, 3, 0, 3)),
        # Without a bound nobody is expected, and nothing is allowed.
        ({}, 3, 3, 0, (0, 3, 0, 0)),
    ],
)
def test_how_many_must_stay_is_counted_as_kubernetes_documents(
    bounds: dict[str, int | str],
    wanted: int,
    ready: int,
    unready: int,
    told: tuple[int, int, int, int],
) -> None:
    owner = a_replicaset(replicas=wanted)

    budget = a_budget(**bounds)  # type: ignore[arg-type]

    found = settled(budget, owner, *pods_of(owner, ready, unready))

    counts = (found.current_healthy, found.desired_healthy, found.expected_pods)
    assert (found.disruptions_allowed, *counts) == told


def test_all_sets_of_a_deployment_are_one_workload() -> None:
    deployment = a_deployment(replicas=4)
    old, new = (a_replicaset(name, replicas=2) for name in ("web-1", "web-2"))
    owners = (deployment.owner_reference(),)
    sets = [
        replaced(one, metadata=replaced(one.metadata, owner_references=owners))
        for one in (old, new)
    ]
    pods = [
        a_pod(f"{one.metadata.name}-{place}", node="n1", phase="Running", is_ready=True, owner=one)
        for one in sets
        for place in range(2)
    ]

    found = settled(a_budget(max_unavailable="50%"), deployment, *sets, *pods)

    assert (found.expected_pods, found.disruptions_allowed) == (4, 2)


def test_a_statefulset_has_a_number_of_pods() -> None:
    owner = a_statefulset(replicas=4)

    found = settled(a_budget(max_unavailable="50%"), owner, *pods_of(owner, 4))

    assert (found.expected_pods, found.disruptions_allowed) == (4, 2)
    assert list(Budgets().keys(owner, StillView([a_budget()]))) == [a_budget().ref]


def test_pods_whose_number_nobody_tells_are_guarded_whole() -> None:
    stranger = a_replicaset()  # it is not in the cluster

    found = settled(a_budget(max_unavailable=1), *pods_of(stranger, 2))

    told = condition_of(found.conditions, "DisruptionAllowed")
    assert told is not None
    assert (told.reason, found.disruptions_allowed) == ("SyncFailed", 0)
    assert told.message == 'found no controllers for pod "web-0"'
    # A count needs nobody's number.
    assert settled(a_budget(min_available=1), *pods_of(stranger, 2)).disruptions_allowed == 1


@pytest.mark.parametrize(("selector", "healthy"), [(None, 0), (LabelSelector(), 2)])
def test_an_empty_selector_is_every_pod_and_none_is_no_pod(
    selector: LabelSelector | None, healthy: int
) -> None:
    budget = a_budget(min_available=0, selector=selector)

    assert settled(budget, *pods_of(None, 2)).current_healthy == healthy


def test_pods_that_go_are_not_healthy_whatever_they_say() -> None:
    going = replaced(a_pod("web-0").metadata, deletion_timestamp=NOW)
    (first, second) = pods_of(None, 2)

    found = settled(a_budget(min_available=1), replaced(first, metadata=going), second)

    assert (found.current_healthy, found.disruptions_allowed) == (1, 0)


def test_a_condition_says_whether_and_why() -> None:
    budget = a_budget(min_available=1, generation=3)

    enough = condition_of(settled(budget, *pods_of(None, 2)).conditions, "DisruptionAllowed")
    few = condition_of(settled(budget, *pods_of(None, 1)).conditions, "DisruptionAllowed")

    assert enough is not None
    assert few is not None
    assert (enough.status, enough.reason, enough.observed_generation) == (
        "True",
        "SufficientPods",
        3,
    )
    assert (few.status, few.reason, few.last_transition_time) == ("False", "InsufficientPods", NOW)


def granted(ago_s: float = 5.0) -> PodDisruptionBudgetStatus:
    """Return the status after a grant for web-0, by a server that saw three pods."""
    return PodDisruptionBudgetStatus(
        observed_generation=1,
        disruptions_allowed=0,
        current_healthy=3,
        desired_healthy=2,
        expected_pods=3,
        disrupted_pods={"web-0": NOW - timedelta(seconds=ago_s), "gone": NOW},
    )


def test_a_granted_pod_does_not_count_until_it_is_seen_to_go() -> None:
    world = World([a_budget(min_available=1, status=granted()), *pods_of(None, 3)])
    world.settle(Budgets(), ROUNDS)

    (one,) = world.all(PodDisruptionBudget)
    assert (one.status.current_healthy, one.status.disruptions_allowed) == (2, 1)
    assert list(one.status.disrupted_pods) == ["web-0"]
    pauses = [each for each in plan(world) if isinstance(each, RequeueAfter)]
    assert [each.after_s for each in pauses] == [GRANT_S - 5]
    assert not [each for each in plan(world) if isinstance(each, Record)]


def test_a_grant_that_led_to_nothing_ends_and_is_told() -> None:
    late = a_budget(min_available=1, status=granted(GRANT_S + 1))
    world = World([late, *pods_of(None, 3)])

    told = [one.reason for one in plan(world) if isinstance(one, Record)]
    world.settle(Budgets(), ROUNDS)

    assert told == ["NotDeleted"]
    (one,) = world.all(PodDisruptionBudget)
    assert (one.status.current_healthy, dict(one.status.disrupted_pods)) == (3, {})


def plan(world: World) -> list[Action]:
    (key,) = world.keys(Budgets())
    return list(Budgets().plan(key, world.view(), world.now))


def test_a_view_of_pods_that_is_older_than_the_budget_is_waited_for() -> None:
    """Such a view may still show pods whose eviction was granted, and counted off, long ago."""
    budget = a_budget(min_available=1, revision=20)
    pods = pods_of(None, 3)

    def planned(as_of: int) -> list[Action]:
        return list(Budgets().plan(budget.ref, StillView([budget, *pods], as_of), NOW))

    assert [type(one) for one in planned(19)] == [RequeueAfter]
    assert UpdateStatus in [type(one) for one in planned(20)]


def test_what_changes_leads_to_the_budgets_above_it() -> None:
    budget, other = a_budget(), replaced(a_budget(), metadata=ObjectMeta(name="b", namespace="x"))
    view = StillView([budget, other])

    for one in (budget, a_pod("web-0"), a_replicaset(), a_deployment()):
        assert list(Budgets().keys(one, view)) == [budget.ref]
    assert list(Budgets().keys(a_pod("web-0", labels={"app": "other"}), view)) == []


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=6),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_it_settles_in_one_write_and_never_allows_more_than_is_above_the_bound(
    facts: list[tuple[bool, bool, bool]], bound: int, random: object
) -> None:
    pods = [
        a_pod(
            f"web-{place}",
            node="n1",
            phase="Running",
            is_ready=is_ready,
            deleted_at=NOW if is_going else None,
        )
        for place, (is_ready, is_going, _) in enumerate(facts)
    ]
    noted = {f"web-{place}": NOW for place, fact in enumerate(facts) if fact[2]}
    status = PodDisruptionBudgetStatus(disrupted_pods=noted)
    random.shuffle(pods)  # type: ignore[attr-defined]
    world = World([a_budget(min_available=bound, status=status), *pods])

    assert world.settle(Budgets(), ROUNDS) <= 1

    (one,) = world.all(PodDisruptionBudget)
    stay = sum(is_ready and not is_going and not is_noted for is_ready, is_going, is_noted in facts)
    assert one.status.disruptions_allowed == max(0, stay - bound)
