"""What is next for one job, from its status and what its site says of it. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from typing import NamedTuple

from cubernetes.api.gpu.gpujob import GpuJob, GpuJobStatus, has_ended
from cubernetes.api.meta import replaced
from gpu.driver import Observation
from gpu.machine import Effect, Event, step
from gpu.plan import ActiveJob, Admission, Wait, Waiting

MESSAGE_CHARS_MAX = 1024
# The server dates what it makes; what it has not made yet is the oldest.
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
REASONS: dict[Event, str] = {
    Event.FAILED: "ProgramFailed",
    Event.TIMED_OUT: "TimeLimit",
    Event.OUT_OF_MEMORY: "MemoryLimit",
    Event.CANCELLED: "CancelledAtSite",
    Event.LOST: "MachineLost",
    Event.ABSENT: "MachineLost",
    Event.REFUSED: "RefusedBySite",
}


class Act(StrEnum):
    """What is to be done beside writing the status."""

    NOTHING = auto()
    SUBMIT = auto()
    CANCEL = auto()
    REMOVE = auto()  # what is left of it at its site
    RELEASE = auto()  # let the deleted object go
    EXPIRE = auto()  # delete the object: it has been kept for long enough


class Next(NamedTuple):
    status: GpuJobStatus
    act: Act = Act.NOTHING


class Sight(NamedTuple):
    """What is known of a job's site now.

    is_gone: there is no such site. has_news: it has answered since the last thing done about the
    job. observation: what it says of the job; None where it does not know it.
    """

    is_gone: bool = False
    has_news: bool = False
    observation: Observation | None = None


def key_of(job: GpuJob, attempt: int) -> str:
    return f"{job.metadata.uid}-{attempt}"


def is_waiting(job: GpuJob) -> bool:
    """Whether a job is to be planned."""
    wants = not job.metadata.is_deleted and not job.spec.cancel
    return wants and job.status.phase == "Pending"


def is_held(job: GpuJob) -> bool:
    """Whether a job has GPUs: it is on its way to a site, or there."""
    return job.status.phase != "Pending" and not has_ended(job)


def waiting_of(job: GpuJob) -> Waiting:
    spec, meta = job.spec, job.metadata
    return Waiting(
        uid=meta.uid,
        queue=spec.queue,
        priority=spec.priority,
        at=meta.creation_timestamp or UNDATED,
        gpus=spec.gpus,
        nodes=spec.nodes,
        limit_s=float(spec.time_limit_seconds),
        gpu_type=spec.resources.gpu_type,
        site=spec.site,
        allows_stand_in=spec.allow_stand_in,
    )


def held_of(job: GpuJob, now: datetime) -> ActiveJob:
    limit = timedelta(seconds=job.spec.time_limit_seconds)
    return ActiveJob(
        uid=job.metadata.uid,
        queue=job.spec.queue,
        site=job.status.site,
        devices=job.status.devices,
        ends_at=(job.status.started_at or now) + limit,
    )


def admitted(job: GpuJob, admission: Admission, now: datetime) -> GpuJobStatus:
    """Return the status of a job that goes: its key is written before anything is sent."""
    attempt = job.status.attempt + 1
    return GpuJobStatus(
        phase=step(job.status.phase, Event.ADMITTED).phase,
        site=admission.site,
        attempt=attempt,
        submission_key=key_of(job, attempt),
        devices=admission.devices,
        submitted_at=now.replace(microsecond=0),
    )


def stepped_back(job: GpuJob) -> GpuJobStatus:
    """Return the status of a job that was never sent and has another job's GPUs: it waits again.

    What was never sent is no attempt, and its key is taken again.
    """
    status = job.status
    return GpuJobStatus(
        phase="Pending",
        reason="Waiting",
        message=f"its GPUs at site {status.site} are another job's",
        attempt=status.attempt - 1,
        # What is left of an attempt before goes with the object.
        submission_key=status.submission_key,
        site=status.site,
    )


class Holders:
    """Which jobs have each GPU.

    Two have one where an admission was written and not seen in time: by a life that has ended, or
    where the answer was lost. Only one of them is sent.
    """

    def __init__(self, jobs: Iterable[GpuJob]) -> None:
        self._by_device: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for job in jobs:
            if is_held(job):
                for device in job.status.devices:
                    self._by_device[job.status.site, device].add(job.metadata.uid)

    def is_shared(self, job: GpuJob) -> bool:
        """Whether another job has one of its GPUs."""
        status = job.status
        return any(len(self._by_device[status.site, one]) > 1 for one in status.devices)

    def let_go(self, job: GpuJob) -> None:
        for device in job.status.devices:
            self._by_device[job.status.site, device].discard(job.metadata.uid)


def waits(job: GpuJob, wait: Wait) -> GpuJobStatus:
    """Return the status of a job that waits, with what for."""
    message = wait.reason
    if wait.starts_at is not None:
        message += f"; starts before {wait.starts_at:%Y-%m-%d %H:%M:%S} UTC"
    return replaced(job.status, reason="Waiting", message=message, position=wait.position)


def next_of(job: GpuJob, sight: Sight, now: datetime) -> Next:
    """Return what is next for a job, beside its place in the queue.

    Without news a job stays as it is, except that it may be cancelled.
    """
    status = job.status
    if has_ended(job):
        return _after_end(job, sight, now)
    wants_end = job.spec.cancel or job.metadata.is_deleted
    if status.phase == "Pending":
        return Next(_cancelled_here(job, now)) if wants_end else Next(status)
    if sight.is_gone and wants_end:
        return Next(_cancelled_here(job, now))
    if wants_end and status.phase != "Cancelling":
        return _stepped(job, Event.CANCEL, Observation(Event.CANCEL), now)
    if not sight.has_news:
        return Next(status)
    found = sight.observation or Observation(Event.ABSENT)
    return _stepped(job, found.state, found, now)


def refused(job: GpuJob, why: str, now: datetime) -> GpuJobStatus:
    """Return the status of a job that its site will never take."""
    return _stepped(job, Event.REFUSED, Observation(Event.REFUSED, message=why), now).status


def taken(job: GpuJob, now: datetime) -> GpuJobStatus:
    """Return the status of a job that its site has just taken: it is there, whatever comes next."""
    found = Observation(Event.QUEUED, message="its site has taken it")
    return _stepped(job, Event.QUEUED, found, now).status


def _after_end(job: GpuJob, sight: Sight, now: datetime) -> Next:
    status = job.status
    if job.metadata.is_deleted:
        if sight.is_gone or not status.submission_key:
            return Next(status, Act.RELEASE)
        if not sight.has_news:
            return Next(status)
        return Next(status, Act.RELEASE if sight.observation is None else Act.REMOVE)
    keep = timedelta(seconds=job.spec.keep_seconds)
    is_over = status.ended_at is not None and now >= status.ended_at + keep
    return Next(status, Act.EXPIRE if is_over else Act.NOTHING)


def _cancelled_here(job: GpuJob, now: datetime) -> GpuJobStatus:
    return replaced(
        job.status, phase="Cancelled", reason="Cancelled", message="cancelled by its owner",
        position=0, ended_at=now.replace(microsecond=0),
    )  # fmt: skip


def _stepped(job: GpuJob, event: Event, found: Observation, now: datetime) -> Next:
    status = job.status
    taken = step(status.phase, event)
    match taken.effect:
        case Effect.RETRY:
            return Next(_after_loss(job, found, now))
        case Effect.SUBMIT:
            return Next(status, Act.SUBMIT)
        case Effect.CANCEL:
            return Next(_with_news(replaced(status, phase=taken.phase), found), Act.CANCEL)
        case Effect.NOTHING:
            pass
    if event is Event.QUEUED and taken.phase != "Queued":
        # Older than what was told before.
        return Next(status)
    told = _with_news(replaced(status, phase=taken.phase), found)
    if has_ended(replaced(job, status=told)):
        return Next(_ended(job, told, event, found, now))
    return Next(told)


def _with_news(status: GpuJobStatus, found: Observation) -> GpuJobStatus:
    """Return a status with what a site says of a job; what it leaves out stays."""
    return replaced(
        status,
        reason=found.reason,
        message=found.message[-MESSAGE_CHARS_MAX:],
        position=0,
        node_name=found.node or status.node_name,
        site_job_id=found.site_job_id or status.site_job_id,
        started_at=found.started_at or status.started_at,
    )


def _ended(
    job: GpuJob, told: GpuJobStatus, event: Event, found: Observation, now: datetime
) -> GpuJobStatus:
    reason, message = found.reason or REASONS.get(event, ""), told.message
    if told.phase == "Cancelled" and (job.spec.cancel or job.metadata.is_deleted):
        reason, message = "Cancelled", "cancelled by its owner"
    ended_at = found.ended_at or now.replace(microsecond=0)
    return replaced(
        told, reason=reason, message=message, exit_code=found.exit_code, signal=found.signal,
        ended_at=ended_at,
    )  # fmt: skip


def _after_loss(job: GpuJob, found: Observation, now: datetime) -> GpuJobStatus:
    """Return the status of a job whose machine was lost: it waits again, or has failed."""
    status = job.status
    told = found.message or f"site {status.site} does not know it any more"
    if status.attempt > job.spec.retries:
        return _ended(
            job, replaced(status, phase="Failed", message=told[-MESSAGE_CHARS_MAX:]), Event.LOST,
            found, now,
        )  # fmt: skip
    return GpuJobStatus(
        phase="Pending",
        reason=REASONS[Event.LOST],
        message=f"attempt {status.attempt} was lost: {told}"[:MESSAGE_CHARS_MAX],
        attempt=status.attempt,
        # What is left of the lost attempt goes with the object.
        submission_key=status.submission_key,
        site=status.site,
    )
