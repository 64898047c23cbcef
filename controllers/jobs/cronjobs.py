"""CronJobs: a Job for each time of a schedule, and for missed times the newest one only. Pure.

A Job's name follows from its CronJob and the minute that it is made for: planning again asks for
the same one. For which time a Job was made last is in the status, and on each Job; the later of
both counts, so that a plan cut between its writes makes none twice. A controller that was away
makes one Job, for the last time that it missed.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from controllers.owners import is_managed_by, revision_of
from controllers.refusals import RefusalsTold
from cubernetes.api.batch.cronjob import CronJob, CronJobStatus
from cubernetes.api.batch.job import COMPLETE, FAILED, Job, is_over
from cubernetes.api.batch.schedule import (
    NotASchedule,
    Schedule,
    UnknownZone,
    schedule_of,
    zone_called,
)
from cubernetes.api.condition import is_true
from cubernetes.api.core.event import ObjectReference
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Record,
    RequeueAfter,
    UpdateStatus,
    View,
)

# For which time a Job was made, as RFC 3339.
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
VIEW_PAUSE_S = 1.0
LOOK_S_MAX = 3600.0  # a clock that is set forward is noticed after so long at most


class CronJobs(RefusalsTold):
    """Plans by CronJob, and remembers nothing."""

    name = "cronjob"
    kinds: tuple[type[Object], ...] = (CronJob, Job)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        if isinstance(changed, CronJob):
            return (changed.ref,)
        owner = changed.metadata.controller
        is_ours = owner is not None and owner.kind == CronJob.resource.kind
        return (
            (Ref(owner.kind, changed.metadata.namespace, owner.name),) if owner and is_ours else ()
        )

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        cron = view.get(CronJob, key.name, key.namespace)
        if cron is None or cron.metadata.is_deleted:
            return
        uid = cron.metadata.uid
        jobs = [one for one in view.owned(Job, uid) if is_managed_by(one, uid)]
        if view.revision(Job) < revision_of(cron):
            # A Job that is not seen yet may run.
            yield RequeueAfter(VIEW_PAUSE_S)
            return
        yield from _due(cron, jobs, now)
        yield from _tidied(cron, jobs)


def _due(cron: CronJob, jobs: Sequence[Job], now: datetime) -> Iterator[Action]:
    """Yield what is due, then the status, and when to look again."""
    active = [one for one in jobs if not is_over(one) and not one.metadata.is_deleted]
    last_at = _last_at(cron, jobs)
    at = None if cron.spec.suspend else _missed(cron, last_at, now)
    if isinstance(at, str):
        yield Record(cron, "UnparseableSchedule", at, "Warning")
        at = None
    made: Job | None = None
    if at is not None and not _is_held(cron, active):
        if cron.spec.concurrency_policy == "Replace":
            for one in active:
                yield _deleted(one)
                yield Record(cron, "SuccessfulDelete", f"Deleted job {one.metadata.name}")
            active = []
        made = job_made(cron, at)
        yield Create(made)
        yield Record(cron, "SuccessfulCreate", f"Created job {made.metadata.name}")
        last_at = at
    elif at is not None:
        message = "Not starting job because prior execution is running and concurrency policy is"
        yield Record(cron, "JobAlreadyActive", f"{message} Forbid")
    status = _status_of(cron, jobs, active, last_at)
    if status != cron.status:
        yield UpdateStatus(replaced(cron, status=status))
        yield from _told(cron, jobs)
    if (wait_s := _wait_s(cron, now)) is not None:
        yield RequeueAfter(wait_s)


def _last_at(cron: CronJob, jobs: Sequence[Job]) -> datetime | None:
    """Return the latest time for which a Job was made."""
    known = [at for one in jobs if (at := scheduled_at(one)) is not None]
    if cron.status.last_schedule_time is not None:
        known.append(cron.status.last_schedule_time)
    return max(known, default=None)


def _schedule(cron: CronJob) -> Schedule:
    """Raises: NotASchedule, UnknownZone."""
    return schedule_of(cron.spec.schedule, zone_called(cron.spec.time_zone or ""))


def _missed(cron: CronJob, last_at: datetime | None, now: datetime) -> datetime | str | None:
    """Return the newest time for which a Job is still to be made; a text says what is wrong."""
    since = last_at or cron.metadata.creation_timestamp or now
    limit_s = cron.spec.starting_deadline_seconds
    if limit_s is not None:
        # As late as that is not too late: the instant itself counts.
        since = max(since, now - timedelta(seconds=min(limit_s, 10**9) + 1))
    try:
        found = _schedule(cron).last_until(now, since)
    except (NotASchedule, UnknownZone) as error:
        return str(error)
    is_late = limit_s is not None and found is not None and (now - found).total_seconds() > limit_s
    return None if is_late else found


def _wait_s(cron: CronJob, now: datetime) -> float | None:
    """Return when to look again: at the next time, and now and then."""
    if cron.spec.suspend:
        return None
    try:
        at = _schedule(cron).next_after(now)
    except (NotASchedule, UnknownZone):
        return None
    return None if at is None else min((at - now).total_seconds(), LOOK_S_MAX)


def _is_held(cron: CronJob, active: Sequence[Job]) -> bool:
    return cron.spec.concurrency_policy == "Forbid" and bool(active)


def scheduled_at(job: Job) -> datetime | None:
    """Return for which time a Job was made; None for one that was made by hand."""
    try:
        at = datetime.fromisoformat(job.metadata.annotations.get(SCHEDULED_AT, ""))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def job_made(cron: CronJob, at: datetime) -> Job:
    """Return the Job for a time: its name ends with the minute, as in Kubernetes."""
    template = cron.spec.job_template
    told = at.astimezone(zone_called(cron.spec.time_zone or "")).isoformat().replace("+00:00", "Z")
    meta = ObjectMeta(
        name=f"{cron.metadata.name}-{int(at.timestamp()) // 60}",
        namespace=cron.metadata.namespace,
        labels=template.metadata.labels,
        annotations={**template.metadata.annotations, SCHEDULED_AT: told},
        owner_references=(cron.owner_reference(),),
    )
    return Job(metadata=meta, spec=template.spec)


def _status_of(
    cron: CronJob, jobs: Sequence[Job], active: Sequence[Job], last_at: datetime | None
) -> CronJobStatus:
    ends = [one.status.completion_time for one in jobs if one.status.completion_time is not None]
    if cron.status.last_successful_time is not None:
        ends.append(cron.status.last_successful_time)
    return CronJobStatus(
        active=tuple(_reference(one) for one in active),
        last_schedule_time=last_at,
        last_successful_time=max(ends, default=None),
    )


def _reference(one: Job) -> ObjectReference:
    meta = one.metadata
    return ObjectReference(
        api_version=one.api_version,
        kind=one.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


def _told(cron: CronJob, jobs: Sequence[Job]) -> Iterator[Record]:
    """Yield what people are told of Jobs that were active and are over."""
    known = {one.uid for one in cron.status.active}
    for one in jobs:
        if one.metadata.uid in known and is_over(one):
            word = COMPLETE if is_true(one.status.conditions, COMPLETE) else FAILED
            message = f"Saw completed job: {one.metadata.name}, condition: {word}"
            yield Record(cron, "SawCompletedJob", message)


def _tidied(cron: CronJob, jobs: Sequence[Job]) -> Iterator[Delete]:
    """Yield the deletion of Jobs that are over, beyond those that are kept: the oldest first."""
    limits = (
        (COMPLETE, cron.spec.successful_jobs_history_limit),
        (FAILED, cron.spec.failed_jobs_history_limit),
    )
    stored_at = cron.status.last_schedule_time
    for word, kept_count in limits:
        ended = [
            one
            for one in jobs
            if is_true(one.status.conditions, word) and not one.metadata.is_deleted
        ]
        ended.sort(key=lambda one: (_begun_s(one), one.metadata.name))
        for one in ended[: max(0, len(ended) - kept_count)]:
            at = scheduled_at(one)
            # Until the status tells of it, only the Job itself keeps it from being made again.
            if at is None or (stored_at is not None and at <= stored_at):
                yield _deleted(one)


def _begun_s(one: Job) -> float:
    at = one.status.start_time or one.metadata.creation_timestamp
    return at.timestamp() if at is not None else 0.0


def _deleted(one: Job) -> Delete:
    return Delete(Job, one.ref, one.metadata.uid, propagation="Background")
