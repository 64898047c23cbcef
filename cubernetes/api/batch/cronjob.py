"""CronJob: a Job at each time of a schedule."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.batch.job import JobSpec, Seconds64, defaulted_job, job_problems
from cubernetes.api.batch.schedule import NotASchedule, UnknownZone, schedule_of, zone_called
from cubernetes.api.core.event import ObjectReference
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Labels,
    Model,
    Object,
    age_of,
    replaced,
    short_span,
    shown,
)
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import selector_text

# A Job's name is the CronJob's with 11 more characters.
NAME_CHARS_MAX = 52


class JobMeta(Model):
    """What the Jobs of a CronJob are told apart and found by.

    name, namespace, creation_timestamp: kept for clients that send it; Jobs get their own.
    labels: the labels of each Job.
    annotations: the annotations of each Job.
    """

    name: str = ""
    namespace: str = ""
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: Instant | None = None


class JobTemplate(Model):
    """What a CronJob makes Jobs of.

    metadata: what each Job carries.
    spec: what each Job is.
    """

    metadata: JobMeta = msgspec.field(default_factory=JobMeta)
    spec: JobSpec


class CronJobSpec(Model):
    """When Jobs are made, and of what.

    schedule: minute, hour, day of month, month and day of week: numbers, names (`jan`, `mon`),
        lists, ranges and steps (`*/5`); or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    time_zone: in which time zone the schedule is read, as `Europe/Berlin`; left out, in UTC.
    starting_deadline_seconds: how late a Job may be made; left out, at any time.
    concurrency_policy: whether a Job is made beside one that still runs (Allow), not (Forbid), or
        in its place (Replace).
    suspend: whether no Job is made for now; those that run go on.
    job_template: what Jobs are made of.
    successful_jobs_history_limit: how many complete Jobs are kept, the newest.
    failed_jobs_history_limit: how many failed Jobs are kept, the newest.
    """

    schedule: str
    time_zone: str | None = None
    starting_deadline_seconds: Seconds64 | None = None
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = shown("Allow")
    suspend: bool = shown(False)
    job_template: JobTemplate
    successful_jobs_history_limit: Count = shown(3)
    failed_jobs_history_limit: Count = shown(1)


class CronJobStatus(Model):
    """What has been made of it.

    active: its Jobs that are not over.
    last_schedule_time: the time for which a Job was made last.
    last_successful_time: when one of its Jobs was complete last.
    """

    active: tuple[ObjectReference, ...] = ()
    last_schedule_time: Instant | None = None
    last_successful_time: Instant | None = None


class CronJob(Object):
    resource = Resource(
        "batch", "v1", "CronJob", "cronjobs", ("cj",), subresources=("status",),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Schedule", lambda one, _: one.spec.schedule),
        Column("Timezone", lambda one, _: one.spec.time_zone or "<none>"),
        Column("Suspend", lambda one, _: str(one.spec.suspend)),
        Column("Active", lambda one, _: len(one.status.active)),
        Column("Last Schedule", lambda one, now: _last_of(one, now)),
        Column("Age", age_of),
        Column("Containers", lambda one, _: _texts_of(one, "name"), wide=True),
        Column("Images", lambda one, _: _texts_of(one, "image"), wide=True),
        Column("Selector", lambda one, _: _selector_of(one), wide=True),
    )

    api_version: str = shown("batch/v1")
    kind: str = shown("CronJob")
    spec: CronJobSpec
    status: CronJobStatus = msgspec.field(default_factory=CronJobStatus)

    def defaulted(self) -> "CronJob":
        template = self.spec.job_template
        filled = replaced(template, spec=defaulted_job(template.spec))
        return replaced(self, spec=replaced(self.spec, job_template=filled))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if len(self.metadata.name) > NAME_CHARS_MAX:
            message = f"must be no more than {NAME_CHARS_MAX} characters"
            yield Problem("metadata.name", message)
        yield from _time_problems(self.spec)
        template, field = self.spec.job_template, "spec.jobTemplate"
        meta = template.metadata
        yield from names.label_problems(meta.labels, f"{field}.metadata.labels")
        yield from names.annotation_problems(meta.annotations, f"{field}.metadata.annotations")
        yield from job_problems(template.spec, f"{field}.spec")
        if template.spec.selector is not None:
            yield Problem(f"{field}.spec.selector", "`selector` will be auto-generated")
        if template.spec.manual_selector:
            message = "must be false: selectors of its Jobs are made by the server"
            yield Problem(f"{field}.spec.manualSelector", message, "FieldValueNotSupported")


def _time_problems(spec: CronJobSpec) -> Iterator[Problem]:
    zone_name, where = spec.time_zone, "spec.timeZone"
    try:
        if zone_name == "":
            yield Problem(where, "must be nil or non-empty string")
        if zone_name is not None and zone_name.lower() == "local":
            yield Problem(where, "timeZone must be an explicit time zone, such as Europe/Berlin")
        else:
            zone_called(zone_name or "")
    except UnknownZone:
        yield Problem(where, f"unknown time zone {(zone_name or '')[:80]}")
    if not spec.schedule:
        yield Problem("spec.schedule", "is required", "FieldValueRequired")
        return
    if "TZ" in spec.schedule:
        yield Problem("spec.schedule", "cannot use TZ or CRON_TZ in schedule, use timeZone field")
        return
    try:
        schedule_of(spec.schedule, zone_called(""))
    except NotASchedule as error:
        yield Problem("spec.schedule", str(error))


def _last_of(one: CronJob, now: datetime) -> str:
    at = one.status.last_schedule_time
    return "<none>" if at is None else short_span((now - at).total_seconds())


def _texts_of(one: CronJob, field: str) -> str:
    containers = one.spec.job_template.spec.template.spec.containers
    return ",".join(getattr(each, field) for each in containers)


def _selector_of(one: CronJob) -> str:
    selector = one.spec.job_template.spec.selector
    return selector_text(selector.match_labels) if selector is not None else "<none>"
