"""HorizontalPodAutoscaler: as many replicas as keep what pods use at a target."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import msgspec

from cubernetes.api import names
from cubernetes.api.autoscaling.scaling import (
    HorizontalPodAutoscalerBehavior,
    behavior_problems,
    bounds_problems,
    filled,
)
from cubernetes.api.condition import Truth
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, replaced, shown
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource

METRICS_MAX = 20
NAME_RULE = "must be cpu or memory: nothing else is measured"
TYPE_RULE = "must be Resource or ContainerResource: Pods, Object and External are not built"
TARGET_RULE = "must be Utilization or AverageValue"


class CrossVersionObjectReference(Model):
    """Which object is scaled.

    kind: its kind; it must have a `scale`.
    name: its name, in the namespace of the autoscaler.
    api_version: the group and version of the kind.
    """

    kind: str
    name: str
    api_version: str = ""


class MetricTarget(Model):
    """What a metric should be on average of all pods.

    type: Utilization or AverageValue.
    average_utilization: in percent of what the pods request.
    average_value: as an amount for each pod.
    """

    type: str
    average_utilization: int | None = None
    average_value: Quantity | None = None


class ResourceMetricSource(Model):
    """A resource of whole pods.

    name: `cpu` or `memory`.
    target: what it should be.
    """

    name: str
    target: MetricTarget


class ContainerResourceMetricSource(Model):
    """A resource of one container of each pod.

    name: `cpu` or `memory`.
    container: which container.
    target: what it should be.
    """

    name: str
    container: str
    target: MetricTarget


class MetricSpec(Model):
    """One thing to scale on; of several the one that asks for most replicas counts.

    type: Resource or ContainerResource; the field of that name says more.
    resource: a resource of whole pods.
    container_resource: a resource of one container of each pod.
    """

    type: str
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None

    @property
    def source(self) -> ResourceMetricSource | ContainerResourceMetricSource | None:
        """Return what it is about, by its type."""
        return self.resource if self.type == "Resource" else self.container_resource

    @property
    def container(self) -> str:
        """Return the container whose resource it is; empty for whole pods."""
        return self.container_resource.container if self.container_resource is not None else ""


class HorizontalPodAutoscalerSpec(Model):
    """What is scaled, on what, and how far.

    scale_target_ref: the workload.
    min_replicas: never fewer.
    max_replicas: never more.
    metrics: what pods should use; left out, 80 percent of the cpu that they request.
    behavior: how fast either direction is gone; left out, up at once, down after five minutes.
    """

    scale_target_ref: CrossVersionObjectReference
    min_replicas: int = shown(1)
    max_replicas: int
    metrics: tuple[MetricSpec, ...] = ()
    behavior: HorizontalPodAutoscalerBehavior | None = None


class MetricValueStatus(Model):
    """What a metric is now.

    average_utilization: in percent of what the pods request.
    average_value: as an amount for each pod.
    """

    average_utilization: int | None = None
    average_value: Quantity | None = None


class ResourceMetricStatus(Model):
    """A resource of whole pods, now.

    name: which resource.
    current: what it is.
    """

    name: str
    current: MetricValueStatus


class ContainerResourceMetricStatus(Model):
    """A resource of one container of each pod, now.

    name: which resource.
    container: which container.
    current: what it is.
    """

    name: str
    container: str
    current: MetricValueStatus


class MetricStatus(Model):
    """What one of the metrics was when it was decided on last.

    type: Resource or ContainerResource.
    resource: of whole pods.
    container_resource: of one container of each pod.
    """

    type: str
    resource: ResourceMetricStatus | None = None
    container_resource: ContainerResourceMetricStatus | None = None


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
    told = [_told(spec, one.status.current_metrics) for spec in one.spec.metrics]
    return ", ".join(told) or "<none>"


def _told(spec: MetricSpec, now: tuple[MetricStatus, ...]) -> str:
    source = spec.source
    if source is None:
        return "<unknown>"
    current = next((_current(one) for one in now if _is_of(one, spec)), MetricValueStatus())
    share, average = current.average_utilization, current.average_value
    if source.target.type == "Utilization":
        is_now = "<unknown>" if share is None else f"{share}%"
        return f"{source.name}: {is_now}/{source.target.average_utilization}%"
    is_now = "<unknown>" if average is None else str(average)
    return f"{source.name}: {is_now}/{source.target.average_value}"


def _current(one: MetricStatus) -> MetricValueStatus:
    found = one.resource or one.container_resource
    return found.current if found is not None else MetricValueStatus()


def _is_of(one: MetricStatus, spec: MetricSpec) -> bool:
    found, source = one.resource or one.container_resource, spec.source
    if found is None or source is None:
        return False
    container = getattr(found, "container", "")
    return (one.type, found.name, container) == (spec.type, source.name, spec.container)


CPU_80 = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(
        name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)
    ),
)


class HorizontalPodAutoscaler(Object):
    resource = Resource(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        ("hpa",),
        subresources=("status",),
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
        yield from bounds_problems(spec.min_replicas, spec.max_replicas)
        if len(spec.metrics) > METRICS_MAX:
            yield Problem("spec.metrics", f"must be at most {METRICS_MAX}", "FieldValueTooMany")
        for index, one in enumerate(spec.metrics):
            yield from _metric_problems(one, f"spec.metrics[{index}]")
        if spec.behavior is not None:
            yield from behavior_problems(spec.behavior, "spec.behavior")


def reference_problems(target: CrossVersionObjectReference, where: str) -> Iterator[Problem]:
    """Yield what is wrong with how a workload is named."""
    for field, text in (("kind", target.kind), ("name", target.name)):
        if not text:
            yield Problem(f"{where}.{field}", "must name what is scaled", "FieldValueRequired")
    if target.name and not names.is_subdomain(target.name):
        yield Problem(f"{where}.name", names.SUBDOMAIN_RULE)


def _metric_problems(one: MetricSpec, where: str) -> Iterator[Problem]:
    fields = {"Resource": "resource", "ContainerResource": "containerResource"}
    if one.type not in fields:
        yield Problem(f"{where}.type", TYPE_RULE, "FieldValueNotSupported")
        return
    source, field = one.source, f"{where}.{fields[one.type]}"
    if source is None:
        yield Problem(field, "must populate information for the given metric source",
                      "FieldValueRequired")  # fmt: skip
        return
    both = one.resource is not None and one.container_resource is not None
    if both:
        other = next(name for name in fields.values() if not field.endswith(f".{name}"))
        yield Problem(f"{where}.{other}", f"must be empty: the type is {one.type}",
                      "FieldValueForbidden")  # fmt: skip
    if source.name not in ("cpu", "memory"):
        yield Problem(f"{field}.name", NAME_RULE, "FieldValueNotSupported")
    if one.type == "ContainerResource" and not one.container:
        yield Problem(f"{field}.container", "must name a container", "FieldValueRequired")
    yield from _target_problems(source.target, f"{field}.target")


def _target_problems(target: MetricTarget, where: str) -> Iterator[Problem]:
    share, value = target.average_utilization, target.average_value
    match target.type:
        case "Utilization":
            if share is None or not 0 < share < 2**31:
                yield Problem(f"{where}.averageUtilization", "must be greater than 0")
            if value is not None:
                yield Problem(f"{where}.averageValue", "must be empty: the type is Utilization")
        case "AverageValue":
            if value is None or value.amount <= Decimal(0):
                yield Problem(f"{where}.averageValue", "must be positive")
            if share is not None:
                yield Problem(
                    f"{where}.averageUtilization", "must be empty: the type is AverageValue"
                )
        case _:
            yield Problem(f"{where}.type", TARGET_RULE, "FieldValueNotSupported")
