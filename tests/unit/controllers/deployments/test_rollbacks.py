"""Rollouts that fail and go back by themselves: to what was available once, and in no circle."""

from datetime import timedelta
from itertools import pairwise

from cubernetes.api.apps.deployment import DeploymentCondition, DeploymentStatus
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Record, Update
from tests.given import NOW
from tests.unit.controllers.deployments.rollouts import (
    BAD,
    CAUSE,
    GOES_BACK,
    condition,
    image,
    revisions,
    settled,
)


def test_a_failed_rollout_goes_back_by_itself_where_it_is_asked_to() -> None:
    life = settled(image="a", annotations={**GOES_BACK, CAUSE: "a"}, progress_deadline_seconds=60)
    life.set_image(BAD)
    one = life.wanted
    notes = {**one.metadata.annotations, CAUSE: "bad"}
    life.world.put(replaced(one, metadata=replaced(one.metadata, annotations=notes)))
    life.settle()
    assert image(life.wanted) == BAD

    life.pass_s(100)
    life.settle()

    assert image(life.wanted) == "a"
    assert life.wanted.metadata.annotations[CAUSE] == "a"
    assert life.sizes() == [0, 3]
    assert revisions(life) == [2, 3]
    assert condition(life) == ("True", "NewReplicaSetAvailable")
    told = [one for one in life.world.records if one.reason == "DeploymentRollback"]
    assert [one.message for one in told] == ['Rolled back deployment "web" to revision 1']


def test_without_the_annotation_a_failed_rollout_stays() -> None:
    life = settled(image="a", progress_deadline_seconds=60)
    life.set_image(BAD)
    for _ in range(3):
        life.settle()
        life.pass_s(100)

    assert image(life.wanted) == BAD


def test_a_first_rollout_that_fails_has_nowhere_to_go_back_to() -> None:
    life = settled(image=BAD, annotations=GOES_BACK, progress_deadline_seconds=60)
    for _ in range(3):
        life.pass_s(100)
        life.settle()

    assert image(life.wanted) == BAD
    assert condition(life) == ("False", "ProgressDeadlineExceeded")


def test_two_revisions_that_both_went_bad_are_no_circle() -> None:
    """Both were available once; now neither is: each is tried once, and the second stays."""
    life = settled(image="a", annotations=GOES_BACK, progress_deadline_seconds=60)
    life.set_image("b")
    life.settle()
    life.set_image(BAD)
    life.settle()
    life.is_good = False
    seen = []
    for _ in range(8):
        for place in range(3):
            life.kill(place)
        life.pass_s(100)
        life.settle()
        seen.append(image(life.wanted))

    assert seen[-1] == seen[-4]
    assert sum(one != other for one, other in pairwise(seen)) <= 2


def test_a_template_that_its_user_took_back_after_a_failure_is_given_its_own_time() -> None:
    """The condition still tells of the failed one: the next must not go back at once."""
    life = settled(image="a", annotations=GOES_BACK, progress_deadline_seconds=60)
    life.set_image("b")
    life.settle()
    one = life.wanted
    life.world.put(replaced(one, metadata=replaced(one.metadata, annotations={})))
    life.set_image(BAD)
    life.settle()
    life.pass_s(100)
    life.roll()
    assert condition(life) == ("False", "ProgressDeadlineExceeded")
    one = life.wanted
    life.world.put(replaced(one, metadata=replaced(one.metadata, annotations=GOES_BACK)))
    life.set_image("a")
    life.roll()
    assert condition(life) == ("True", "FoundNewReplicaSet")
    life.settle()

    assert image(life.wanted) == "a"


def test_a_plan_that_goes_back_writes_the_mark_first() -> None:
    status = DeploymentStatus(
        conditions=(
            DeploymentCondition(
                type="Progressing", status="False", reason="ProgressDeadlineExceeded",
                last_update_time=NOW - timedelta(hours=1),
            ),
        )
    )  # fmt: skip
    life = settled(image="a", annotations=GOES_BACK)
    life.set_image("b")
    life.settle()
    life.world.put(replaced(life.wanted, status=status))

    plan = list(life.deployments.plan(life.wanted.ref, life.world.view(), life.world.now))

    assert [type(one).__name__ for one in plan] == ["Patch", "Update", "Record"]
    assert isinstance(plan[1], Update)
    assert isinstance(plan[2], Record)
