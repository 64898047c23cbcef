"""How many pods of a Job have ended, each counted once. Pure.

A pod's end is noted in three steps, each of which the next plan sees before it goes on:

1. its uid goes into `status.uncountedTerminatedPods`;
2. the finalizer goes from the pod, which from then on may be removed;
3. in one write the uid leaves the list and the count goes up.

Step 1 is taken only for pods with the finalizer, step 3 only for pods without. In a view of pods
that is older than the Job, step 1 waits, and step 3 for pods that are absent: such a view may be
from before they were made. A finalizer never returns, and the Job's resourceVersion guards each of
its writes: so no pod is counted twice, and none goes uncounted. Successes of an Indexed Job need
no list: that an index is complete can be noted twice.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controllers.jobs.pods import Claim, index_of, is_failed
from controllers.jobs.policies import failed_indexes, is_ignored, last_failures
from cubernetes.api.batch.indexes import indexes_in, text_of
from cubernetes.api.batch.job import Job, JobStatus, UncountedTerminatedPods
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced

NOTED_MAX = 500  # pods that one write takes note of; the next plan goes on


class Tally(NamedTuple):
    """What has ended, as of a view.

    status: the Job's, with what this plan notes.
    needs_new_pods: whether it takes note of pods anew, or counts absent ones: only a view of pods
        as new as the Job allows that.
    done: whose end the stored status tells: their finalizers may go.
    succeeded_count, failed_count: all that have ended, also those that are not noted yet.
    complete, failed: the indexes that are complete, and those of which nothing more becomes.
    held: the uids of pods that tell how often their index failed, until another one does.
    """

    status: JobStatus
    needs_new_pods: bool
    done: Sequence[Pod]
    succeeded_count: int
    failed_count: int
    complete: frozenset[int]
    failed: frozenset[int]
    held: frozenset[str]


def tally_of(job: Job, claim: Claim) -> Tally:
    noted = job.status.uncounted_terminated_pods or UncountedTerminatedPods()
    known = {*noted.succeeded, *noted.failed}
    tracked = {pod.metadata.uid for pod in claim.tracked}
    are_absent = bool(known - {pod.metadata.uid for pod in claim.every})
    before = indexes_in(job.status.completed_indexes)
    succeeded = [pod for pod in claim.tracked if _is_success(pod, job, known, before)]
    failed = [
        pod
        for pod in claim.tracked
        if pod.metadata.uid not in known and is_failed(pod, job) and _is_counted(pod, job)
    ]
    now_complete = {index_of(pod) for pod in succeeded} if job.spec.is_indexed else set()
    complete = before | now_complete
    left = UncountedTerminatedPods(
        succeeded=tuple(uid for uid in noted.succeeded if uid in tracked),
        failed=tuple(uid for uid in noted.failed if uid in tracked),
    )
    # Counted are those that have lost the finalizer since their uid was noted.
    counted_succeeded = job.status.succeeded + len(noted.succeeded) - len(left.succeeded)
    counted_failed = job.status.failed + len(noted.failed) - len(left.failed)
    anew = [*succeeded, *failed][:NOTED_MAX]
    status = _status(job, left, anew, before)
    if not job.spec.is_indexed:
        status = replaced(status, succeeded=counted_succeeded)
    waiting = len(left.succeeded) + len(succeeded)
    lost = failed_indexes(job, claim.every, complete)
    last = last_failures(job, claim.every)
    settled = complete | lost
    return Tally(
        status=replaced(status, failed=counted_failed, failed_indexes=text_of(lost)),
        needs_new_pods=are_absent
        or any(not job.spec.is_indexed or is_failed(pod, job) for pod in anew),
        done=[pod for pod in claim.tracked if _is_noted(pod, job, known, before)],
        succeeded_count=len(complete) if job.spec.is_indexed else counted_succeeded + waiting,
        failed_count=counted_failed + len(left.failed) + len(failed),
        complete=frozenset(complete),
        failed=lost,
        held=frozenset(pod.metadata.uid for index, pod in last.items() if index not in settled),
    )


def _status(
    job: Job, left: UncountedTerminatedPods, anew: Sequence[Pod], before: frozenset[int]
) -> JobStatus:
    """Return the status in which these pods are noted too."""
    failed = tuple(pod.metadata.uid for pod in anew if is_failed(pod, job))
    successes = [pod for pod in anew if not is_failed(pod, job)]
    if not job.spec.is_indexed:
        left = replaced(left, succeeded=(*left.succeeded, *(pod.metadata.uid for pod in successes)))
        complete: set[int] = set()
    else:
        limit = job.spec.completions or 0
        complete = {one for one in before if one < limit} | {index_of(pod) for pod in successes}
    return replaced(
        job.status,
        uncounted_terminated_pods=replaced(left, failed=(*left.failed, *failed)),
        completed_indexes=text_of(complete),
        succeeded=len(complete),
    )


def _is_success(pod: Pod, job: Job, known: set[str], before: frozenset[int]) -> bool:
    """Whether it succeeded, and nothing tells so yet."""
    if pod.status.phase != "Succeeded" or pod.metadata.uid in known:
        return False
    if not job.spec.is_indexed:
        return True
    return index_of(pod) not in before and _is_counted(pod, job)


def _is_counted(pod: Pod, job: Job) -> bool:
    """Whether its end means something: of an index that is wanted, and not to be ignored."""
    is_wanted = not job.spec.is_indexed or 0 <= index_of(pod) < (job.spec.completions or 0)
    return is_wanted and not is_ignored(job, pod)


def _is_noted(pod: Pod, job: Job, known: set[str], before: frozenset[int]) -> bool:
    """Whether the stored status tells of its end, or need not."""
    if pod.metadata.uid in known:
        return True
    if pod.status.phase != "Succeeded" and not is_failed(pod, job):
        return False
    if not _is_counted(pod, job):
        return True
    return job.spec.is_indexed and pod.status.phase == "Succeeded" and index_of(pod) in before


def is_settled(tally: Tally, claim: Claim) -> bool:
    """Whether every pod has ended and is counted."""
    left = tally.status.uncounted_terminated_pods or UncountedTerminatedPods()
    is_listed = bool(left.succeeded or left.failed)
    is_open = bool(claim.active or claim.strayed or claim.terminating_count)
    return not is_listed and not is_open and not claim.tracked
