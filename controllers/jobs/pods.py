"""The pods of a Job: which are its own, what they have become, and how one is made. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from controllers.naming import NUMBER, child_name, number_in
from controllers.owners import is_managed_by, owner_trees, with_lists, without_finalizer
from cubernetes.api.batch.job import COMPLETION_INDEX, TRACKING, Job
from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.container import Container, EnvVar
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.reconcile.plan import Patch, View

# How often its index had failed when a pod was made, where failures are limited by index.
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
BACKOFF_BASE_S, BACKOFF_MAX_S = 10.0, 360.0


class Claim(NamedTuple):
    """The pods of a Job, each list in the order of their names.

    every: all that are its own. tracked: those whose end is not yet noted.
    active: of the tracked ones, those that neither ended nor are asked to.
    strayed: that still run though nobody counts them: to be ended.
    terminating_count: how many are asked to end, and have not.
    """

    every: Sequence[Pod]
    tracked: Sequence[Pod]
    active: Sequence[Pod]
    strayed: Sequence[Pod]
    terminating_count: int


def claim_of(job: Job, view: View) -> Claim:
    uid = job.metadata.uid
    every = [pod for pod in view.owned(Pod, uid) if is_managed_by(pod, uid)]
    alive = [pod for pod in every if not is_finished(pod) and not pod.metadata.is_deleted]
    tracked = [pod for pod in every if is_tracked(pod)]
    return Claim(
        every=every,
        tracked=tracked,
        active=[pod for pod in alive if is_tracked(pod)],
        strayed=[pod for pod in alive if not is_tracked(pod)],
        terminating_count=sum(
            pod.metadata.is_deleted and not is_finished(pod) and not is_let_go(pod) for pod in every
        ),
    )


def strangers(job: Job, view: View) -> Iterator[Patch]:
    """Yield the changes by which pods become its own, or are no longer.

    Only where its author chose the selector: no pod of another has the label that the server gives.
    """
    if not job.spec.manual_selector or job.spec.selector is None:
        return
    selector, uid = job.spec.selector.selector, job.metadata.uid
    for pod in view.list(Pod, job.metadata.namespace, selector):
        if pod.metadata.controller is None and not is_finished(pod) and not pod.metadata.is_deleted:
            owners = (*pod.metadata.owner_references, job.owner_reference())
            finalizers = dict.fromkeys((*pod.metadata.finalizers, TRACKING))
            yield with_lists(pod, ownerReferences=owner_trees(owners), finalizers=list(finalizers))
    for pod in view.owned(Pod, uid):
        is_ours = is_managed_by(pod, uid) and not pod.metadata.is_deleted
        if is_ours and not selector.matches(pod.metadata.labels):
            owners = tuple(one for one in pod.metadata.owner_references if one.uid != uid)
            left = [one for one in pod.metadata.finalizers if one != TRACKING]
            yield with_lists(pod, ownerReferences=owner_trees(owners), finalizers=left)


def released(pod: Pod) -> Patch:
    """Return the change after which nothing waits for its end to be noted."""
    return without_finalizer(pod, TRACKING)


def is_tracked(pod: Pod) -> bool:
    return TRACKING in pod.metadata.finalizers


def is_let_go(pod: Pod) -> bool:
    """Whether it is asked to end, and nothing of it runs: only finalizers keep it."""
    return pod.metadata.is_deleted and pod.metadata.deletion_grace_period_seconds == 0


def is_failed(pod: Pod, job: Job) -> bool:
    """Whether it counts as failed: also one that is asked to end, unless its end is awaited."""
    if pod.status.phase in ("Failed", "Succeeded"):
        return pod.status.phase == "Failed"
    if job.spec.pod_replacement_policy == "Failed":
        return is_let_go(pod)
    return pod.metadata.is_deleted


def index_of(pod: Pod) -> int:
    """Return the index that the pod was made with; -1 for one without."""
    return number_in(pod, COMPLETION_INDEX)


def finished_at(pod: Pod) -> datetime | None:
    """Return when its last container ended; else when it was no longer ready, asked to go, made."""
    ends = [
        one.state.terminated.finished_at
        for one in pod.status.container_statuses
        if one.state.terminated is not None and one.state.terminated.finished_at is not None
    ]
    if ends:
        return max(ends)
    ready = condition_of(pod.status.conditions, "Ready")
    if ready is not None and ready.last_transition_time is not None:
        return ready.last_transition_time
    meta = pod.metadata
    if meta.deletion_timestamp is not None:
        return meta.deletion_timestamp - timedelta(seconds=meta.deletion_grace_period_seconds or 0)
    return meta.creation_timestamp


def held_back_s(job: Job, pods: Sequence[Pod], now: datetime) -> float:
    """Return for how long no failed pod of these is replaced: 10 s, 20 s, 40 s, up to 6 minutes.

    Failures are counted since the last success, by the pods that are there to tell of it.
    """
    ends = [
        (at, pod.status.phase != "Succeeded")
        for pod in pods
        if is_failed(pod, job) or pod.status.phase == "Succeeded"
        # One that was ended on purpose is no failure.
        if is_tracked(pod) or not pod.metadata.is_deleted
        if (at := finished_at(pod)) is not None
    ]
    # At the same instant, a success is taken for the later one.
    ends.sort(key=lambda end: (end[0], not end[1]))
    failure_count, last_at = 0, None
    for at, is_failure in ends:
        failure_count, last_at = (failure_count + 1, at) if is_failure else (0, None)
    return pause_s(failure_count, last_at, now)


def pause_s(failure_count: int, last_at: datetime | None, now: datetime) -> float:
    """Return for how long a pod that failed last at that time is not replaced."""
    if failure_count == 0 or last_at is None:
        return 0.0
    whole_s = min(BACKOFF_BASE_S * 2.0 ** min(failure_count - 1, 10), BACKOFF_MAX_S)
    # A node's clock may be ahead: no pause is longer than it is meant to be.
    return max(0.0, whole_s - max(0.0, (now - last_at).total_seconds()))


def pods_made(
    job: Job, claim: Claim, view: View, indexes: Sequence[int], failures: Mapping[int, int]
) -> Iterator[Pod]:
    """Yield a new pod for each of the indexes; -1 is a pod without one.

    failures: how often each index has failed, where that is written on its pods.

    Names follow from the Job's uid, the index and a number above those of all its pods: planning
    again from the same view asks for the same ones.
    """
    numbers: dict[int, int] = {}
    for pod in claim.every:
        index = index_of(pod)
        numbers[index] = max(numbers.get(index, -1), number_in(pod))
    for index in indexes:
        number = numbers.get(index, -1) + 1
        made = _pod_made(job, index, number)
        while view.get(Pod, made.metadata.name, made.metadata.namespace) is not None:
            number += 1
            made = _pod_made(job, index, number)
        numbers[index] = number
        yield _with_failures(made, failures[index]) if index in failures else made


def _with_failures(pod: Pod, count: int) -> Pod:
    notes = {**pod.metadata.annotations, FAILURE_COUNT: str(count)}
    return replaced(pod, metadata=replaced(pod.metadata, annotations=notes))


def _pod_made(job: Job, index: int, number: int) -> Pod:
    template, name = job.spec.template, job.metadata.name
    labels, annotations = dict(template.metadata.labels), dict(template.metadata.annotations)
    annotations[NUMBER] = str(number)
    spec = template.spec
    head = name
    if index >= 0:
        labels[COMPLETION_INDEX] = annotations[COMPLETION_INDEX] = str(index)
        head = f"{name}-{index}"
        containers = tuple(_indexed(one, index) for one in spec.containers)
        spec = replaced(spec, hostname=head, containers=containers)
    meta = ObjectMeta(
        name=child_name(head, job.metadata.uid, index, number),
        namespace=job.metadata.namespace,
        labels=labels,
        annotations=annotations,
        owner_references=(job.owner_reference(),),
        finalizers=(TRACKING,),
    )
    return Pod(metadata=meta, spec=spec)


def _indexed(one: Container, index: int) -> Container:
    """Return a container that is told its index, unless its author has set the variable."""
    if any(variable.name == INDEX_VARIABLE for variable in one.env):
        return one
    return replaced(one, env=(*one.env, EnvVar(name=INDEX_VARIABLE, value=str(index))))
