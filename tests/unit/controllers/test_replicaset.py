"""ReplicaSets: as many pods as wanted, never a twin, and an end to every plan."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.naming import NUMBER
from controllers.replicaset import BURST, FAST_END_S, ReplicaSets, pod_made, surplus
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podstatus import Phase
from cubernetes.api.meta import Ref, replaced
from cubernetes.reconcile.plan import Action, Create, Delete, Record, RequeueAfter, UpdateStatus
from tests.carry import World
from tests.given import AN_HOUR_AGO, NOW, a_pod, a_replicaset, a_running_pod, a_template

PHASES: Sequence[Phase] = ("Pending", "Running", "Succeeded", "Failed")
# Status in one round with the pods' changes; a second round for the status that follows from them,
# a third where finished pods are bound and stay until their kubelet lets go.
ROUNDS = 3


def active(world: World) -> list[Pod]:
    return [pod for pod in world.all(Pod) if not pod.metadata.is_deleted and not is_finished(pod)]


def of(owner: ReplicaSet, name: str, phase: Phase = "Running", **facts: object) -> Pod:
    return a_pod(name, phase=phase, owner=owner, **facts)  # type: ignore[arg-type]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A set and any mixture of pods of its own, of strangers and of orphans, in any state."""
    web = a_replicaset("web", replicas=draw(st.integers(0, 6)))
    other = a_replicaset("other", selector={"app": "other"}, replicas=0)
    objects: list[Pod] = []
    for place in range(draw(st.integers(0, 8))):
        owner = draw(st.sampled_from([web, web, web, other, None]))
        pod = a_pod(
            f"web-{place}",
            phase=draw(st.sampled_from(PHASES)),
            node=draw(st.sampled_from(["", "n1"])),
            is_ready=draw(st.booleans()),
            owner=owner,
            labels=draw(st.sampled_from([{"app": "web"}, {"app": "web"}, {"app": "old"}])),
            deleted_at=draw(st.sampled_from([None, None, NOW])),
        )
        if draw(st.booleans()) and owner is web:
            pod = pod_made_like(pod, web, place)
        objects.append(pod)
    return World([web, *draw(st.permutations(objects))])


def pod_made_like(pod: Pod, owner: ReplicaSet, number: int) -> Pod:
    made = pod_made(owner, number)
    meta = replaced(pod.metadata, name=made.metadata.name, annotations={NUMBER: str(number)})
    return replaced(pod, metadata=meta)


@given(worlds())
def test_three_rounds_leave_nothing_to_do_and_as_many_pods_as_wanted(world: World) -> None:
    world.settle(ReplicaSets(), ROUNDS)

    web = world.get(ReplicaSet, "web", "default")
    assert web is not None
    mine = [pod for pod in active(world) if pod.metadata.labels == {"app": "web"}]
    ours = [pod for pod in mine if pod.metadata.controller == web.owner_reference()]
    assert len(ours) == web.spec.replicas == web.status.replicas


@given(worlds(), st.lists(st.integers(0, 3), max_size=12))
def test_a_plan_cut_anywhere_and_made_again_ends_the_same(world: World, cuts: list[int]) -> None:
    planner = ReplicaSets()
    for cut in cuts:
        for key in world.keys(planner):
            world.carry_out(planner.plan(key, world.view(), NOW), cut)
    world.settle(planner, ROUNDS)

    web = world.get(ReplicaSet, "web", "default")
    assert web is not None
    assert web.status.replicas == web.spec.replicas


@given(
    replicas=st.integers(0, 6),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), max_size=25),
)
def test_on_a_stale_view_there_are_never_more_than_wanted_and_those_that_others_took(
    replicas: int, steps: list[tuple[int, int, bool]]
) -> None:
    """Views lag by up to 9 writes, plans are cut, and pods are taken away by others meanwhile."""
    planner = ReplicaSets()
    web = a_replicaset("web", replicas=replicas)
    world = World([web])
    taken = 0
    for behind, cut, others_act in steps:
        world.carry_out(planner.plan(web.ref, world.view(behind), NOW), cut * 2)
        assert len(active(world)) <= replicas + taken
        pods = active(world)
        if others_act and pods:
            world.remove(pods[behind % len(pods)].ref)
            taken += 1
    world.settle(planner, ROUNDS)
    assert len(active(world)) == replicas


@given(replicas=st.integers(1, 6), behinds=st.lists(st.integers(0, 30), max_size=20))
def test_w18_lost_replies_and_late_views_make_no_twin(replicas: int, behinds: list[int]) -> None:
    """Where nobody else acts, not one pod too many is ever made, however old the view."""
    planner = ReplicaSets()
    web = a_replicaset("web", replicas=replicas)
    world = World([web])
    for behind in behinds:
        world.carry_out(planner.plan(web.ref, world.view(behind), NOW))
        assert len(world.all(Pod)) <= replicas


def test_names_do_not_depend_on_the_order_of_arrival() -> None:
    web = a_replicaset("web", replicas=3)
    pods = [of(web, f"web-{place}") for place in range(2)]

    plans = [World([web, *order]).plan(ReplicaSets(), web.ref) for order in (pods, pods[::-1])]

    made = [[one.object.metadata.name for one in plan if isinstance(one, Create)] for plan in plans]
    assert made[0] == made[1] != []


def test_w18_starting_pods_count() -> None:
    web = a_replicaset("web", replicas=2, status=ReplicaSetStatus(replicas=2))
    pods = [of(web, "web-0", "Pending"), of(web, "web-1", "Pending")]

    plan = World([web, *pods]).plan(ReplicaSets(), web.ref)

    assert not any(isinstance(one, Create | Delete) for one in plan)


def test_w18_pods_of_another_set_with_the_same_selector_are_not_counted() -> None:
    web, twin = a_replicaset("web", replicas=1), a_replicaset("twin", replicas=1)
    world = World([web, twin])

    world.settle(ReplicaSets(), ROUNDS)

    owners = sorted(
        (pod.metadata.controller or web.owner_reference()).name for pod in active(world)
    )
    assert owners == ["twin", "web"]


def test_w19_a_pod_that_takes_an_hour_to_start_is_left_alone() -> None:
    web = a_replicaset("web", replicas=1)
    world = World([web, of(web, "web-0", "Pending", node="n1", created_at=AN_HOUR_AGO)])

    world.settle(ReplicaSets(), ROUNDS)

    assert [pod.metadata.name for pod in active(world)] == ["web-0"]


def test_w22_a_pod_whose_containers_are_started_again_in_place_is_not_replaced() -> None:
    web = a_replicaset("web", replicas=1)
    pod = of(web, "web-0", node="n1")
    again = tuple(replaced(one, restart_count=7) for one in pod.status.container_statuses)
    world = World([web, replaced(pod, status=replaced(pod.status, container_statuses=again))])

    world.settle(ReplicaSets(), ROUNDS)

    assert [one.metadata.name for one in world.all(Pod)] == ["web-0"]


def test_w15_a_finished_pod_is_replaced_under_another_name_and_then_deleted() -> None:
    web = a_replicaset("web", replicas=1)
    failed = replaced(pod_made_like(of(web, "x", "Failed"), web, 0))
    world = World([web, failed])

    plan = world.plan(ReplicaSets(), web.ref)

    created, deleted = plan[-2:]
    assert isinstance(created, Create)
    assert created.object.metadata.name != failed.metadata.name
    assert deleted == Delete(Pod, failed.ref, failed.metadata.uid)


def test_a_pod_that_fails_at_once_is_not_remade_as_fast_as_the_loop_turns() -> None:
    web = a_replicaset("web", replicas=1, status=ReplicaSetStatus(observed_generation=1))
    failed = of(web, "web-0", "Failed", created_at=NOW - timedelta(seconds=2))
    world = World([web, failed])

    assert list(ReplicaSets().plan(web.ref, world.view(), NOW)) == [RequeueAfter(FAST_END_S - 2)]


@pytest.mark.parametrize("ahead_s", [-3600, -100, -5, 0, 5, 100, 3600])
def test_how_soon_a_pod_failed_is_judged_by_when_it_was_seen(ahead_s: int) -> None:
    """It was created 2 s ago, by the clock of a server which is ahead of ours or behind."""
    web = a_replicaset("web", replicas=1, status=ReplicaSetStatus(observed_generation=1))
    created_at = NOW + timedelta(seconds=ahead_s)
    sets = ReplicaSets()
    alive = of(web, "web-0", "Pending", node="n1", created_at=created_at)
    list(sets.plan(web.ref, World([web, alive]).view(), NOW))

    failed = World([web, of(web, "web-0", "Failed", node="n1", created_at=created_at)]).view()
    soon, later = NOW + timedelta(seconds=2), NOW + timedelta(seconds=FAST_END_S)

    assert list(sets.plan(web.ref, failed, soon)) == [RequeueAfter(FAST_END_S - 2)]
    assert any(isinstance(one, Create) for one in sets.plan(web.ref, failed, later))


def test_of_pods_and_sets_that_are_gone_nothing_is_remembered() -> None:
    web = a_replicaset("web", replicas=1)
    sets, world = ReplicaSets(), World([web, of(web, "web-0", "Pending", node="n1")])
    list(sets.plan(web.ref, world.view(), NOW))
    assert len(sets.alive_since[web.ref]) == 1

    list(sets.plan(web.ref, World([web]).view(), NOW))
    assert sets.alive_since[web.ref] == {}
    list(sets.plan(web.ref, World([]).view(), NOW))
    assert sets.alive_since == {}


def test_the_name_of_a_going_pod_is_not_asked_for() -> None:
    web = a_replicaset("web", replicas=1)
    going = replaced(pod_made_like(of(web, "x", deleted_at=NOW, node="n1"), web, 0))
    world = World([web, going])

    names = [
        one.object.metadata.name
        for one in world.plan(ReplicaSets(), web.ref)
        if isinstance(one, Create)
    ]

    assert names == [pod_made(web, 1).metadata.name]


def test_surplus_goes_first_without_a_node_then_unready_then_the_youngest_then_by_name() -> None:
    young = NOW
    pods = [
        a_running_pod("a-old"),  # named before those that go first
        a_pod("unready", node="n1", phase="Running"),
        a_pod("unbound"),
        a_pod("b-young", node="n1", phase="Running", is_ready=True, created_at=young),
        a_pod("a-young", node="n1", phase="Running", is_ready=True, created_at=young),
    ]

    chosen = [pod.metadata.name for pod in surplus(pods, 1)]

    assert chosen == ["unbound", "unready", "a-young", "b-young"]


def test_among_ready_pods_the_cheapest_go_then_those_with_siblings_then_the_restarted() -> None:
    def ready(name: str, node: str, cost: str = "", restarts: int = 0) -> Pod:
        pod = a_pod(name, node=node, phase="Running", is_ready=True)
        notes = {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {}
        statuses = tuple(
            replaced(one, restart_count=restarts) for one in pod.status.container_statuses
        )
        status = replaced(pod.status, container_statuses=statuses)
        return replaced(
            pod, metadata=replaced(pod.metadata, annotations=notes), status=status
        )  # fmt: skip

    pods = [
        ready("alone", "n1"),
        ready("dear", "n2", cost="10"),
        ready("odd", "n3", cost="cheap"),
        ready("cheap", "n4", cost="-5"),
        ready("sibling-a", "n5"),
        ready("sibling-b", "n5", restarts=3),
    ]

    chosen = [pod.metadata.name for pod in surplus(pods, 0)]

    assert chosen == ["cheap", "sibling-b", "sibling-a", "alone", "odd", "dear"]


def test_an_orphan_is_adopted_instead_of_making_a_pod() -> None:
    web = a_replicaset("web", replicas=1)
    world = World([web, a_pod("orphan")])

    world.settle(ReplicaSets(), ROUNDS)

    (pod,) = world.all(Pod)
    assert pod.metadata.name == "orphan"
    assert pod.metadata.controller == web.owner_reference()


def test_a_pod_whose_label_moved_away_is_released_and_replaced() -> None:
    web = a_replicaset("web", replicas=1)
    world = World([web, of(web, "web-0", labels={"app": "debug"})])

    world.settle(ReplicaSets(), ROUNDS)

    released = world.get(Pod, "web-0", "default")
    assert released is not None
    assert released.metadata.owner_references == ()
    assert len(active(world)) == 2


def test_w8_a_template_without_labels_or_a_set_without_status_is_no_trouble() -> None:
    web = a_replicaset("web", replicas=1, template=a_template({}))

    plan = World([web, a_pod("live")]).plan(ReplicaSets(), web.ref)

    assert plan


def test_the_status_is_written_only_where_it_differs() -> None:
    web = a_replicaset("web", replicas=1)
    world = World([web, replaced(of(web, "web-0"))])
    world.settle(ReplicaSets(), ROUNDS)
    writes = world.writes

    world.settle(ReplicaSets(), 0)

    assert world.writes == writes


def test_a_ready_pod_is_available_after_min_ready_seconds() -> None:
    web = a_replicaset("web", replicas=1)
    patient = replaced(web, spec=replaced(web.spec, min_ready_seconds=3605))
    pod = of(patient, "web-0", node="n1", is_ready=True)

    plan = list(ReplicaSets().plan(web.ref, World([patient, pod]).view(), NOW))

    (status,) = [one.object for one in plan if isinstance(one, UpdateStatus)]
    assert isinstance(status, ReplicaSet)
    assert (status.status.ready_replicas, status.status.available_replicas) == (1, 0)
    assert RequeueAfter(5.0) in plan


def test_a_great_many_are_made_in_several_plans() -> None:
    web = a_replicaset("web", replicas=BURST + 10)
    world = World([web])

    assert sum(isinstance(one, Create) for one in world.plan(ReplicaSets(), web.ref)) == BURST


def test_people_are_told_what_was_made_and_taken_down() -> None:
    web = a_replicaset("web", replicas=1)
    world = World([web])

    world.carry_out(ReplicaSets().plan(web.ref, world.view(), NOW))

    (told,) = world.records
    assert isinstance(told, Record)
    assert (told.reason, told.message) == (
        "SuccessfulCreate", f"Created pod: {active(world)[0].metadata.name}"
    )  # fmt: skip


def test_a_set_that_goes_makes_nothing() -> None:
    web = a_replicaset("web", replicas=3, deleted_at=NOW)

    assert World([web]).plan(ReplicaSets(), web.ref) == []


@given(st.text(max_size=30))
def test_whatever_stands_in_the_number_annotation_a_plan_comes_out(text: str) -> None:
    web = a_replicaset("web", replicas=2)
    pod = of(web, "web-0")
    odd = replaced(pod, metadata=replaced(pod.metadata, annotations={NUMBER: text}))
    world = World([web, odd])

    world.settle(ReplicaSets(), ROUNDS)

    assert len(active(world)) == 2


def test_a_pod_is_made_as_its_template_says() -> None:
    template = a_template(labels={"app": "web", "tier": "a"})
    noted = replaced(
        template,
        metadata=replaced(template.metadata, annotations={"note": "x"}),
        spec=replaced(template.spec, hostname="db"),
    )
    web = a_replicaset("web", replicas=1, template=noted)
    world = World([web])

    world.settle(ReplicaSets(), ROUNDS)

    (pod,) = world.all(Pod)
    assert pod.spec.hostname == "db"
    assert pod.metadata.labels == {"app": "web", "tier": "a"}
    assert pod.metadata.annotations["note"] == "x"


def test_pods_that_lack_a_label_of_the_template_are_counted_apart() -> None:
    web = a_replicaset("web", replicas=2, template=a_template(labels={"app": "web", "tier": "a"}))
    old = of(web, "web-0", labels={"app": "web"})
    new = of(web, "web-1", labels={"app": "web", "tier": "a"})
    world = World([web, old, new])

    world.settle(ReplicaSets(), ROUNDS)

    (one,) = world.all(ReplicaSet)
    assert (one.status.replicas, one.status.fully_labeled_replicas) == (2, 1)


def refusing(world: World, ref: Ref, why: str) -> list[Action]:
    """Plan a set whose pods the API refuses to make, and carry out what is told of that."""
    sets = ReplicaSets()
    plan = list(sets.plan(ref, world.view(), NOW))
    create = next(one for one in plan if isinstance(one, Create))
    told = list(sets.refused(ref, create, why, world.view(), NOW))
    world.carry_out(told)
    return told


def test_why_pods_could_not_be_made_stands_at_the_set_until_there_are_enough() -> None:
    wanted = a_replicaset(replicas=1)
    world = World([wanted])
    world.carry_out(list(ReplicaSets().plan(wanted.ref, world.view(), NOW))[:1])
    told = refusing(world, wanted.ref, "exceeded quota: q")
    assert [one.reason for one in told if isinstance(one, Record)] == ["FailedCreate"]

    def failure() -> tuple[str, str, str] | None:
        (found,) = world.all(ReplicaSet)
        one = condition_of(found.status.conditions, "ReplicaFailure")
        return (one.status, one.reason, one.message) if one is not None else None

    assert failure() == ("True", "FailedCreate", "exceeded quota: q")
    # Planned again it still stands, and is told as before: that is no change.
    before = world.writes
    refusing(world, wanted.ref, "exceeded quota: q")
    assert (world.writes, failure()) == (before, ("True", "FailedCreate", "exceeded quota: q"))
    world.settle(ReplicaSets(), rounds=3)
    assert failure() is None
    assert len(world.all(Pod)) == 1
