"""Jobs: how many pods run, which ends count, when it is over, and what is told of it."""

from datetime import timedelta

import pytest

from controllers.jobs.jobs import Jobs
from controllers.jobs.pods import held_back_s, index_of
from cubernetes.api.batch.job import TRACKING, JobStatus, is_over
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import EnvVar
from cubernetes.api.meta import replaced
from cubernetes.api.selectors import LabelSelector
from cubernetes.reconcile.plan import Create, Delete, RequeueAfter, StillView, UpdateStatus
from tests.given import NOW, a_condition, a_job, a_pod, a_template
from tests.unit.controllers.jobs.joblife import JobLife, SplitView, counts, message, told


def a_life(**spec: object) -> JobLife:
    life = JobLife(None, **spec)
    life.settle()
    return life


def indexes(life: JobLife) -> list[int]:
    return sorted(index_of(one) for one in life.running() if not one.metadata.is_deleted)


def test_a_job_runs_one_pod_and_is_complete_once_that_succeeded() -> None:
    life = a_life()
    assert len(life.running()) == 1
    assert life.job.status.active == 1
    assert life.job.status.start_time == NOW

    life.pass_s(5)
    life.finish_one(is_success=True)
    life.settle()

    assert told(life)["Complete"] == ("True", "CompletionsReached")
    assert told(life)["SuccessCriteriaMet"] == ("True", "CompletionsReached")
    assert message(life, "Complete") == "Reached expected number of succeeded pods"
    assert life.job.status.completion_time == NOW + timedelta(seconds=5)
    assert counts(life) == (1, 0)
    assert life.job.status.active == 0
    assert [record.reason for record in life.world.records] == ["SuccessfulCreate", "Completed"]


def test_as_many_run_at_once_as_may_and_never_more_than_still_have_to_succeed() -> None:
    life = a_life(completions=3, parallelism=2)
    assert len(life.running()) == 2

    life.finish_one(is_success=True)
    life.settle()
    assert len(life.running()) == 2

    life.finish_one(is_success=True)
    life.settle()
    assert len(life.running()) == 1


def test_without_a_number_of_completions_the_first_success_ends_the_making() -> None:
    life = a_life(parallelism=3)
    assert life.job.spec.completions is None
    assert len(life.running()) == 3

    life.finish_one(is_success=True)
    life.settle()
    assert len(life.running()) == 2
    assert not is_over(life.job)

    life.finish_one(is_success=True)
    life.finish_one(is_success=True)
    life.settle()
    assert "Complete" in told(life)
    assert counts(life) == (3, 0)


def test_each_index_succeeds_once_and_its_pod_is_told_which_it_is() -> None:
    life = a_life(completions=4, parallelism=2, completion_mode="Indexed")
    assert indexes(life) == [0, 1]
    pod = life.running()[1]
    assert pod.spec.hostname == "work-1"
    assert pod.metadata.name.startswith("work-1-")
    assert pod.metadata.labels["batch.kubernetes.io/job-completion-index"] == "1"
    assert pod.spec.containers[0].env == (EnvVar(name="JOB_COMPLETION_INDEX", value="1"),)

    life.finish_index(1, is_success=True)
    life.settle()
    assert indexes(life) == [0, 2]
    life.finish_index(2, is_success=True)
    life.settle()
    assert life.job.status.completed_indexes == "1,2"

    life.end_well()
    assert life.job.status.completed_indexes == "0-3"


def test_a_failed_index_is_made_again_under_another_name() -> None:
    life = a_life(completions=2, parallelism=2, completion_mode="Indexed")
    before = {one.metadata.name for one in life.pods()}
    life.finish_index(0, is_success=False)
    life.pass_s(11)
    life.settle()

    assert indexes(life) == [0, 1]
    assert len({one.metadata.name for one in life.pods()} - before) == 1
    assert counts(life) == (0, 1)


def test_more_failures_than_the_limit_end_it_and_its_other_pods() -> None:
    life = a_life(completions=4, parallelism=2, backoff_limit=1)
    life.start_all()
    for _ in range(2):
        life.finish_one(is_success=False)
        life.pass_s(400)
        life.settle()
        life.start_all()

    assert told(life)["FailureTarget"] == ("True", "BackoffLimitExceeded")
    assert message(life, "FailureTarget") == "Job has reached the specified backoff limit"
    assert not is_over(life.job)
    assert life.job.status.terminating == 1

    life.let_go()
    life.settle()
    assert told(life)["Failed"] == ("True", "BackoffLimitExceeded")
    # The pod that was ended for it failed too.
    assert counts(life) == (0, 3)
    assert life.job.status.completion_time is None
    assert life.world.records[-1].type == "Warning"


def test_containers_that_are_started_again_count_where_pods_never_fail() -> None:
    life = a_life(restart_policy="OnFailure", backoff_limit=2)
    (pod,) = life.running()
    status = a_pod(phase="Running").status
    started = replaced(status.container_statuses[0], restart_count=2)
    life.world.put(replaced(pod, status=replaced(status, container_statuses=(started,))))
    life.settle()

    assert told(life)["FailureTarget"] == ("True", "BackoffLimitExceeded")


def test_failed_pods_are_replaced_after_ten_seconds_then_twice_as_many_up_to_six_minutes() -> None:
    life = a_life(backoff_limit=100)
    pauses = []
    for _ in range(8):
        life.finish_one(is_success=False)
        life.settle()
        assert not life.running()
        pauses.append(held_back_s(life.job, life.pods(), life.world.now))
        life.pass_s(pauses[-1])
        life.settle()
        assert len(life.running()) == 1

    assert pauses == [10, 20, 40, 80, 160, 320, 360, 360]


def test_a_success_ends_the_pauses() -> None:
    life = a_life(completions=2, backoff_limit=100)
    life.finish_one(is_success=False)
    life.pass_s(10)
    life.settle()
    life.pass_s(1)
    life.finish_one(is_success=True)
    life.settle()

    assert len(life.running()) == 1


def test_a_pod_of_a_node_whose_clock_is_ahead_is_not_waited_for_longer() -> None:
    life = a_life(backoff_limit=100)
    life.pass_s(5000)
    life.finish_one(is_success=False)
    life.pass_s(-5000)
    life.settle()

    assert held_back_s(life.job, life.pods(), life.world.now) == 10


def test_a_job_that_takes_too_long_fails() -> None:
    life = a_life(completions=2, parallelism=2, active_deadline_seconds=60)
    actions = list(Jobs().plan(life.ref, life.world.view(), life.world.now))
    assert actions == [RequeueAfter(60.0)]

    life.pass_s(60)
    life.settle()

    assert told(life)["Failed"] == ("True", "DeadlineExceeded")
    assert message(life, "Failed") == "Job was active longer than specified deadline"
    assert not life.running()


def test_a_finished_job_goes_after_its_time_to_live() -> None:
    life = a_life(ttl_seconds_after_finished=30)
    life.end_well()
    (wait,) = Jobs().plan(life.ref, life.world.view(), life.world.now)
    assert wait == RequeueAfter(30.0)

    life.pass_s(30)
    (delete,) = Jobs().plan(life.ref, life.world.view(), life.world.now)
    assert isinstance(delete, Delete)
    assert delete.propagation == "Foreground"
    assert delete.resource_version == life.job.metadata.resource_version


def test_a_job_of_another_controller_is_left_alone() -> None:
    other = a_life(managed_by="acme.io/queue", ttl_seconds_after_finished=30)
    assert (other.pods(), other.job.status) == ([], JobStatus())
    done = replaced(other.job.status, conditions=(a_condition("Complete", since=NOW),))
    other.world.put(replaced(other.job, status=done))
    other.settle()
    assert other.job.status == done

    other.pass_s(30)
    (delete,) = Jobs().plan(other.ref, other.world.view(), other.world.now)
    assert isinstance(delete, Delete)

    assert len(a_life(managed_by="kubernetes.io/job-controller").running()) == 1


def test_a_suspended_job_ends_its_pods_uncounted_and_begins_anew_when_resumed() -> None:
    life = a_life(completions=3, parallelism=2, active_deadline_seconds=100)
    life.start_all()
    life.change(suspend=True)
    life.settle()
    life.let_go()
    life.settle()
    assert not life.pods()
    assert told(life)["Suspended"] == ("True", "JobSuspended")
    assert counts(life) == (0, 0)

    life.pass_s(1000)
    life.settle()
    life.change(suspend=False)
    life.settle()
    assert told(life)["Suspended"] == ("False", "JobResumed")
    assert life.job.status.start_time == NOW + timedelta(seconds=1000)
    assert len(life.running()) == 2
    assert [one.reason for one in life.world.records if one.reason in ("Suspended", "Resumed")] == [
        "Suspended",
        "Resumed",
    ]


def test_a_job_that_is_made_suspended_has_not_begun() -> None:
    life = a_life(suspend=True)

    assert not life.pods()
    assert life.job.status.start_time is None


def test_a_pod_that_is_asked_to_end_is_replaced_at_once_or_when_it_has_ended() -> None:
    at_once, later = a_life(), a_life(pod_replacement_policy="Failed")
    for life in (at_once, later):
        life.start_all()
        life.delete(life.running()[0])
        life.pass_s(30)
        life.settle()
    assert len(at_once.running()) == 2
    assert len(later.running()) == 1
    assert later.job.status.terminating == 1

    later.let_go()
    later.pass_s(30)
    later.settle()
    (pod,) = later.pods()
    assert not pod.metadata.is_deleted
    assert counts(later) == (0, 1)


def test_fewer_pods_at_once_end_the_surplus_uncounted() -> None:
    life = a_life(completions=5, parallelism=4)
    life.change(parallelism=1)
    life.settle()

    assert len(life.running()) == 1
    assert counts(life) == (0, 0)


def test_how_many_are_ready_is_told() -> None:
    life = a_life(completions=2, parallelism=2)
    (first, _) = life.running()
    life.world.put(replaced(first, status=a_pod(phase="Running", is_ready=True).status))
    life.settle()

    assert (life.job.status.active, life.job.status.ready) == (2, 1)


def test_an_end_is_noted_first_then_let_go_then_counted() -> None:
    life = a_life(completions=2)
    life.finish_one(is_success=True)
    uid = next(iter(life.ended))

    life.plan()
    noted = life.job.status.uncounted_terminated_pods
    assert noted is not None
    assert noted.succeeded == (uid,)
    assert counts(life) == (0, 0)
    assert any(
        TRACKING in one.metadata.finalizers for one in life.pods() if one.metadata.uid == uid
    )

    life.plan()
    life.plan()
    noted = life.job.status.uncounted_terminated_pods
    assert noted is not None
    assert noted.succeeded == ()
    assert counts(life) == (1, 0)


def test_a_failure_is_noted_as_one() -> None:
    life = a_life()
    life.finish_one(is_success=False)
    life.plan()

    noted = life.job.status.uncounted_terminated_pods
    assert noted is not None
    assert noted.failed == tuple(life.ended)


def test_in_a_view_of_pods_older_than_the_job_nothing_is_noted() -> None:
    life = a_life(completions=2)
    life.finish_one(is_success=True)
    before = life.world.view()
    for _ in range(3):
        life.plan()
    assert counts(life) == (1, 0)

    view = SplitView(life.world.view(), before)
    actions = list(Jobs().plan(life.ref, view, life.world.now))

    assert actions == [RequeueAfter(1.0)]


def test_in_a_view_of_pods_from_before_they_were_made_none_is_counted() -> None:
    life = JobLife(completions=1, backoff_limit=1000)
    life.plan()
    life.finish_one(is_success=False)
    life.plan()
    noted = life.job.status

    # No write since the Job was made: there is no pod in it.
    before_all = life.world.writes - 1
    assert life.plan(pods_behind=before_all) == 0
    assert life.job.status == noted

    life.end_well()
    assert counts(life) == (1, 1)


def test_in_a_view_of_the_job_older_than_its_counts_no_pod_is_made() -> None:
    life = a_life(completions=1)
    life.finish_one(is_success=True)
    before = life.world.view()
    life.settle()

    view = SplitView(before, life.world.view())
    actions = list(Jobs().plan(life.ref, view, life.world.now))

    assert not any(isinstance(one, Create) for one in actions)


def test_planned_again_on_the_same_view_it_asks_for_the_same_pods() -> None:
    life = JobLife(completions=3, parallelism=3)
    view = life.world.view()
    first, again = (list(Jobs().plan(life.ref, view, NOW)) for _ in range(2))

    assert isinstance(first[0], UpdateStatus)
    names = [one.object.metadata.name for one in first if isinstance(one, Create)]
    assert len(set(names)) == 3
    assert names == [one.object.metadata.name for one in again if isinstance(one, Create)]


def test_pods_of_a_job_that_is_gone_are_let_go() -> None:
    life = a_life(completions=2, parallelism=2)
    gone = life.job
    life.world.remove(gone.ref)
    keys = list(Jobs().keys(gone, life.world.view()))
    assert len(keys) == 3

    for key in keys:
        life.world.carry_out(Jobs().plan(key, life.world.view(), NOW))

    assert not any(one.metadata.finalizers for one in life.pods())


def test_whether_a_job_is_gone_is_not_known_in_an_older_view() -> None:
    life = a_life()
    (pod,) = life.pods()
    life.world.remove(life.job.ref)
    old = SplitView(StillView([], as_of=1), life.world.view())

    assert list(Jobs().plan(pod.ref, old, NOW)) == [RequeueAfter(1.0)]


def test_pods_of_a_job_that_is_asked_to_go_are_let_go() -> None:
    life = a_life()
    meta = replaced(life.job.metadata, deletion_timestamp=NOW, finalizers=("foregroundDeletion",))
    life.world.put(replaced(life.job, metadata=meta))
    life.settle()

    assert not any(one.metadata.finalizers for one in life.pods())


def test_a_selector_of_its_authors_own_adopts_and_lets_go() -> None:
    mine = {"app": "batch"}
    template = a_template(mine)
    template = replaced(template, spec=replaced(template.spec, restart_policy="Never"))
    job = a_job(manual_selector=True, selector=LabelSelector(match_labels=mine), template=template)
    life = JobLife(job)
    life.world.put(a_pod("orphan", phase="Running", node="n1", labels=mine))
    life.settle()
    (pod,) = life.pods()
    assert pod.metadata.finalizers == (TRACKING,)
    assert pod.metadata.controller == job.owner_reference()

    life.world.put(replaced(pod, metadata=replaced(pod.metadata, labels={})))
    life.settle()
    found = life.world.get(Pod, "orphan", "default")
    assert found is not None
    assert found.metadata.owner_references == ()
    assert found.metadata.finalizers == ()
    assert len(life.pods()) == 2


@pytest.mark.parametrize("restart_policy", ["Never", "OnFailure"])
def test_pods_are_made_of_the_template(restart_policy: str) -> None:
    life = a_life(restart_policy=restart_policy)
    (pod,) = life.pods()

    assert pod.spec.restart_policy == restart_policy
    assert pod.metadata.labels["batch.kubernetes.io/controller-uid"] == life.job.metadata.uid
    assert pod.metadata.labels["job-name"] == "work"
    assert pod.metadata.labels["app"] == "web"


def test_a_pod_that_is_made_after_the_end_is_ended_uncounted() -> None:
    life = a_life()
    late = replaced(life.running()[0], metadata=replaced(life.running()[0].metadata, name="late"))
    life.end_well()
    before = life.job.status
    life.world.put(replaced(late, metadata=replaced(late.metadata, uid="late")))
    life.settle()

    assert not life.running()
    assert life.job.status == before
