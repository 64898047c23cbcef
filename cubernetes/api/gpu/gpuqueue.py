"""GpuQueue: a share of all GPUs, and those who use it one after the other."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, shown
from cubernetes.api.resource import Resource

# The queue of jobs that name none; it is made where it is not there.
DEFAULT = "default"


class GpuQueueSpec(Model):
    """How much its jobs may use.

    weight: its share, beside those of the other queues.
    max_gpus: how many GPUs its jobs have at once; 0 is no limit.
    max_jobs: how many of its jobs are at sites at once; 0 is no limit.
    """

    weight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = shown(1)
    max_gpus: Count = shown(0)
    max_jobs: Count = shown(0)


class GpuQueueStatus(Model):
    """What its jobs have used and do.

    usage_gpu_seconds: what they have used; what was used an hour ago counts half.
    usage_at: when that was so.
    running_gpus: how many GPUs they have.
    running_jobs: how many of them are at sites.
    waiting_jobs: how many of them wait here.
    """

    usage_gpu_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    usage_at: Instant | None = None
    running_gpus: Count = 0
    running_jobs: Count = 0
    waiting_jobs: Count = 0


class GpuQueue(Object):
    resource = Resource(
        "gpu.cubernetes.io", "v1", "GpuQueue", "gpuqueues", namespaced=False,
        subresources=("status",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Weight", lambda one, _: one.spec.weight),
        Column("GPUs", lambda one, _: one.status.running_gpus),
        Column("Running", lambda one, _: one.status.running_jobs),
        Column("Waiting", lambda one, _: one.status.waiting_jobs),
        Column("Age", age_of),
        Column("Usage", lambda one, _: f"{one.status.usage_gpu_seconds:.0f}s", wide=True),
    )

    api_version: str = shown("gpu.cubernetes.io/v1")
    kind: str = shown("GpuQueue")
    spec: GpuQueueSpec = msgspec.field(default_factory=GpuQueueSpec)
    status: GpuQueueStatus = msgspec.field(default_factory=GpuQueueStatus)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
