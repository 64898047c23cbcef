"""StatefulSets: pods keep their places, are made and exchanged in order, and there is an end."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.sets.statefulsets import FAST_END_S, StatefulSets, parts_of
from cubernetes.api.apps.controllerrevision import REVISION_LABEL, ControllerRevision
from cubernetes.api.apps.statefulset import (
    POD_INDEX_LABEL,
    POD_NAME_LABEL,
    RollingUpdateStatefulSet,
    StatefulSet,
    StatefulSetOrdinals,
    StatefulSetUpdateStrategy,
)
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.meta import Ref, replaced
from cubernetes.reconcile.plan import Action, Create, Delete, Record, RequeueAfter
from tests.given import a_pod, a_statefulset
from tests.unit.controllers.sets.lives import BAD, Life


def a_life(**fields: object) -> Life[StatefulSet]:
    return Life(StatefulSets(), a_statefulset(**{"replicas": 3, **fields}))  # type: ignore[arg-type]


def settled(**fields: object) -> Life[StatefulSet]:
    life = a_life(**fields)
    life.settle()
    return life


def partition(number: int) -> StatefulSetUpdateStrategy:
    return StatefulSetUpdateStrategy(rolling_update=RollingUpdateStatefulSet(partition=number))


def revisions(life: Life[StatefulSet]) -> list[ControllerRevision]:
    return sorted(life.world.all(ControllerRevision), key=lambda one: one.revision)


def reasons(actions: list[Action]) -> list[str]:
    return [one.reason for one in actions if isinstance(one, Record)]


def planned(life: Life[StatefulSet]) -> list[Action]:
    return list(StatefulSets().plan(life.wanted.ref, life.world.view(), life.world.now))


def test_pods_have_the_names_and_the_places_of_their_numbers() -> None:
    life = settled(service_name="db")

    assert life.names == ["web-0", "web-1", "web-2"]
    one = life.pod("web-1")
    assert (one.spec.hostname, one.spec.subdomain) == ("web-1", "db")
    labels = one.metadata.labels
    assert (labels[POD_NAME_LABEL], labels[POD_INDEX_LABEL]) == ("web-1", "1")
    assert labels[REVISION_LABEL] == life.wanted.status.update_revision
    assert one.metadata.controller == life.wanted.owner_reference()


def test_the_first_number_may_be_another() -> None:
    life = settled(ordinals=StatefulSetOrdinals(start=5))
    assert life.names == ["web-5", "web-6", "web-7"]

    life.change(ordinals=StatefulSetOrdinals(start=6))
    life.settle()
    assert life.names == ["web-6", "web-7", "web-8"]


def test_each_pod_is_made_when_those_before_it_are_available() -> None:
    life = a_life()
    life.plan()  # the revision
    life.plan()
    assert life.names == ["web-0"]
    life.plan()
    assert life.names == ["web-0"]
    life.start()
    life.plan()
    assert life.names == ["web-0", "web-1"]


def test_a_pod_that_is_ready_too_short_holds_the_next() -> None:
    life = a_life(min_ready_seconds=30)
    life.plan()
    life.plan()
    life.start()

    life.pass_s(10)
    life.plan()
    assert life.names == ["web-0"]
    assert life.wanted.status.available_replicas == 0
    pauses = [one.after_s for one in planned(life) if isinstance(one, RequeueAfter)]
    assert pauses == [20]
    life.pass_s(20)
    life.plan()
    assert (life.names, life.wanted.status.available_replicas) == (["web-0", "web-1"], 1)


def test_in_parallel_nobody_waits() -> None:
    life = a_life(pod_management_policy="Parallel")
    life.plan()
    life.plan()
    assert life.names == ["web-0", "web-1", "web-2"]
    life.settle()

    life.change(replicas=0)
    life.plan()
    assert all(pod.metadata.is_deleted for pod in life.pods)


def test_pods_end_from_the_highest_down_each_when_the_one_above_is_gone() -> None:
    life = settled()
    life.change(replicas=0)
    gone = []
    for _ in range(3):
        life.plan()
        life.plan()
        (going,) = [pod.metadata.name for pod in life.pods if pod.metadata.is_deleted]
        gone.append(going)
        life.end()
    assert gone == ["web-2", "web-1", "web-0"]


def test_a_broken_pod_below_holds_the_end_of_those_above() -> None:
    life = settled()
    life.become(life.pod("web-0"), is_ready=False)
    life.change(replicas=2)
    life.plan()
    assert not life.pod("web-2").metadata.is_deleted

    life.become(life.pod("web-0"))
    life.plan()
    assert life.pod("web-2").metadata.is_deleted


def test_a_pod_that_is_going_keeps_its_name_until_it_is_gone() -> None:
    """Whatever is known of its node: there may never be two of one identity."""
    life = settled()
    going = life.pod("web-1")
    life.world.carry_out([Delete(Pod, going.ref, going.metadata.uid)])

    for _ in range(3):
        life.plan()
    assert life.pod("web-1").metadata.uid == going.metadata.uid

    life.end()
    life.settle()
    assert life.pod("web-1").metadata.uid != going.metadata.uid


def test_a_finished_pod_is_ended_and_made_again() -> None:
    life = settled()
    life.pass_s(FAST_END_S)
    before = life.pod("web-1").metadata.uid
    life.fail("web-1")

    assert "RecreatingFailedPod" in reasons(planned(life))
    life.settle()
    assert life.pod("web-1").metadata.uid != before


def test_a_pod_that_fails_at_once_keeps_its_place_for_a_while() -> None:
    life = a_life()
    life.plan()
    life.plan()
    life.fail("web-0")

    assert [one.after_s for one in planned(life) if isinstance(one, RequeueAfter)] == [FAST_END_S]
    assert life.plan() <= 1  # the status
    assert life.names == ["web-0"]


def test_a_rollout_goes_from_the_highest_down_one_by_one() -> None:
    life = settled(image="a")
    order: list[str] = []

    def look(action: Action) -> None:
        if isinstance(action, Delete) and action.kind is Pod:
            assert all(is_ready(pod) for pod in life.pods), life.names
            order.append(action.ref.name)

    life.watched.append(look)
    life.set_image("b")
    life.settle()

    assert order == ["web-2", "web-1", "web-0"]
    assert set(life.images().values()) == {"b"}
    status = life.wanted.status
    assert status.current_revision == status.update_revision == revisions(life)[-1].metadata.name
    assert (status.current_replicas, status.updated_replicas, status.replicas) == (3, 3, 3)


def test_pods_below_the_partition_stay_and_are_made_again_as_they_were() -> None:
    life = settled(image="a", update_strategy=partition(2))
    life.set_image("b")
    life.settle()
    assert life.images() == {"web-0": "a", "web-1": "a", "web-2": "b"}
    status = life.wanted.status
    assert (status.current_replicas, status.updated_replicas) == (2, 1)
    assert status.current_revision != status.update_revision

    life.world.remove(life.pod("web-0").ref)
    life.settle()
    assert life.images()["web-0"] == "a"

    life.change(update_strategy=partition(0))
    life.settle()
    assert set(life.images().values()) == {"b"}


def test_on_delete_leaves_the_exchange_to_others() -> None:
    life = settled(image="a", update_strategy=StatefulSetUpdateStrategy(type="OnDelete"))
    life.set_image("b")
    life.settle()
    assert set(life.images().values()) == {"a"}

    life.world.remove(life.pod("web-1").ref)
    life.settle()
    assert life.images() == {"web-0": "a", "web-1": "b", "web-2": "a"}


def test_a_bad_template_stops_at_its_first_pod() -> None:
    life = settled(image="a")
    life.set_image(BAD)
    life.settle()

    assert life.images() == {"web-0": "a", "web-1": "a", "web-2": BAD}
    assert (life.wanted.status.ready_replicas, life.wanted.status.updated_replicas) == (2, 1)


def exchanging(share: int | str) -> StatefulSetUpdateStrategy:
    return StatefulSetUpdateStrategy(rolling_update=RollingUpdateStatefulSet(max_unavailable=share))


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
@pytest.mark.parametrize(("share", "most"), [(1, 1), (2, 2), ("21%", 2), ("20%", 1), (9, 5)])
def test_no_more_pods_are_missing_in_an_exchange_than_may_be(
    policy: str, share: int | str, most: int
) -> None:
    strategy = exchanging(share)
    life = settled(replicas=5, image="a", update_strategy=strategy, pod_management_policy=policy)
    missing: list[int] = []

    def look(_: Action) -> None:
        there = [pod for pod in life.pods if is_ready(pod) and not pod.metadata.is_deleted]
        missing.append(5 - len(there))

    life.watched.append(look)
    life.set_image("b")
    life.settle()
    assert set(life.images().values()) == {"b"}
    # It is looked before each action: the last deletion of several is seen by the next action.
    assert max(missing) == most


def test_a_pod_that_is_missing_by_itself_counts_in_an_exchange() -> None:
    life = settled(replicas=4, image="a", update_strategy=exchanging(2),
                   pod_management_policy="Parallel")  # fmt: skip
    life.become(life.pod("web-3"), is_ready=False)
    life.set_image(BAD)
    life.settle()
    assert [name for name, image in life.images().items() if image == BAD] == ["web-2", "web-3"]


def test_a_template_that_returns_is_its_old_revision_under_a_new_number() -> None:
    life = settled(image="a")
    (first,) = revisions(life)
    life.set_image("b")
    life.settle()
    life.set_image("a")
    life.settle()

    assert [one.revision for one in revisions(life)] == [2, 3]
    assert revisions(life)[-1].metadata.uid == first.metadata.uid
    assert life.wanted.status.update_revision == first.metadata.name


def test_only_so_many_old_revisions_are_kept_the_newest() -> None:
    life = settled(image="0", revision_history_limit=2)
    for number in range(1, 6):
        life.set_image(str(number))
        life.settle()

    assert [one.revision for one in revisions(life)] == [4, 5, 6]


def test_a_name_that_another_object_holds_is_counted_and_another_is_taken() -> None:
    life = a_life()
    life.plan()
    (first,) = revisions(life)
    other = Life(StatefulSets(), a_statefulset())
    stranger = replaced(
        first, metadata=replaced(first.metadata, owner_references=(), labels={}), data=None
    )
    other.world.put(stranger)
    other.settle()

    assert other.wanted.status.collision_count == 1
    assert other.wanted.status.update_revision != first.metadata.name


def test_a_pods_name_that_is_anothers_is_waited_for_and_told() -> None:
    stranger = a_pod("web-1", labels={"app": "other"})
    life = Life(StatefulSets(), a_statefulset(replicas=3), stranger)
    life.settle()
    assert life.names == ["web-0", "web-1"]
    assert "FailedCreate" in reasons(planned(life))
    assert life.wanted.ref in StatefulSets().keys(stranger, life.world.view())

    life.world.remove(stranger.ref)
    life.settle()
    assert life.names == ["web-0", "web-1", "web-2"]


def test_pods_that_fit_and_are_nobodys_are_adopted_and_others_let_go() -> None:
    life = settled()
    kept = {pod.metadata.uid for pod in life.pods}
    for pod in life.pods:
        meta = replaced(pod.metadata, owner_references=(), labels={"app": "web"})
        life.world.put(replaced(pod, metadata=meta))
    life.world.put(a_pod("web-x"))
    life.world.put(a_pod("web-9", labels={"app": "other"}, owner=life.wanted))
    life.settle()

    mine = [pod for pod in life.pods if pod.metadata.controller == life.wanted.owner_reference()]
    # Without the label of its revision nobody knows what an adopted pod is: it is exchanged.
    assert [pod.metadata.name for pod in mine] == ["web-0", "web-1", "web-2"]
    assert all(pod.metadata.labels[POD_NAME_LABEL] == pod.metadata.name for pod in mine)
    assert not kept & {pod.metadata.uid for pod in mine}
    assert life.pod("web-9").metadata.controller is None
    assert life.pod("web-x").metadata.controller is None


def test_revisions_of_an_orphaned_set_are_found_again() -> None:
    life = settled()
    (one,) = revisions(life)
    life.world.put(replaced(one, metadata=replaced(one.metadata, owner_references=())))
    assert life.wanted.ref in StatefulSets().keys(revisions(life)[0], life.world.view())
    life.settle()

    (found,) = revisions(life)
    assert found.metadata.uid == one.metadata.uid
    assert found.metadata.controller == life.wanted.owner_reference()


def test_a_set_that_goes_makes_nothing() -> None:
    life = settled()
    meta = replaced(life.wanted.metadata, deletion_timestamp=life.world.now, finalizers=("a/b",))
    life.world.put(replaced(life.wanted, metadata=meta))
    life.kill(0)

    assert planned(life) == []


@pytest.mark.parametrize("name", ["web", "web-", "web-01", "-1", "web-x", "web-99999999999"])
def test_only_names_that_a_set_makes_have_parts(name: str) -> None:
    assert parts_of(name) is None


def test_a_name_has_its_set_and_its_number() -> None:
    assert parts_of("web-2-10") == ("web-2", 10)
    keys = list(StatefulSets().keys(a_pod("db-3"), a_life().world.view()))
    assert keys == [Ref("StatefulSet", "default", "db")]


DEEDS: dict[str, Callable[[Life[StatefulSet], int, int], object]] = {
    "plan": lambda life, behind, cut: life.plan(behind, cut or None),
    "start": lambda life, *_: life.start(),
    "end": lambda life, most, _: life.end(most),
    "kill": lambda life, place, _: life.kill(place),
    "size": lambda life, count, _: life.change(replicas=count),
    "image": lambda life, number, _: life.set_image(str(number)),
    "part": lambda life, number, _: life.change(update_strategy=partition(number)),
    "more": lambda life, number, _: life.change(update_strategy=exchanging(number + 1)),
}
STEPS = st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(0, 3), st.integers(0, 3))


@given(st.booleans(), st.lists(STEPS, max_size=25))
def test_whatever_was_done_on_the_way_the_end_is_what_was_wanted_last(
    is_ordered: bool, steps: list[tuple[str, int, int]]
) -> None:
    policy = "OrderedReady" if is_ordered else "Parallel"
    life = a_life(pod_management_policy=policy, image="0")
    for deed, first, second in steps:
        DEEDS[deed](life, first, second)
    life.change(update_strategy=partition(0))
    life.pass_s(FAST_END_S)
    life.settle()

    wanted = life.wanted
    replicas = wanted.spec.replicas
    assert life.names == [f"web-{number}" for number in range(replicas)]
    assert set(life.images().values()) <= {wanted.spec.template.spec.containers[0].image}
    status = wanted.status
    counts = (status.replicas, status.ready_replicas, status.updated_replicas)
    assert (*counts, status.current_replicas, status.available_replicas) == (replicas,) * 5
    assert status.observed_generation == wanted.metadata.generation
    assert status.current_revision == status.update_revision


@given(st.lists(st.sampled_from(["plan", "start", "end", "kill", "grow", "shrink"]), max_size=30))
def test_in_order_nothing_is_made_while_one_before_it_is_not_there(deeds: list[str]) -> None:
    life = a_life()

    def look(action: Action) -> None:
        if isinstance(action, Create) and isinstance(action.object, Pod):
            parts = parts_of(action.object.metadata.name)
            assert parts is not None
            before = {f"web-{number}" for number in range(parts.number)}
            ready = {pod.metadata.name for pod in life.pods if is_ready(pod)}
            assert before <= ready

    life.watched.append(look)
    for deed in deeds:
        if deed in ("grow", "shrink"):
            step = 1 if deed == "grow" else -1
            life.change(replicas=max(0, life.wanted.spec.replicas + step))
        elif deed == "kill":
            life.kill(len(life.pods) // 2)
        else:
            cast(Any, getattr(life, deed))()
    life.settle()
