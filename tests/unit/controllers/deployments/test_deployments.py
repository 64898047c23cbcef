"""Deployments: revisions, conditions, pauses, Recreate, and claims on ReplicaSets."""

import pytest

from controllers.deployments.rollout import set_made
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.apps.revisions import HASH_LABEL
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Create, RequeueAfter
from tests.given import NOW, a_deployment, a_pod, a_replicaset, a_template
from tests.unit.controllers.deployments.rollouts import (
    BAD,
    CAUSE,
    REVISION,
    Life,
    condition,
    image,
    revisions,
    settled,
)


def test_a_first_rollout_makes_one_set_with_the_hash_of_its_template() -> None:
    life = settled(annotations={CAUSE: "the first", "team": "a"})

    (one,) = life.sets
    ending = one.metadata.labels[HASH_LABEL]
    assert one.metadata.name == f"web-{ending}"
    assert one.spec.selector.match_labels == {"app": "web", HASH_LABEL: ending}
    assert all(pod.metadata.labels[HASH_LABEL] == ending for pod in life.pods())
    notes = one.metadata.annotations
    assert (notes[CAUSE], notes["team"], notes[REVISION]) == ("the first", "a", "1")
    prefix = "deployment.kubernetes.io/"
    assert (notes[f"{prefix}desired-replicas"], notes[f"{prefix}max-replicas"]) == ("3", "4")
    assert life.wanted.metadata.annotations[REVISION] == "1"
    assert condition(life) == ("True", "NewReplicaSetAvailable")
    assert condition(life, "Available") == ("True", "MinimumReplicasAvailable")


def test_a_template_that_returns_is_the_next_revision_of_its_old_set() -> None:
    life = settled(image="a")
    life.set_image("b")
    life.settle()
    life.set_image("a")
    life.settle()

    assert [image(one) for one in life.sets] == ["b", "a"]
    assert revisions(life) == [2, 3]
    assert life.sets[1].metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert life.wanted.metadata.annotations[REVISION] == "3"
    assert life.sizes() == [0, 3]


def test_an_old_set_that_somebody_deletes_takes_no_number_back() -> None:
    life = settled(image="a")
    for name in ("b", "c"):
        life.set_image(name)
        life.settle()
    life.world.remove(life.sets[1].ref)
    life.settle()

    assert revisions(life) == [1, 3]
    assert life.wanted.metadata.annotations[REVISION] == "3"


def test_a_cause_that_is_noted_later_stands_on_the_present_set_and_on_no_old_one() -> None:
    life = settled(annotations={CAUSE: "one"})
    life.set_image("b")
    one = life.wanted
    notes = {**one.metadata.annotations, CAUSE: "two"}
    life.world.put(replaced(one, metadata=replaced(one.metadata, annotations=notes)))
    life.settle()

    assert [one.metadata.annotations[CAUSE] for one in life.sets] == ["one", "two"]


def test_every_scale_is_told() -> None:
    life = settled(replicas=1)
    life.set_image("b")
    life.settle()

    told = [one.message for one in life.world.records if one.reason == "ScalingReplicaSet"]
    old, new = (one.metadata.name for one in life.sets)
    assert told == [
        f"Scaled up replica set {old} from 0 to 1",
        f"Scaled up replica set {new} from 0 to 1",
        f"Scaled down replica set {old} from 1 to 0",
    ]


def test_recreate_ends_every_old_pod_before_the_first_new_one() -> None:
    life = settled(strategy="Recreate")
    life.set_image("b")
    life.roll()
    life.count()
    assert life.sizes() == [0]
    # They are asked to go, and still run.
    assert len(life.world.all(Pod)) == 3
    life.roll()
    assert len(life.sets) == 1

    life.end()
    life.settle()

    assert life.sizes() == [0, 3]


def test_a_pod_concerns_the_deployment_that_waits_for_its_end_and_no_other() -> None:
    for strategy, wanted in (("Recreate", 1), ("RollingUpdate", 0)):
        life = settled(strategy=strategy)
        view = life.world.view()
        (first, *_) = life.pods()
        assert len(list(life.deployments.keys(first, view))) == wanted
    assert list(life.deployments.keys(a_pod("alone"), view)) == []


def test_what_is_paused_rolls_nothing_out_but_follows_its_size_in_proportion() -> None:
    life = settled(replicas=4, surge=2)
    life.set_image("b")
    life.roll()
    life.count()
    life.change(paused=True)
    life.settle()
    assert life.sizes() == [4, 2]
    assert condition(life) == ("Unknown", "DeploymentPaused")

    life.change(replicas=8)
    life.settle()
    assert sum(life.sizes()) == 10
    assert min(life.sizes()) > 0

    life.change(paused=False)
    life.roll()
    assert condition(life)[1] in ("DeploymentResumed", "ReplicaSetUpdated")
    life.settle()
    assert life.sizes() == [0, 8]


def test_a_template_that_changes_in_a_pause_waits() -> None:
    life = settled()
    life.change(paused=True)
    life.set_image("b")
    life.settle()
    assert len(life.sets) == 1

    life.change(paused=False)
    life.settle()
    assert life.sizes() == [0, 3]


def test_a_scale_alone_makes_no_revision() -> None:
    life = settled()
    life.change(replicas=5)
    life.settle()

    assert (life.sizes(), revisions(life)) == ([5], [1])


def test_only_so_many_old_revisions_are_kept_the_newest() -> None:
    life = settled(image="i0", revision_history_limit=2)
    for number in range(1, 6):
        life.set_image(f"i{number}")
        life.settle()

    assert revisions(life) == [4, 5, 6]


def test_of_a_limit_of_zero_no_old_revision_is_kept() -> None:
    life = settled(image="a", revision_history_limit=0)
    life.set_image("b")
    life.settle()

    assert revisions(life) == [2]


def test_pods_that_are_not_available_are_taken_first() -> None:
    """No new pod is available yet, and no old one that is may go: those that are not go."""
    life = settled(replicas=4, surge=1, unavailable=0)
    life.kill(0)
    life.count()
    life.set_image("b")
    life.roll()
    life.count()
    assert life.sizes() == [4, 1]

    life.roll()
    # The pod that is not available counts for the floor, and goes first when the new one is there.
    assert life.sizes() == [4, 1]
    life.become_ready(life.pods(life.sets[1])[0])
    life.count()
    life.roll()
    assert life.sizes() == [3, 1]
    assert life.kept_available() == 4


def test_min_ready_seconds_hold_a_rollout_back() -> None:
    life = settled(replicas=1)
    # The kubelet of these tests says that a pod has been ready for an hour.
    life.change(min_ready_seconds=7200, progress_deadline_seconds=8000)
    life.set_image("b")
    for _ in range(20):
        life.roll(), life.count(), life.start(), life.end()
    assert life.sizes() == [1, 1]
    assert life.sets[1].spec.min_ready_seconds == 7200

    life.pass_s(3700)
    life.settle()
    assert life.sizes() == [0, 1]


def test_a_changed_patience_reaches_the_present_set() -> None:
    life = settled(replicas=1)
    life.change(min_ready_seconds=5)
    life.settle()

    assert [one.spec.min_ready_seconds for one in life.sets] == [5]


def test_a_rollout_without_progress_fails_at_its_deadline_and_says_so_in_time() -> None:
    life = settled(image="a", progress_deadline_seconds=60)
    life.set_image(BAD)
    life.settle()
    assert condition(life) == ("True", "ReplicaSetUpdated")
    pauses = [
        one.after_s
        for one in life.deployments.plan(life.wanted.ref, life.world.view(), life.world.now)
        if isinstance(one, RequeueAfter)
    ]
    assert len(pauses) == 1
    assert 0 < pauses[0] <= 60

    life.pass_s(pauses[0])
    life.roll()
    assert condition(life) == ("False", "ProgressDeadlineExceeded")
    assert condition(life, "Available") == ("True", "MinimumReplicasAvailable")
    life.settle()
    assert life.sizes() == [3, 1]

    life.set_image("b")
    life.settle()
    assert condition(life) == ("True", "NewReplicaSetAvailable")


def test_a_pause_does_not_count_for_the_deadline() -> None:
    life = settled(image="a", progress_deadline_seconds=60)
    life.set_image(BAD)
    life.settle()
    life.change(paused=True)
    life.settle()
    life.pass_s(1000)
    life.roll()
    assert condition(life) == ("Unknown", "DeploymentPaused")
    life.change(paused=False)
    life.roll()
    life.pass_s(30)
    life.settle()
    assert condition(life)[0] != "False"


def test_no_deadline_has_no_condition_of_progress() -> None:
    life = settled(progress_deadline_seconds=2**31 - 1)

    assert [one.type for one in life.wanted.status.conditions] == ["Available"]


def test_a_failure_of_a_set_is_the_deployments() -> None:
    life = settled()
    (one,) = life.sets
    failure = Condition(type="ReplicaFailure", status="True", reason="FailedCreate", message="no")
    status = replaced(one.status, conditions=(failure,))
    life.world.put(replaced(one, status=status))
    life.roll()
    assert condition(life, "ReplicaFailure") == ("True", "FailedCreate")

    (one,) = life.sets
    life.world.put(replaced(one, status=replaced(one.status, conditions=())))
    life.roll()
    assert "ReplicaFailure" not in {each.type for each in life.wanted.status.conditions}


def test_a_set_that_matches_and_is_nobodys_is_adopted_and_one_that_does_not_is_let_go() -> None:
    labels = {"app": "web"}
    orphan = a_replicaset("orphan", replicas=2, template=a_template(labels))
    orphan = replaced(orphan, metadata=replaced(orphan.metadata, labels=labels))
    life = Life(a_deployment(replicas=2, image="b"), orphan)
    life.settle()

    adopted = life.world.get(ReplicaSet, "orphan", "default")
    assert adopted is not None
    assert adopted.metadata.controller == life.wanted.owner_reference()
    assert adopted.spec.replicas == 0

    meta = replaced(adopted.metadata, labels={"app": "other"})
    life.world.put(replaced(adopted, metadata=meta))
    life.settle()
    released = life.world.get(ReplicaSet, "orphan", "default")
    assert released is not None
    assert released.metadata.owner_references == ()


def test_an_orphan_with_the_same_template_is_the_present_set() -> None:
    wanted = a_deployment(replicas=2)
    labels = {"app": "web"}
    orphan = replaced(a_replicaset("orphan", replicas=2), spec=replaced(
        a_replicaset("orphan", replicas=2).spec, template=wanted.spec.template
    ))  # fmt: skip
    orphan = replaced(orphan, metadata=replaced(orphan.metadata, labels=labels))
    life = Life(wanted, orphan)
    life.settle()

    assert [one.metadata.name for one in life.sets] == ["orphan"]
    assert condition(life) == ("True", "NewReplicaSetAvailable")


def test_a_name_that_another_object_holds_is_counted_and_another_is_taken() -> None:
    wanted = a_deployment(replicas=1)
    name = set_made(Life(wanted).rollout, 1).metadata.name
    life = Life(wanted, a_replicaset(name, selector={"app": "theirs"}, replicas=0))
    life.settle()

    assert life.wanted.status.collision_count == 1
    (ours,) = [one for one in life.world.all(ReplicaSet) if one.metadata.controller is not None]
    assert ours.metadata.name != name
    assert len(life.pods()) == 1


def test_templates_that_differ_have_names_that_differ_and_the_same_always_the_same() -> None:
    names = [
        set_made(Life(a_deployment(image=one)).rollout, 1).metadata.name for one in ("a", "b", "a")
    ]

    assert names[0] == names[2] != names[1]


def test_a_deployment_that_goes_does_nothing() -> None:
    life = Life(a_deployment(deleted_at=NOW))

    assert list(life.deployments.plan(life.wanted.ref, life.world.view(), NOW)) == []


@pytest.mark.parametrize("text", ["", "x", "-1", "9" * 40, "٣"])
def test_whatever_stands_in_the_annotations_a_plan_comes_out(text: str) -> None:
    life = settled()
    (one,) = life.sets
    prefix = "deployment.kubernetes.io/"
    odd = dict.fromkeys((f"{prefix}{key}" for key in ("revision", "max-replicas")), text)
    notes = {**one.metadata.annotations, **odd, f"{prefix}desired-replicas": text}
    life.world.put(replaced(one, metadata=replaced(one.metadata, annotations=notes)))
    life.set_image("b")
    life.settle()

    assert len(life.pods()) == 3


def test_a_view_without_the_set_that_was_just_made_asks_for_the_same_one() -> None:
    life = Life(a_deployment(replicas=2))
    view = life.world.view()
    plans = [list(life.deployments.plan(life.wanted.ref, view, NOW)) for _ in range(2)]

    made = [[one.object for one in plan if isinstance(one, Create)] for plan in plans]
    assert made[0] == made[1] != []


def test_a_set_of_another_deployment_counts_for_nothing() -> None:
    other = a_deployment("other")
    theirs = a_replicaset("theirs", replicas=4, status=ReplicaSetStatus(replicas=4))
    meta = replaced(
        theirs.metadata, labels={"app": "web"}, owner_references=(other.owner_reference(),)
    )
    life = Life(a_deployment(replicas=2), replaced(theirs, metadata=meta))
    life.roll()

    assert life.rollout.wanted.status.replicas == 0


def test_the_counts_are_those_of_all_sets_and_the_present_one() -> None:
    life = settled(replicas=3, surge=1)
    life.set_image("b")
    life.roll()
    life.count()
    life.count()
    life.roll()

    status = life.wanted.status
    assert (status.replicas, status.updated_replicas) == (4, 1)
    assert (status.ready_replicas, status.available_replicas) == (3, 3)
    assert status.unavailable_replicas == 1


def test_a_condition_says_why_and_since_when() -> None:
    """A rollout that goes on is stated anew, and since the first of it nothing has turned."""
    life = settled(replicas=3)
    life.set_image("b")
    life.roll()
    made = next(one for one in life.wanted.status.conditions if one.type == "Progressing")
    assert made.message == f'Created new replica set "{life.sets[1].metadata.name}"'
    life.pass_s(20)
    life.count()
    life.count()
    life.roll()

    now = next(one for one in life.wanted.status.conditions if one.type == "Progressing")
    assert now.message == f'ReplicaSet "{life.sets[1].metadata.name}" is progressing.'
    assert now.last_update_time == life.world.now
    assert now.last_transition_time == made.last_transition_time
