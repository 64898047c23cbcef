"""HorizontalPodAutoscaler: as many replicas as keep what pods use at a target."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from cubernetes.api.autoscaling.metrictypes import (
    CPU_80,
    CrossVersionObjectReference,
    MetricSpec,
    MetricStatus,
    metric_problems,
    reference_problems,
    told,
)
from cubernetes.api.autoscaling.scaling import (
    HorizontalPodAutoscalerBehavior,
    behavior_problems,
    bounds_problems,
    filled,
)
from cubernetes.api.condition import Truth
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, replaced, shown
from cubernetes.api.resource import Resource

METRICS_MAX = 20


class HorizontalPodAutoscalerSpec(Model):
    """What is scaled, on what, and how far.

    scale_target_ref: the workload.
    min_replicas: never fewer; 0 where one of the metrics is of an Object or External.
    max_replicas: never more.
    metrics: what pods should use; left out, 80 percent of the cpu that they request.
    behavior: how fast either direction is gone; left out, up at once, down after five minutes.
    """

    scale_target_ref: CrossVersionObjectReference
    min_replicas: int = shown(1)
    max_replicas: int
    metrics: tuple[MetricSpec, ...] = ()
    behavior: HorizontalPodAutoscalerBehavior | None = None


class HorizontalPodAutoscalerCondition(Model):
    """One fact about an autoscaler, with since when and why.

    type: ScalingActive, AbleToScale or ScalingLimited.
    status: whether it is so.
    reason: why, as one word for programs.
    message: why, as a sentence for people.
    last_transition_time: when `status` changed last.
    """

    type: str
    status: Truth
    reason: str = ""
    message: str = ""
    last_transition_time: Instant | None = None


class HorizontalPodAutoscalerStatus(Model):
    """What was found and decided last.

    observed_generation: the generation of the autoscaler that this tells of.
    last_scale_time: when the number of replicas was changed last.
    current_replicas: how many there were.
    desired_replicas: how many there should be.
    current_metrics: what the metrics were.
    conditions: ScalingActive, AbleToScale and ScalingLimited.
    """

    observed_generation: int = 0
    last_scale_time: Instant | None = None
    current_replicas: Count = 0
    desired_replicas: Count = shown(0)
    current_metrics: tuple[MetricStatus, ...] = ()
    conditions: tuple[HorizontalPodAutoscalerCondition, ...] = ()


def _reference(one: "HorizontalPodAutoscaler", _: datetime) -> str:
    target = one.spec.scale_target_ref
    return f"{target.kind}/{target.name}"


def _targets(one: "HorizontalPodAutoscaler", _: datetime) -> str:
    shown_as = [told(spec, one.status.current_metrics) for spec in one.spec.metrics]
    return ", ".join(shown_as) or "<none>"


class HorizontalPodAutoscaler(Object):
    resource = Resource(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        ("hpa",),
        subresources=("status", "history"),
        categories=("all",),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Reference", _reference),
        Column("Targets", _targets),
        Column("MinPods", lambda one, _: one.spec.min_replicas),
        Column("MaxPods", lambda one, _: one.spec.max_replicas),
        Column("Replicas", lambda one, _: one.status.current_replicas),
        Column("Age", age_of),
    )

    api_version: str = shown("autoscaling/v2")
    kind: str = shown("HorizontalPodAutoscaler")
    spec: HorizontalPodAutoscalerSpec
    status: HorizontalPodAutoscalerStatus = msgspec.field(
        default_factory=HorizontalPodAutoscalerStatus
    )

    def defaulted(self) -> "HorizontalPodAutoscaler":
        spec = self.spec
        behavior = filled(spec.behavior) if spec.behavior is not None else None
        changed = replaced(spec, metrics=spec.metrics or (CPU_80,), behavior=behavior)
        return replaced(self, spec=changed)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        yield from reference_problems(spec.scale_target_ref, "spec.scaleTargetRef")
        # What tells of other things than the pods wakes a workload that has none.
        is_woken = any(one.type in ("Object", "External") for one in spec.metrics)
        yield from bounds_problems(spec.min_replicas, spec.max_replicas, 0 if is_woken else 1)
        if len(spec.metrics) > METRICS_MAX:
            yield Problem("spec.metrics", f"must be at most {METRICS_MAX}", "FieldValueTooMany")
        for index, one in enumerate(spec.metrics):
            yield from metric_problems(one, f"spec.metrics[{index}]")
        if spec.behavior is not None:
            yield from behavior_problems(spec.behavior, "spec.behavior")
