"""What the statuses of sites and queues say. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from cubernetes.api.condition import Condition, with_condition
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpuqueue import GpuQueue, GpuQueueStatus
from cubernetes.api.gpu.gpusite import READY, GpuCounts, GpuSite, GpuSiteStatus
from cubernetes.api.meta import replaced
from gpu.decide import is_held, is_waiting
from gpu.driver import Report
from gpu.shares import Span, usage

# Use is written this often while jobs run, so that a job which is deleted takes little of it along.
USAGE_STALE_S = 60.0


def usage_of(queue: GpuQueue, jobs: Iterable[GpuJob], now: datetime) -> float:
    """Return what the jobs of a queue have used as of now."""
    spans = [
        Span(len(one.status.devices), one.status.started_at, one.status.ended_at)
        for one in jobs
        if one.status.started_at is not None
    ]
    return usage(queue.status.usage_gpu_seconds, queue.status.usage_at, spans, now)


def queue_status(queue: GpuQueue, jobs: Iterable[GpuJob], now: datetime) -> GpuQueueStatus:
    """Return what a queue's status is to say; as it is, where nothing of weight has changed."""
    own = tuple(jobs)
    held = [one for one in own if is_held(one)]
    status = queue.status
    counted = replaced(
        status,
        running_gpus=sum(len(one.status.devices) for one in held),
        running_jobs=len(held),
        waiting_jobs=sum(1 for one in own if is_waiting(one)),
    )
    stale = timedelta(seconds=USAGE_STALE_S)
    is_stale = status.usage_at is None or (bool(held) and now - status.usage_at >= stale)
    if counted == status and not is_stale:
        return status
    used = round(usage_of(queue, own, now), 3)
    return replaced(counted, usage_gpu_seconds=used, usage_at=now)


def site_status(
    site: GpuSite, report: Report | None, trouble: str, jobs: Iterable[GpuJob], now: datetime
) -> GpuSiteStatus:
    """Return what a site's status is to say; jobs are those that are there, or on their way."""
    there = tuple(jobs)
    used = {device for one in there for device in one.status.devices}
    devices = report.devices if report is not None else {}
    message = trouble or (report.message if report is not None else "")
    condition = Condition(
        type=READY,
        status="False" if trouble else "True",
        reason="NoAnswer" if trouble else "Answers",
        message=message,
    )
    return GpuSiteStatus(
        conditions=with_condition(site.status.conditions, condition, now),
        gpus=GpuCounts(total=len(devices), free=len(devices.keys() - used)),
        running=sum(1 for one in there if one.status.phase == "Running"),
        waiting=sum(1 for one in there if one.status.phase in ("Submitting", "Queued")),
    )
