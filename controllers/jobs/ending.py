"""Whether a Job comes to its end, and why: its conditions as in Kubernetes. Pure.

A Job ends in two writes. The first says what it will be (SuccessCriteriaMet, FailureTarget): its
other pods are ended for that reason. The second says that it is so (Complete, Failed), once every
pod has ended and is counted.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from controllers.jobs.pods import Claim
from controllers.jobs.policies import failing, success_of
from controllers.jobs.tally import Tally
from cubernetes.api.batch.job import COMPLETE, FAILED, FAILING, SUCCEEDING, SUSPENDED, Job
from cubernetes.api.condition import Condition, condition_of, is_true, with_condition

REACHED = "CompletionsReached"
TOO_MANY_FAILED = "BackoffLimitExceeded"
TOO_LATE = "DeadlineExceeded"
BY_POLICY = "PodFailurePolicy"
ENOUGH_BY_POLICY = "SuccessPolicy"
TOO_MANY_INDEXES, FAILED_INDEXES = "MaxFailedIndexesExceeded", "FailedIndexes"

type Conditions = tuple[Condition, ...]


class Ending(NamedTuple):
    """What a Job is going to be, and why."""

    is_success: bool
    reason: str
    message: str

    @property
    def first(self) -> str:
        return SUCCEEDING if self.is_success else FAILING

    @property
    def last(self) -> str:
        return COMPLETE if self.is_success else FAILED


def ending_of(job: Job, claim: Claim, tally: Tally, now: datetime) -> Ending | None:
    """Return to what end it comes; None while it goes on. What is stored once stays."""
    for kind in (SUCCEEDING, FAILING):
        told = condition_of(job.status.conditions, kind)
        if told is not None and told.status == "True":
            return Ending(kind == SUCCEEDING, told.reason, told.message)
    if why := failing(job, claim.every):
        return Ending(False, BY_POLICY, why)
    if _is_beyond_limit(job, claim, tally):
        return Ending(False, TOO_MANY_FAILED, "Job has reached the specified backoff limit")
    left_s = deadline_in_s(job, now)
    if left_s is not None and left_s <= 0:
        return Ending(False, TOO_LATE, "Job was active longer than specified deadline")
    if ending := _index_ending(job, tally):
        return ending
    if _is_enough(job, claim, tally):
        return Ending(True, REACHED, "Reached expected number of succeeded pods")
    return None


def deadline_in_s(job: Job, now: datetime) -> float | None:
    """Return how long it may run yet; None where nothing limits it."""
    limit_s, since = job.spec.active_deadline_seconds, job.status.start_time
    if limit_s is None or since is None or job.spec.suspend:
        return None
    if is_true(job.status.conditions, SUSPENDED):
        # It is resumed just now, and its time begins anew.
        return float(limit_s)
    return limit_s - (now - since).total_seconds()


def _index_ending(job: Job, tally: Tally) -> Ending | None:
    """Return to what end failed and complete indexes bring it."""
    limit, failed_count = job.spec.max_failed_indexes, len(tally.failed)
    if limit is not None and failed_count > limit:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return Ending(False, TOO_MANY_INDEXES, message)
    if failed_count and failed_count + len(tally.complete) >= (job.spec.completions or 0):
        return Ending(False, FAILED_INDEXES, "Job has failed indexes")
    if why := success_of(job, tally.complete):
        return Ending(True, ENOUGH_BY_POLICY, why)
    return None


def _is_enough(job: Job, claim: Claim, tally: Tally) -> bool:
    wanted = 1 if job.spec.completions is None else job.spec.completions
    return tally.succeeded_count >= wanted and not claim.active


def _is_beyond_limit(job: Job, claim: Claim, tally: Tally) -> bool:
    limit = job.spec.backoff_limit or 0
    if tally.failed_count > limit:
        return True
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    # Such pods never fail by themselves: their containers are started again.
    restarts = sum(
        one.restart_count
        for pod in claim.active
        if pod.status.phase in ("Running", "Pending")
        for one in pod.status.container_statuses
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def conditions_of(job: Job, ending: Ending | None, now: datetime, *, is_last: bool) -> Conditions:
    """Return its conditions; is_last: all its pods have ended and are counted."""
    found = job.status.conditions
    if ending is None:
        return _suspension(job, now)
    first = ending.first
    stored = is_true(found, first)
    new = Condition(type=first, status="True", reason=ending.reason, message=ending.message)
    found = with_condition(found, new, now)
    if stored and is_last:
        last = Condition(
            type=ending.last, status="True", reason=ending.reason, message=ending.message
        )
        found = with_condition(found, last, now)
    return found


def _suspension(job: Job, now: datetime) -> Conditions:
    found = job.status.conditions
    if job.spec.suspend:
        new = Condition(
            type=SUSPENDED, status="True", reason="JobSuspended", message="Job suspended"
        )
    elif condition_of(found, SUSPENDED) is None:
        return found
    else:
        new = Condition(type=SUSPENDED, status="False", reason="JobResumed", message="Job resumed")
    return with_condition(found, new, now)


def kept_for_s(job: Job, over_at: datetime, now: datetime) -> float | None:
    """Return how long a finished Job stays yet; None: for good."""
    ttl_s = job.spec.ttl_seconds_after_finished
    return None if ttl_s is None else (over_at + timedelta(seconds=ttl_s) - now).total_seconds()
