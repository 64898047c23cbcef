"""AutoScaler: as many pods as keep what each of them uses between two bounds."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from cubernetes.api import names
from cubernetes.api.apps.workload import defaulted_template, kept_template_problems
from cubernetes.api.autoscaling.metrictypes import (
    CrossVersionObjectReference,
    reference_problems,
)
from cubernetes.api.autoscaling.scaling import bounds_problems
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, replaced, shown
from cubernetes.api.resource import Resource

# By this label the pods of a template are told from all others.
LABEL = "cubernetes.io/autoscaler"
INTERVAL_S_MAX = 3600
BOUNDS_RULE = "must be greater than or equal to the lower bound, and greater than 0"


class CpuBounds(Model):
    """What each pod should use of the processor on average.

    min_percentage: below it there are fewer pods; 0 is never.
    max_percentage: above it there are more pods.
    Both are in percent of what a pod requests; of one core where it requests nothing.
    """

    min_percentage: float = 0.0
    max_percentage: float


class MemoryBounds(Model):
    """What each pod should use of memory on average, in bytes.

    min_bytes: below it there are fewer pods; 0 is never.
    max_bytes: above it there are more pods.
    """

    min_bytes: int = 0
    max_bytes: int


class TargetUtilization(Model):
    """What pods should use; of the two the one that asks for most pods counts.

    cpu: of the processor.
    memory: of memory.
    """

    cpu: CpuBounds | None = None
    memory: MemoryBounds | None = None


class AutoScalerSpec(Model):
    """Which pods, how many, and what they should use.

    template: what pods are made of: a Deployment of the autoscaler's name is kept of it.
    target: the workload that is scaled, instead of a template.
    min_replicas: never fewer.
    max_replicas: never more.
    target_utilization: between which bounds each pod should be.
    min_scale_interval: seconds that pass between two changes at least.
    """

    template: PodTemplate | None = None
    target: CrossVersionObjectReference | None = None
    min_replicas: int = shown(1)
    max_replicas: int
    target_utilization: TargetUtilization
    min_scale_interval: int = shown(15)


class ActualUtilization(Model):
    """What each pod uses on average.

    cpu_percentage: of the processor, in percent of what a pod requests, or of one core.
    memory_bytes: of memory.
    """

    cpu_percentage: int | None = None
    memory_bytes: int | None = None


class AutoScalerStatus(Model):
    """What was found and decided last.

    observed_generation: the generation that this tells of.
    last_scale_time: when the number of pods was changed last.
    desired_replicas: how many there should be.
    actual_replicas: how many pods run.
    actual_utilization: what each of them uses.
    conditions: `ScalingActive` is False where nothing can be decided, and says why.
    """

    observed_generation: int = 0
    last_scale_time: Instant | None = None
    desired_replicas: Count = 0
    actual_replicas: Count = 0
    actual_utilization: ActualUtilization = msgspec.field(default_factory=ActualUtilization)
    conditions: tuple[Condition, ...] = ()


def _cpu(one: "AutoScaler", _: datetime) -> str:
    bounds, now = one.spec.target_utilization.cpu, one.status.actual_utilization.cpu_percentage
    if bounds is None:
        return "<none>"
    is_now = "<unknown>" if now is None else f"{now}%"
    return f"{is_now}/{bounds.min_percentage:g}-{bounds.max_percentage:g}%"


def _memory(one: "AutoScaler", _: datetime) -> str:
    bounds, now = one.spec.target_utilization.memory, one.status.actual_utilization.memory_bytes
    if bounds is None:
        return "<none>"
    is_now = "<unknown>" if now is None else f"{now // 2**20}Mi"
    return f"{is_now}/{bounds.min_bytes // 2**20}-{bounds.max_bytes // 2**20}Mi"


class AutoScaler(Object):
    resource = Resource(
        "cubernetes.io", "v1", "AutoScaler", "autoscalers", subresources=("status", "history"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("CPU", _cpu),
        Column("Memory", _memory),
        Column("MinPods", lambda one, _: one.spec.min_replicas),
        Column("MaxPods", lambda one, _: one.spec.max_replicas),
        Column("Replicas", lambda one, _: one.status.desired_replicas),
        Column("Age", age_of),
    )

    api_version: str = shown("cubernetes.io/v1")
    kind: str = shown("AutoScaler")
    spec: AutoScalerSpec
    status: AutoScalerStatus = msgspec.field(default_factory=AutoScalerStatus)

    def defaulted(self) -> "AutoScaler":
        template = self.spec.template
        if template is None:
            return self
        return replaced(self, spec=replaced(self.spec, template=defaulted_template(template)))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from _pods_problems(self.spec, self.metadata.name)
        yield from bounds_problems(self.spec.min_replicas, self.spec.max_replicas)
        if not 0 <= self.spec.min_scale_interval <= INTERVAL_S_MAX:
            yield Problem("spec.minScaleInterval", f"must be from 0 to {INTERVAL_S_MAX}")
        wanted, where = self.spec.target_utilization, "spec.targetUtilization"
        if wanted.cpu is None and wanted.memory is None:
            yield Problem(where, "needs cpu, memory or both", "FieldValueRequired")
        cpu, memory = wanted.cpu, wanted.memory
        if cpu is not None and not 0 <= cpu.min_percentage <= cpu.max_percentage > 0:
            yield Problem(f"{where}.cpu.maxPercentage", BOUNDS_RULE)
        if memory is not None and not 0 <= memory.min_bytes <= memory.max_bytes > 0:
            yield Problem(f"{where}.memory.maxBytes", BOUNDS_RULE)


def labels_of(template: PodTemplate, name: str) -> dict[str, str]:
    """Return the labels of pods of an autoscaler's template."""
    return {**template.metadata.labels, LABEL: name}


def _pods_problems(spec: AutoScalerSpec, name: str) -> Iterator[Problem]:
    if (spec.template is None) == (spec.target is None):
        message = "needs either a template or a target"
        yield Problem("spec.template", message, "FieldValueRequired")
        return
    if spec.template is not None:
        if not names.is_label_value(name):
            message = f"labels the pods of the template, and {names.LABEL_VALUE_RULE}"
            yield Problem("metadata.name", message)
            return
        meta = replaced(spec.template.metadata, labels=labels_of(spec.template, name))
        yield from kept_template_problems(replaced(spec.template, metadata=meta))
    if spec.target is not None:
        yield from reference_problems(spec.target, "spec.target")
