"""GpuSite: a place where GPU jobs run."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.core.parts.resources import is_extended
from cubernetes.api.errors import Problem
from cubernetes.api.gpu.gpujob import GPUS_MAX
from cubernetes.api.gpu.slurm import Slurm, slurm_problems
from cubernetes.api.meta import Column, Count, Labels, Model, Object, age_of, shown
from cubernetes.api.resource import Resource

# The condition that says whether a site takes jobs.
READY = "Ready"
# A site that is deleted stays until nothing of ours is left there.
SITE_FINALIZER = "gpu.cubernetes.io/jobs"
JOBS_MAX = 1000


class StandIn(Model):
    """CPUs that stand in for GPUs: nothing there runs on a GPU, and each job's output says so.

    gpus: for how many GPUs they stand in.
    node_selector: the labels of the nodes that they are on; empty is any node.
    """

    gpus: Annotated[int, msgspec.Meta(ge=1, le=GPUS_MAX)] = shown(1)
    node_selector: Labels = msgspec.field(default_factory=dict)


class Local(Model):
    """Nodes of this cluster that have devices: each job is a pod there, which is given some.

    image: what jobs run in: a shell, and nvcc where they are CUDA sources.
    resource: which devices; nvidia.com/gpu are GPUs.
    node_selector: the labels of the nodes that take part; empty are all that have such devices.
    """

    image: str
    resource: str = shown("nvidia.com/gpu")
    node_selector: Labels = msgspec.field(default_factory=dict)


class GpuSiteSpec(Model):
    """What kind of place it is, and how much it is given at once.

    type: standin is a CPU that stands in for GPUs; slurm is a site of Slurm, reached by ssh; local
        are devices of this cluster's own nodes.
    max_jobs: how many jobs are there at once.
    stand_in: the CPUs of a stand-in.
    slurm: how a site of Slurm is reached; that type needs it, and no other has it.
    local: which of our nodes' devices; that type needs it, and no other has it.
    """

    type: Literal["standin", "slurm", "local"]
    max_jobs: Annotated[int, msgspec.Meta(ge=1, le=JOBS_MAX)] = shown(20)
    stand_in: StandIn = msgspec.field(default_factory=StandIn)
    slurm: Slurm | None = None
    local: Local | None = None


class GpuCounts(Model):
    """GPUs of a site.

    total: how many there are.
    free: how many no job of ours has.
    """

    total: Count = 0
    free: Count = 0


class GpuSiteStatus(Model):
    """What has been found of it.

    conditions: `Ready` says whether it takes jobs; the message is in its own words.
    gpus: how many GPUs it has.
    running: how many jobs run there.
    waiting: how many jobs are there and do not run yet.
    """

    conditions: tuple[Condition, ...] = ()
    gpus: GpuCounts = msgspec.field(default_factory=GpuCounts)
    running: Count = 0
    waiting: Count = 0


def _ready(one: "GpuSite", _: datetime) -> str:
    ready = condition_of(one.status.conditions, READY)
    return ready.status if ready is not None else "Unknown"


def _gpus(one: "GpuSite", _: datetime) -> str:
    return f"{one.status.gpus.free}/{one.status.gpus.total}"


class GpuSite(Object):
    resource = Resource(
        "gpu.cubernetes.io", "v1", "GpuSite", "gpusites", namespaced=False,
        subresources=("status",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Type", lambda one, _: one.spec.type),
        Column("Ready", _ready),
        Column("Free GPUs", _gpus),
        Column("Running", lambda one, _: one.status.running),
        Column("Waiting", lambda one, _: one.status.waiting),
        Column("Age", age_of),
    )

    api_version: str = shown("gpu.cubernetes.io/v1")
    kind: str = shown("GpuSite")
    spec: GpuSiteSpec
    status: GpuSiteStatus = msgspec.field(default_factory=GpuSiteStatus)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
        yield from names.label_problems(
            self.spec.stand_in.node_selector, "spec.standIn.nodeSelector"
        )
        own = {"slurm": self.spec.slurm, "local": self.spec.local}
        for name, one in own.items():
            if (one is not None) != (self.spec.type == name):
                told = f"is for the type {name}, which needs it"
                yield Problem(f"spec.{name}", told, "FieldValueForbidden")
        if self.spec.slurm is not None:
            yield from slurm_problems(self.spec.slurm, "spec.slurm")
        if self.spec.local is not None:
            yield from _local_problems(self.spec.local, "spec.local")


def _local_problems(local: Local, field: str) -> Iterator[Problem]:
    if not local.image:
        yield Problem(f"{field}.image", "must name an image", "FieldValueRequired")
    if not is_extended(local.resource):
        told = "must be the name of a kind of device, such as nvidia.com/gpu"
        yield Problem(f"{field}.resource", told)
    yield from names.label_problems(local.node_selector, f"{field}.nodeSelector")
