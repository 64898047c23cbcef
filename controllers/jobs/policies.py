"""What policies make of a Job's pods: failures that count, indexes that fail, enough success. Pure.

How often an index failed is written on each of its pods as it is made. So the last failed pod of an
index keeps its finalizer until there is another one, or nothing more becomes of the index.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple

from controllers.jobs.pods import (
    FAILURE_COUNT,
    finished_at,
    index_of,
    is_failed,
    pause_s,
)
from controllers.naming import number_in
from cubernetes.api.batch.indexes import indexes_in
from cubernetes.api.batch.job import Job
from cubernetes.api.batch.policies import PodFailurePolicyRule
from cubernetes.api.core.pod import Pod


class Match(NamedTuple):
    """Which action a failed pod calls for, and why."""

    action: str
    message: str


def match_of(job: Job, pod: Pod) -> Match | None:
    """Return what the first rule that a failed pod matches says; None where none does."""
    policy = job.spec.pod_failure_policy
    if policy is None or pod.status.phase != "Failed":
        return None
    for number, rule in enumerate(policy.rules):
        if why := _why(rule, pod):
            return Match(rule.action, f"{why} matching {rule.action} rule at index {number}")
    return None


def _why(rule: PodFailurePolicyRule, pod: Pod) -> str:
    """Return how a pod matches a rule; empty where it does not."""
    where = f"{pod.metadata.namespace}/{pod.metadata.name}"
    codes = rule.on_exit_codes
    every = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    for one in every if codes is not None else ():
        ended = one.state.terminated
        if ended is None or ended.exit_code == 0 or codes is None:
            continue
        is_named = codes.container_name in (None, one.name)
        if is_named and (ended.exit_code in codes.values) == (codes.operator == "In"):
            return f"Container {one.name} for pod {where} failed with exit code {ended.exit_code}"
    wanted = {(one.type, one.status) for one in rule.on_pod_conditions}
    for found in pod.status.conditions:
        if (found.type, found.status) in wanted:
            return f"Pod {where} has condition {found.type}"
    return ""


def is_ignored(job: Job, pod: Pod) -> bool:
    """Whether the failure of a pod is not counted."""
    found = match_of(job, pod)
    return found is not None and found.action == "Ignore"


def failing(job: Job, pods: Sequence[Pod]) -> str:
    """Return for which pod the Job is to fail; empty where for none."""
    found = (match_of(job, pod) for pod in pods)
    return next((one.message for one in found if one is not None and one.action == "FailJob"), "")


def failed_indexes(job: Job, pods: Sequence[Pod], complete: Set[int]) -> frozenset[int]:
    """Return the indexes of which no pod is made any more."""
    limit = job.spec.backoff_limit_per_index
    if limit is None:
        return frozenset()
    return indexes_in(job.status.failed_indexes) | {
        index_of(pod)
        for pod in pods
        if is_failed(pod, job) and index_of(pod) >= 0 and index_of(pod) not in complete
        if failures_after(job, pod) > limit or _fails_index(job, pod)
    }


def _fails_index(job: Job, pod: Pod) -> bool:
    found = match_of(job, pod)
    return found is not None and found.action == "FailIndex"


def failures_after(job: Job, pod: Pod) -> int:
    """Return how often an index has failed, with the failure of this pod."""
    before = max(0, number_in(pod, FAILURE_COUNT))
    return before if is_ignored(job, pod) else before + 1


def last_failures(job: Job, pods: Sequence[Pod]) -> Mapping[int, Pod]:
    """Return the failed pod of each index that is the newest of its index."""
    if job.spec.backoff_limit_per_index is None:
        return {}
    newest: dict[int, Pod] = {}
    for pod in pods:
        found = newest.get(index_of(pod))
        if found is None or _age_key(pod) > _age_key(found):
            newest[index_of(pod)] = pod
    return {index: pod for index, pod in newest.items() if is_failed(pod, job)}


def _age_key(pod: Pod) -> tuple[int, str]:
    return max(0, number_in(pod)), pod.metadata.name


def waits_s(job: Job, last: Mapping[int, Pod], now: datetime) -> Mapping[int, float]:
    """Return for how long each index is not tried again; 0: it may be."""
    return {
        index: pause_s(failures_after(job, pod), finished_at(pod), now)
        for index, pod in last.items()
    }


def success_of(job: Job, complete: Set[int]) -> str:
    """Return by which rule the complete indexes are enough; empty where by none."""
    policy = job.spec.success_policy
    if policy is None:
        return ""
    for number, needed in enumerate(_needs(job, complete)):
        if needed <= 0:
            return f"Matched rules at index {number}"
    return ""


def _needs(job: Job, complete: Set[int]) -> Iterator[int]:
    """Yield how many indexes more each rule asks for."""
    policy = job.spec.success_policy
    for rule in policy.rules if policy is not None else ():
        if rule.succeeded_indexes is None:
            yield (rule.succeeded_count or 0) - len(complete)
            continue
        wanted = indexes_in(rule.succeeded_indexes)
        count = len(wanted) if rule.succeeded_count is None else rule.succeeded_count
        yield count - len(wanted & complete)
