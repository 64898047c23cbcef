"""Builders of GPU jobs and sites, and of what the planner of the queues is given."""

from datetime import UTC, datetime, timedelta

from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec, GpuJobStatus, GpuResources
from cubernetes.api.gpu.gpuqueue import GpuQueue
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec, StandIn
from cubernetes.api.meta import ObjectMeta, replaced
from gpu.plan import ActiveJob, Queue, Site, Waiting

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(span_s: float) -> datetime:
    return NOW + timedelta(seconds=span_s)


def a_gpujob(name: str = "add", gpus: int = 1, **fields: object) -> GpuJob:
    """Return a job of a script; the other fields are those of its spec."""
    meta = ObjectMeta(
        name=name, namespace="default", uid=f"uid-{name}", resource_version="1",
        creation_timestamp=NOW, generation=1,
    )  # fmt: skip
    spec = GpuJobSpec(script="true", resources=GpuResources(gpus=gpus))
    return GpuJob(metadata=meta, spec=replaced(spec, **fields))


def in_phase(job: GpuJob, phase: str, **fields: object) -> GpuJob:
    """Return a job in a phase of its first attempt; the other fields are those of its status."""
    sent = GpuJobStatus(
        site="a", attempt=1, submission_key=f"{job.metadata.uid}-1", devices=("gpu-0",)
    )
    status = GpuJobStatus() if phase == "Pending" else sent
    return replaced(job, status=replaced(status, phase=phase, **fields))


def deleted(job: GpuJob) -> GpuJob:
    return replaced(job, metadata=replaced(job.metadata, deletion_timestamp=NOW))


def a_gpusite(name: str = "a", gpus: int = 2, **labels: str) -> GpuSite:
    meta = ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1", generation=1)
    stand_in = StandIn(gpus=gpus, node_selector=labels)
    return GpuSite(metadata=meta, spec=GpuSiteSpec(type="standin", stand_in=stand_in))


def a_gpuqueue(name: str = "default") -> GpuQueue:
    return GpuQueue(metadata=ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1"))


def waiting(uid: str, gpus: int = 1, *, at_s: float = 0, **fields: object) -> Waiting:
    given = {"queue": "default", "priority": 0, "limit_s": 600.0} | fields
    return Waiting(uid=uid, gpus=gpus, at=after(at_s), **given)  # type: ignore[arg-type]  # by name


def held(uid: str, devices: tuple[str, ...], ends_s: float, site: str = "a") -> ActiveJob:
    return ActiveJob(uid, "default", site, devices, after(ends_s))


def site(
    name: str = "a", gpus: int = 2, *, kind: str = "h200", nodes: int = 1, **fields: object
) -> Site:
    """Return a site with so many GPUs on each of its nodes."""
    places = [f"n{node}/" for node in range(nodes)] if nodes > 1 else [""]
    devices = {f"{place}gpu-{index}": kind for place in places for index in range(gpus)}
    given = {"jobs_max": 100} | fields
    return Site(name, devices, **given)  # type: ignore[arg-type]  # by name


def queue(name: str = "default", **fields: object) -> Queue:
    return Queue(name, **fields)  # type: ignore[arg-type]  # by name
