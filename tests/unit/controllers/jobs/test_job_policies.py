"""Policies of Jobs: failures by index, what is done about some failures, when it is enough."""

import pytest

from controllers.jobs.jobs import Jobs
from controllers.jobs.pods import index_of
from cubernetes.api.batch.job import TRACKING, is_over
from cubernetes.api.batch.policies import (
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
)
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import RequeueAfter
from tests.given import a_condition
from tests.unit.controllers.jobs.joblife import JobLife, counts, message, told

COUNT = "batch.kubernetes.io/job-index-failure-count"


def a_life(**spec: object) -> JobLife:
    life = JobLife(None, **{"completion_mode": "Indexed", **spec})
    life.settle()
    return life


def by_code(action: str, *codes: int, operator: str = "In") -> PodFailurePolicy:
    wanted = PodFailurePolicyOnExitCodesRequirement(operator=operator, values=codes)  # type: ignore[arg-type]
    return PodFailurePolicy(rules=(PodFailurePolicyRule(action=action, on_exit_codes=wanted),))  # type: ignore[arg-type]


def indexes(life: JobLife) -> list[int]:
    return sorted(index_of(one) for one in life.running())


def fail(life: JobLife, index: int, *, code: int = 1) -> None:
    life.finish_index(index, is_success=False, code=code)
    life.settle()


def test_an_index_fails_by_itself_and_the_others_go_on() -> None:
    life = a_life(completions=3, parallelism=3, backoff_limit_per_index=1)
    fail(life, 1)
    assert indexes(life) == [0, 2]
    life.pass_s(10)
    life.settle()
    assert indexes(life) == [0, 1, 2]
    (again,) = [one for one in life.running() if index_of(one) == 1]
    assert again.metadata.annotations[COUNT] == "1"

    fail(life, 1)
    life.pass_s(400)
    life.settle()
    assert indexes(life) == [0, 2]
    assert life.job.status.failed_indexes == "1"

    life.end_well()
    assert told(life)["Failed"] == ("True", "FailedIndexes")
    assert message(life, "Failed") == "Job has failed indexes"
    assert life.job.status.completed_indexes == "0,2"
    assert counts(life) == (2, 2)


def test_how_often_an_index_failed_stays_written_until_another_pod_tells_it() -> None:
    life = a_life(completions=1, backoff_limit_per_index=3)
    fail(life, 0)
    (failed,) = life.pods()
    assert failed.metadata.finalizers == (TRACKING,)
    assert counts(life) == (0, 0)

    life.pass_s(10)
    life.settle()
    assert counts(life) == (0, 1)


def test_each_index_waits_for_itself() -> None:
    life = a_life(completions=2, parallelism=2, backoff_limit_per_index=5)
    fail(life, 0)
    life.pass_s(4)
    fail(life, 1)
    actions = list(Jobs().plan(life.ref, life.world.view(), life.world.now))
    assert actions == [RequeueAfter(6.0)]

    life.pass_s(6)
    life.settle()
    assert indexes(life) == [0]
    fail(life, 0)
    life.pass_s(19)
    life.settle()
    assert indexes(life) == [1]


def test_more_failed_indexes_than_may_fail_the_job() -> None:
    life = a_life(completions=4, parallelism=4, backoff_limit_per_index=0, max_failed_indexes=1)
    fail(life, 0)
    assert "FailureTarget" not in told(life)

    fail(life, 3)
    assert told(life)["FailureTarget"] == ("True", "MaxFailedIndexesExceeded")
    life.end_well()
    assert life.job.status.failed_indexes.startswith("0")


def test_a_failure_that_is_ignored_does_not_count() -> None:
    life = a_life(completions=1, backoff_limit=0, pod_failure_policy=by_code("Ignore", 42))
    fail(life, 0, code=42)
    assert counts(life) == (0, 0)
    assert not any(one.metadata.finalizers for one in life.pods())
    life.pass_s(10)
    life.settle()

    fail(life, 0, code=1)
    assert told(life)["Failed"] == ("True", "BackoffLimitExceeded")
    assert counts(life) == (0, 1)


@pytest.mark.parametrize(("operator", "code"), [("In", 42), ("NotIn", 7)])
def test_a_failure_fails_the_job_where_a_rule_says_so(operator: str, code: int) -> None:
    life = a_life(
        completions=2,
        parallelism=2,
        pod_failure_policy=by_code("FailJob", 42, operator=operator),
    )
    life.finish_index(1, is_success=False, code=code)
    failed = next(one for one in life.pods() if index_of(one) == 1)
    life.settle()

    assert told(life)["Failed"] == ("True", "PodFailurePolicy")
    assert message(life, "Failed") == (
        f"Container main for pod default/{failed.metadata.name} failed with exit code {code} "
        "matching FailJob rule at index 0"
    )


def test_a_failure_of_an_init_container_is_matched_too() -> None:
    life = a_life(completions=1, pod_failure_policy=by_code("FailJob", 42))
    life.finish_index(0, is_success=False, code=42)
    (failed,) = life.pods()
    of_init = tuple(replaced(one, name="first") for one in failed.status.container_statuses)
    status = replaced(failed.status, container_statuses=(), init_container_statuses=of_init)
    life.world.put(replaced(failed, status=status))
    life.settle()

    assert told(life)["Failed"] == ("True", "PodFailurePolicy")
    assert "Container first for pod" in message(life, "Failed")


def test_a_failure_fails_its_index_where_a_rule_says_so() -> None:
    life = a_life(
        completions=2,
        parallelism=2,
        backoff_limit_per_index=5,
        pod_failure_policy=by_code("FailIndex", 42),
    )
    fail(life, 0, code=42)
    life.pass_s(400)
    life.settle()

    assert life.job.status.failed_indexes == "0"
    assert indexes(life) == [1]


def test_the_first_rule_that_matches_counts_and_conditions_are_matched_too() -> None:
    condition = PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget")
    disrupted = PodFailurePolicyRule(action="Ignore", on_pod_conditions=(condition,))
    other = PodFailurePolicyOnExitCodesRequirement(
        container_name="other", operator="In", values=(1,)
    )
    rules = (
        PodFailurePolicyRule(action="FailJob", on_exit_codes=other),
        disrupted,
        *by_code("FailJob", 1).rules,
    )
    life = a_life(completions=1, pod_failure_policy=PodFailurePolicy(rules=rules))
    life.finish_index(0, is_success=False)
    (pod,) = life.pods()
    told_of = replaced(pod.status, conditions=(a_condition("DisruptionTarget"),))
    life.world.put(replaced(pod, status=told_of))
    life.settle()

    assert "FailureTarget" not in told(life)
    assert counts(life) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        (SuccessPolicyRule(succeeded_indexes="0,2"), [0, 2]),
        (SuccessPolicyRule(succeeded_indexes="0-2", succeeded_count=1), [1]),
        (SuccessPolicyRule(succeeded_count=2), [0, 3]),
    ],
)
def test_so_much_success_is_enough_and_the_other_pods_are_ended(
    rule: SuccessPolicyRule, enough: list[int]
) -> None:
    never = SuccessPolicyRule(succeeded_count=4)
    life = a_life(completions=4, parallelism=4, success_policy=SuccessPolicy(rules=(never, rule)))
    for index in enough:
        assert not is_over(life.job)
        life.finish_index(index, is_success=True)
        life.settle()

    assert told(life)["Complete"] == ("True", "SuccessPolicy")
    assert message(life, "Complete") == "Matched rules at index 1"
    assert not life.running()
    assert counts(life) == (len(enough), 0)
