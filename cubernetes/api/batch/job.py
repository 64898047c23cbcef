"""Job: pods that run until enough of them have succeeded."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.apps.workload import WIDE_COLUMNS, defaulted_template
from cubernetes.api.batch.policies import (
    PodFailurePolicy,
    SuccessPolicy,
    failure_policy_problems,
    success_policy_problems,
)
from cubernetes.api.condition import Condition, condition_of, is_true
from cubernetes.api.core.pod import PodTemplate, template_problems
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    age_of,
    replaced,
    short_span,
    shown,
)
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import LabelSelector

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
# The same words as before Kubernetes 1.27: clients still select by them.
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
# Kept on each pod until its end is noted in the status of its Job.
TRACKING = "batch.kubernetes.io/job-tracking"
OWN_CONTROLLER = "kubernetes.io/job-controller"
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
SUCCEEDING, FAILING = "SuccessCriteriaMet", "FailureTarget"
BACKOFF_DEFAULT = 6
INDEXED_PARALLELISM_MAX = 100_000
UNCOUNTED_MAX = 10_000
MANAGER_CHARS_MAX = 63
FIXED = "field is immutable"
FIXED_FIELDS = (
    ("selector", "selector"),
    ("completion_mode", "completionMode"),
    ("pod_failure_policy", "podFailurePolicy"),
    ("backoff_limit_per_index", "backoffLimitPerIndex"),
    ("success_policy", "successPolicy"),
    ("managed_by", "managedBy"),
)

Seconds64 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class JobSpec(Model):
    """Which pods, how many of them must succeed, and when it is given up.

    parallelism: how many pods run at once, at most.
    completions: how many pods must succeed. Left out where `parallelism` is given, the success of
        any pod is that of the Job, and no more are made from then on.
    completion_mode: NonIndexed counts successes; Indexed gives each pod an index from 0 on, in its
        name, its annotations and `JOB_COMPLETION_INDEX`, and wants one success of each.
    backoff_limit: how many pods may fail before the Job does.
    backoff_limit_per_index: how often an index may fail before nothing more becomes of it.
    max_failed_indexes: how many indexes may fail before the Job does.
    pod_failure_policy: what is done about pods that failed in certain ways.
    success_policy: which successes are enough, before each index has one.
    active_deadline_seconds: how long after its start the Job fails, whatever it has done.
    ttl_seconds_after_finished: how long after its end it is deleted; left out, it stays.
    suspend: whether its pods are ended, and none made, until this is taken back.
    pod_replacement_policy: TerminatingOrFailed replaces a pod once it is asked to end; Failed, once
        it has ended.
    selector: which pods are its own; the server makes it, unless `manualSelector` is true.
    manual_selector: whether `selector` and the labels of the template are the author's.
    managed_by: which controller it is left to; left out, the cluster's own.
    template: what pods are made of; its `restartPolicy` is Never or OnFailure.
    """

    parallelism: Count | None = None
    completions: Count | None = None
    completion_mode: Literal["NonIndexed", "Indexed"] = shown("NonIndexed")
    backoff_limit: Count | None = None
    backoff_limit_per_index: Count | None = None
    max_failed_indexes: Count | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    active_deadline_seconds: Seconds64 | None = None
    ttl_seconds_after_finished: Count | None = None
    suspend: bool = shown(False)
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] | None = None
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    managed_by: str | None = None
    template: PodTemplate

    @property
    def is_indexed(self) -> bool:
        return self.completion_mode == "Indexed"

    @property
    def is_left_to_another(self) -> bool:
        """Whether a controller of somebody else sees to it."""
        return self.managed_by not in (None, OWN_CONTROLLER)


class UncountedTerminatedPods(Model):
    """Pods that have ended and are not yet in the counts: each is in one place at any time.

    succeeded: the uids of pods that succeeded.
    failed: the uids of pods that failed.
    """

    succeeded: Annotated[tuple[str, ...], msgspec.Meta(max_length=UNCOUNTED_MAX)] = ()
    failed: Annotated[tuple[str, ...], msgspec.Meta(max_length=UNCOUNTED_MAX)] = ()


class JobStatus(Model):
    """How far it is.

    conditions: Complete or Failed at its end; SuccessCriteriaMet or FailureTarget while its last
        pods end; Suspended.
    start_time: when it was begun, or resumed last.
    completion_time: when it was complete.
    active: how many pods neither ended nor are asked to.
    ready: how many of these are ready.
    terminating: how many pods are asked to end, and have not.
    succeeded: how many pods succeeded; of an Indexed one, of how many indexes.
    failed: how many pods failed.
    completed_indexes: the indexes of which a pod succeeded: `1,3-5,7`.
    failed_indexes: the indexes of which nothing more becomes.
    uncounted_terminated_pods: pods that have ended and are not yet in the counts.
    """

    conditions: tuple[Condition, ...] = ()
    start_time: Instant | None = None
    completion_time: Instant | None = None
    active: Count = 0
    ready: Count | None = None
    terminating: Count | None = None
    succeeded: Count = 0
    failed: Count = 0
    completed_indexes: str = ""
    failed_indexes: str = ""
    uncounted_terminated_pods: UncountedTerminatedPods | None = None


class Job(Object):
    resource = Resource(
        "batch", "v1", "Job", "jobs", subresources=("status",), categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Status", lambda one, _: _word_of(one)),
        Column("Completions", lambda one, _: _completions_of(one)),
        Column("Duration", lambda one, now: _duration_of(one, now)),
        Column("Age", age_of),
        *WIDE_COLUMNS,
    )
    selectable = {"status.successful": lambda one: str(one.status.succeeded)}

    api_version: str = shown("batch/v1")
    kind: str = shown("Job")
    spec: JobSpec
    status: JobStatus = msgspec.field(default_factory=JobStatus)

    def defaulted(self) -> "Job":
        labels = self.metadata.labels or self.spec.template.metadata.labels
        return replaced(
            self, metadata=replaced(self.metadata, labels=labels), spec=defaulted_job(self.spec)
        )

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from job_problems(self.spec, "spec")
        yield from _selector_problems(self.spec)
        yield from _index_name_problems(self)

    def update_problems(self, old: "Job") -> Iterator[Problem]:
        yield from _fixed_problems(self, old)


def is_over(job: Job) -> bool:
    """Whether it is complete or failed: nothing more becomes of it."""
    return any(is_true(job.status.conditions, kind) for kind in (COMPLETE, FAILED))


def over_at(job: Job) -> datetime | None:
    """Return when it was over; None before."""
    ended = (condition_of(job.status.conditions, kind) for kind in (COMPLETE, FAILED))
    return next(
        (one.last_transition_time for one in ended if one is not None and one.status == "True"),
        None,
    )


def defaulted_job(spec: JobSpec) -> JobSpec:
    """Fill in what Kubernetes fills in: one pod at a time, one success where nothing is said."""
    is_bare = spec.parallelism is None and spec.completions is None
    # Where failures are counted by index, those of all are not limited.
    usual = BACKOFF_DEFAULT if spec.backoff_limit_per_index is None else 2**31 - 1
    limit = usual if spec.backoff_limit is None else spec.backoff_limit
    replaced_when = "Failed" if spec.pod_failure_policy is not None else "TerminatingOrFailed"
    return replaced(
        spec,
        completions=1 if is_bare else spec.completions,
        parallelism=1 if spec.parallelism is None else spec.parallelism,
        backoff_limit=limit,
        pod_replacement_policy=spec.pod_replacement_policy or replaced_when,
        template=defaulted_template(spec.template),
    )


def job_problems(spec: JobSpec, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a Job's spec that stands at field, but for its selector."""
    yield from template_problems(spec.template, f"{field}.template")
    if spec.template.spec.restart_policy == "Always":
        where = f"{field}.template.spec.restartPolicy"
        yield Problem(where, 'valid values: "OnFailure", "Never"', "FieldValueRequired")
    yield from _policy_problems(spec, field)
    yield from _manager_problems(spec, field)
    if not spec.is_indexed:
        yield from _index_problems(spec, field)
        return
    if spec.completions is None:
        message = "when completion mode is Indexed"
        yield Problem(f"{field}.completions", message, "FieldValueRequired")
    if (spec.parallelism or 0) > INDEXED_PARALLELISM_MAX:
        message = f"must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode"
        yield Problem(f"{field}.parallelism", f"{message} is Indexed")


def _policy_problems(spec: JobSpec, field: str) -> Iterator[Problem]:
    where = f"{field}.template.spec.restartPolicy"
    for value, name in (
        (spec.pod_failure_policy, "podFailurePolicy"),
        (spec.backoff_limit_per_index, "backoffLimitPerIndex"),
    ):
        if value is not None and spec.template.spec.restart_policy != "Never":
            yield Problem(where, f'only "Never" is supported when {name} is specified')
    policy = spec.pod_failure_policy
    if policy is not None:
        pod = spec.template.spec
        containers = {one.name for one in (*pod.containers, *pod.init_containers)}
        yield from failure_policy_problems(
            policy,
            f"{field}.podFailurePolicy",
            containers,
            has_index_limit=spec.backoff_limit_per_index is not None,
        )
        if spec.pod_replacement_policy == "TerminatingOrFailed":
            message = "only Failed is supported when podFailurePolicy is specified"
            yield Problem(f"{field}.podReplacementPolicy", message, "FieldValueNotSupported")
    if spec.success_policy is not None and spec.is_indexed:
        where = f"{field}.successPolicy"
        yield from success_policy_problems(spec.success_policy, where, spec.completions or 0)
    yield from _limit_problems(spec, field)


def _manager_problems(spec: JobSpec, field: str) -> Iterator[Problem]:
    if (manager := spec.managed_by) is None:
        return
    where = f"{field}.managedBy"
    if len(manager) > MANAGER_CHARS_MAX:
        message = f"may not be more than {MANAGER_CHARS_MAX} bytes"
        yield Problem(where, message, "FieldValueTooLong")
    if not names.is_domain_path(manager):
        yield Problem(where, names.DOMAIN_PATH_RULE)


def _limit_problems(spec: JobSpec, field: str) -> Iterator[Problem]:
    if spec.max_failed_indexes is None:
        return
    if spec.backoff_limit_per_index is None:
        where, message = f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified"
        yield Problem(where, message, "FieldValueRequired")
    if spec.max_failed_indexes > (spec.completions or 0):
        where = f"{field}.maxFailedIndexes"
        yield Problem(where, "must be less than or equal to completions")


def _index_problems(spec: JobSpec, field: str) -> Iterator[Problem]:
    """Yield what only a Job with indexes may have."""
    for value, name in (
        (spec.backoff_limit_per_index, "backoffLimitPerIndex"),
        (spec.max_failed_indexes, "maxFailedIndexes"),
        (spec.success_policy, "successPolicy"),
    ):
        if value is not None:
            yield Problem(f"{field}.{name}", "requires indexed completion mode")


def _selector_problems(spec: JobSpec) -> Iterator[Problem]:
    """Yield what is wrong with a selector; one that is absent is made by the server."""
    if spec.selector is None:
        if spec.manual_selector:
            yield Problem("spec.selector", "is required", "FieldValueRequired")
        return
    yield from spec.selector.problems("spec.selector")
    labels = spec.template.metadata.labels
    if spec.manual_selector:
        if spec.selector.is_empty:
            yield Problem("spec.selector", "must not be empty", "FieldValueRequired")
    elif spec.selector.match_expressions or set(spec.selector.match_labels) - {
        CONTROLLER_UID, OLD_CONTROLLER_UID,
    }:  # fmt: skip
        yield Problem("spec.selector", "`selector` not auto-generated")
        return
    if not spec.selector.selector.matches(labels):
        where = "spec.template.metadata.labels"
        yield Problem(where, "`selector` does not match template `labels`")


def _index_name_problems(job: Job) -> Iterator[Problem]:
    """Yield a name with which the last pod would have no host name."""
    count = job.spec.completions or 0
    last = f"{job.metadata.name}-{count - 1}"
    if job.spec.is_indexed and count and not names.is_label(last):
        message = f"will not able to create pod with invalid DNS name: {last[:80]}"
        yield Problem("metadata.name", message)


def _fixed_problems(new: Job, old: Job) -> Iterator[Problem]:
    was, now = old.spec, new.spec
    is_elastic = now.is_indexed and now.completions == now.parallelism
    if was.completions != now.completions and not is_elastic:
        yield Problem("spec.completions", FIXED, "FieldValueForbidden")
    for name, wire_name in FIXED_FIELDS:
        if getattr(was, name) != getattr(now, name):
            yield Problem(f"spec.{wire_name}", FIXED, "FieldValueForbidden")
    if was.template != now.template and not _is_only_placed(old, new):
        yield Problem("spec.template", FIXED, "FieldValueForbidden")


def _is_only_placed(old: Job, new: Job) -> bool:
    """Whether a template changes only in where its pods go, of a Job that never began."""
    if not old.spec.suspend or old.status.start_time is not None:
        return False
    kept = old.spec.template
    placed = replaced(
        new.spec.template,
        metadata=kept.metadata,
        spec=replaced(
            new.spec.template.spec,
            node_selector=kept.spec.node_selector,
            tolerations=kept.spec.tolerations,
        ),
    )
    return placed == kept


def _word_of(job: Job) -> str:
    """Return in one word how it stands, as kubectl prints it."""
    found = job.status.conditions
    if is_over(job):
        return COMPLETE if is_true(found, COMPLETE) else FAILED
    if job.metadata.is_deleted:
        return "Terminating"
    words = (SUSPENDED, FAILING, SUCCEEDING)
    return next((word for word in words if is_true(found, word)), "Running")


def _completions_of(job: Job) -> str:
    if job.spec.completions is not None:
        return f"{job.status.succeeded}/{job.spec.completions}"
    parallelism = job.spec.parallelism or 0
    return f"{job.status.succeeded}/1" + (f" of {parallelism}" if parallelism > 1 else "")


def _duration_of(job: Job, now: datetime) -> str:
    if job.status.start_time is None:
        return ""
    until = job.status.completion_time or now
    return short_span((until - job.status.start_time).total_seconds())
