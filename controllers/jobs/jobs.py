"""Jobs: as many pods as still have to succeed, each ended one counted once, then an end.

A plan yields the status first: it is refused where the Job was written since, and with it what
follows from it. `tally.py` says how pods are counted, `ending.py` how a Job ends.

**Views.** A pod's end is noted, an absent pod counted, and a pod too many ended, only in a view of
pods as new as the Job: in an older one a pod may run that has been counted, and one may be absent
that was not made yet. A pod is made only in a view of the Job as new as the ended pods that have
lost their finalizer: those the Job has noted.

**Pods whose Job is gone** lose the finalizer, and the garbage collector sees to the rest.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import datetime
from itertools import islice

from controllers.jobs.ending import (
    Ending,
    conditions_of,
    deadline_in_s,
    ending_of,
    kept_for_s,
)
from controllers.jobs.pods import (
    Claim,
    claim_of,
    held_back_s,
    index_of,
    is_tracked,
    pods_made,
    released,
    strangers,
)
from controllers.jobs.policies import failures_after, last_failures, waits_s
from controllers.jobs.tally import Tally, is_settled, tally_of
from controllers.owners import revision_of
from controllers.refusals import RefusalsTold
from controllers.replicaset import surplus
from cubernetes.api.batch.job import SUSPENDED, Job, JobStatus, is_over, over_at
from cubernetes.api.condition import is_true
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.meta import Labels, Object, Ref, replaced
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Record,
    RequeueAfter,
    UpdateStatus,
    View,
)

VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again
BURST = 500  # pods made, ended or released in one plan; the next plan goes on


class Jobs(RefusalsTold):
    """Plans by Job, and by pod where its Job is gone. Remembers nothing."""

    name = "job"
    kinds: tuple[type[Object], ...] = (Job, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A pod concerns its Job; without one itself, as long as it has the finalizer."""
        if isinstance(changed, Job):
            yield changed.ref
            if not _is_there(changed.ref, changed.metadata.uid, view):
                yield from (pod.ref for pod in view.owned(Pod, changed.metadata.uid))
            return
        owner, namespace = changed.metadata.controller, changed.metadata.namespace
        if owner is not None and owner.kind == Job.resource.kind:
            ref = Ref(owner.kind, namespace, owner.name)
            yield ref
            if _is_there(ref, owner.uid, view):
                return
        if isinstance(changed, Pod) and is_tracked(changed):
            yield changed.ref
        if owner is None:
            labels = changed.metadata.labels
            yield from (one.ref for one in view.list(Job, namespace) if _could_adopt(one, labels))

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        if key.kind == Pod.resource.kind:
            yield from _left_behind(key, view)
            return
        job = view.get(Job, key.name, key.namespace)
        if job is None:
            return
        if job.spec.is_left_to_another:
            yield from _expired(job, now)
            return
        claim = claim_of(job, view)
        if job.metadata.is_deleted:
            # What becomes of its pods is the garbage collector's, and nobody asks for the counts.
            yield from (released(pod) for pod in claim.tracked[:BURST])
            return
        if is_over(job):
            yield from _after_end(job, claim, now)
            return
        if changes := tuple(strangers(job, view)):
            # The next plan counts what is then its own.
            yield from changes
            return
        yield from _step(job, claim, view, now)


def _is_there(ref: Ref, uid: str, view: View) -> bool:
    found = view.get(Job, ref.name, ref.namespace)
    return found is not None and found.metadata.uid == uid


def _could_adopt(job: Job, labels: Labels) -> bool:
    selector = job.spec.selector
    return bool(job.spec.manual_selector and selector and selector.selector.matches(labels))


def _left_behind(key: Ref, view: View) -> Iterator[Action]:
    """Yield the change that lets a pod go whose Job is certainly not there."""
    pod = view.get(Pod, key.name, key.namespace)
    if pod is None or not is_tracked(pod):
        return
    owner = pod.metadata.controller
    is_jobs = owner is not None and owner.kind == Job.resource.kind
    if owner is not None and is_jobs:
        if _is_there(Ref(owner.kind, key.namespace, owner.name), owner.uid, view):
            return
        if view.revision(Job) < revision_of(pod):
            yield RequeueAfter(VIEW_PAUSE_S)
            return
    yield released(pod)


def _after_end(job: Job, claim: Claim, now: datetime) -> Iterator[Action]:
    # A pod that was made late, by a leader of before, is of no use.
    late = [*claim.strayed, *claim.active][:BURST]
    yield from _ended(job, late, is_counted=False)
    yield from (released(pod) for pod in claim.tracked[:BURST] if pod.metadata.is_deleted)
    yield from _expired(job, now)


def _expired(job: Job, now: datetime) -> Iterator[Action]:
    """Yield what deletes a Job that has been over for long enough, also another's."""
    ended_at = over_at(job)
    left_s = kept_for_s(job, ended_at, now) if ended_at is not None else None
    if left_s is None or job.metadata.is_deleted:
        return
    if left_s > 0:
        yield RequeueAfter(left_s)
        return
    meta = job.metadata
    yield Delete(
        Job,
        job.ref,
        meta.uid,
        resource_version=meta.resource_version,
        propagation="Foreground",
    )


def _step(job: Job, claim: Claim, view: View, now: datetime) -> Iterator[Action]:
    """Yield the status, then what lets ended pods go, then pods to end or to make."""
    tally = tally_of(job, claim)
    ending = ending_of(job, claim, tally, now)
    ended = _to_end(job, claim, tally, ending)
    is_behind = view.revision(Pod) < revision_of(job)
    if is_behind and (ended or tally.needs_new_pods):
        yield RequeueAfter(VIEW_PAUSE_S)
        return
    status = _status_of(job, claim, tally, ending, now)
    if status != job.status:
        yield UpdateStatus(replaced(job, status=status))
        yield from _told(job, status)
    held = tally.held if ending is None else frozenset[str]()
    done = [pod for pod in tally.done if pod.metadata.uid not in held]
    yield from (released(pod) for pod in done[:BURST])
    yield from _ended(job, ended[:BURST], is_counted=ending is not None and not ending.is_success)
    if ending is not None or job.spec.suspend or ended:
        return
    yield from _made(job, claim, tally, view, now)
    if (left_s := deadline_in_s(job, now)) is not None:
        yield RequeueAfter(max(left_s, 0.0))


def _status_of(
    job: Job, claim: Claim, tally: Tally, ending: Ending | None, now: datetime
) -> JobStatus:
    is_last = ending is not None and is_settled(tally, claim)
    conditions = conditions_of(job, ending, now, is_last=is_last)
    is_resumed = is_true(job.status.conditions, SUSPENDED) and not is_true(conditions, SUSPENDED)
    is_begun = job.status.start_time is None and not job.spec.suspend
    status = replaced(
        tally.status,
        conditions=conditions,
        active=len(claim.active),
        ready=sum(map(is_ready, claim.active)),
        terminating=claim.terminating_count,
    )
    if is_begun or (is_resumed and ending is None):
        status = replaced(status, start_time=now.replace(microsecond=0))
    over = replaced(job, status=status)
    if ending is not None and ending.is_success and is_over(over):
        status = replaced(status, completion_time=over_at(over))
    return status


def _told(job: Job, status: JobStatus) -> Iterator[Record]:
    """Yield what people are told of a change of status."""
    before, after = job.status.conditions, status.conditions
    for one in after:
        is_new = one.status == "True" and not is_true(before, one.type)
        match one.type:
            case "Complete" if is_new:
                yield Record(job, "Completed", "Job completed")
            case "Failed" if is_new:
                yield Record(job, one.reason, one.message, "Warning")
            case "Suspended" if is_new:
                yield Record(job, "Suspended", one.message)
            case "Suspended" if one.status == "False" and is_true(before, one.type):
                yield Record(job, "Resumed", one.message)
            case _:
                pass


def _wanted_count(job: Job, claim: Claim, tally: Tally) -> int:
    """Return how many pods are to run."""
    parallelism = job.spec.parallelism or 0
    if job.spec.completions is None:
        # Once one has succeeded, the others run on, and none is made.
        return min(len(claim.active), parallelism) if tally.succeeded_count else parallelism
    left_count = job.spec.completions - tally.succeeded_count - len(tally.failed)
    return max(0, min(left_count, parallelism))


def _to_end(job: Job, claim: Claim, tally: Tally, ending: Ending | None) -> Sequence[Pod]:
    """Return the pods to end: those nobody counts, those of no use, and those too many."""
    if ending is not None or job.spec.suspend:
        return [*claim.strayed, *claim.active]
    useless = _useless(job, claim, tally)
    chosen = {pod.metadata.uid for pod in useless}
    rest = [pod for pod in claim.active if pod.metadata.uid not in chosen]
    return [*claim.strayed, *useless, *surplus(rest, _wanted_count(job, claim, tally))]


def _useless(job: Job, claim: Claim, tally: Tally) -> Sequence[Pod]:
    """Return pods of an Indexed Job whose success would add nothing."""
    if not job.spec.is_indexed:
        return []
    useless, taken = [], set(tally.complete)
    for pod in claim.active:
        index = index_of(pod)
        if index in taken or not 0 <= index < (job.spec.completions or 0):
            useless.append(pod)
        taken.add(index)
    return useless


def _ended(job: Job, pods: Sequence[Pod], *, is_counted: bool) -> Iterator[Action]:
    """Yield what ends pods; where they do not count as failed, they lose the finalizer first."""
    for pod in pods:
        if is_tracked(pod) and not is_counted:
            yield released(pod)
        yield Delete(Pod, pod.ref, pod.metadata.uid)
        yield Record(job, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")


def _made(job: Job, claim: Claim, tally: Tally, view: View, now: datetime) -> Iterator[Action]:
    missing_count = _wanted_count(job, claim, tally) - len(claim.active)
    if job.spec.pod_replacement_policy == "Failed":
        missing_count -= claim.terminating_count
    if missing_count <= 0:
        return
    gone = [revision_of(pod) for pod in claim.every if is_finished(pod) and not is_tracked(pod)]
    if view.revision(Job) < max(gone, default=0):
        yield RequeueAfter(VIEW_PAUSE_S)
        return
    has_index_limit = job.spec.backoff_limit_per_index is not None
    held_s = 0.0 if has_index_limit else held_back_s(job, claim.every, now)
    if held_s > 0:
        yield RequeueAfter(held_s)
        return
    last = last_failures(job, claim.every)
    waits = {index: wait_s for index, wait_s in waits_s(job, last, now).items() if wait_s > 0}
    indexes = _indexes(job, claim, tally, waits.keys(), min(missing_count, BURST))
    failures = {index: failures_after(job, pod) for index, pod in last.items()}
    if has_index_limit:
        failures = {index: failures.get(index, 0) for index in indexes}
    if len(indexes) < missing_count and (
        open_s := [waits[one] for one in waits.keys() - tally.failed]
    ):
        yield RequeueAfter(min(open_s))
    for pod in pods_made(job, claim, view, indexes, failures):
        yield Create(pod)
        yield Record(job, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")


def _indexes(job: Job, claim: Claim, tally: Tally, waiting: Set[int], count: int) -> Sequence[int]:
    """Return the lowest indexes of which no pod runs; -1 for each pod of a Job without indexes.

    waiting: those that are not tried again yet.
    """
    if not job.spec.is_indexed:
        return [-1] * count
    taken = {index_of(pod) for pod in claim.active} | tally.complete | tally.failed | waiting
    if job.spec.pod_replacement_policy == "Failed":
        taken |= {index_of(pod) for pod in claim.every if _is_terminating(pod)}
    free = (index for index in range(job.spec.completions or 0) if index not in taken)
    return list(islice(free, count))


def _is_terminating(pod: Pod) -> bool:
    return pod.metadata.is_deleted and not is_finished(pod)
