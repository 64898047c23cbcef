"""HorizontalPodAutoscaler of autoscaling/v1: the older words, which know the cpu alone."""

from datetime import datetime
from typing import Annotated

import msgspec

from cubernetes.api.autoscaling.metrictypes import CrossVersionObjectReference
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, shown, wire
from cubernetes.api.resource import Resource


class HorizontalPodAutoscalerSpecV1(Model):
    """What is scaled, how far, and by what part of the cpu that pods request.

    scale_target_ref: the workload.
    min_replicas: never fewer.
    max_replicas: never more.
    target_cpu_utilization_percentage: what pods should use on average, in percent of their
        requests; other metrics are told in autoscaling/v2, and stay as they are.
    """

    scale_target_ref: CrossVersionObjectReference
    min_replicas: int = shown(1)
    max_replicas: int
    target_cpu_utilization_percentage: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] | None = wire(
        "targetCPUUtilizationPercentage", None
    )


class HorizontalPodAutoscalerStatusV1(Model):
    """What was found and decided last.

    observed_generation: the generation of the autoscaler that this tells of.
    last_scale_time: when the number of replicas was changed last.
    current_replicas: how many there were.
    desired_replicas: how many there should be.
    current_cpu_utilization_percentage: what pods used on average, in percent of their requests.
    """

    observed_generation: int = 0
    last_scale_time: Instant | None = None
    current_replicas: Count = shown(0)
    desired_replicas: Count = shown(0)
    current_cpu_utilization_percentage: int | None = wire("currentCPUUtilizationPercentage", None)


def _targets(one: "HorizontalPodAutoscalerV1", _: datetime) -> str:
    now = one.status.current_cpu_utilization_percentage
    wanted = one.spec.target_cpu_utilization_percentage
    shares = ["<unknown>" if share is None else f"{share}%" for share in (now, wanted)]
    return "/".join(shares)


def _reference(one: "HorizontalPodAutoscalerV1", _: datetime) -> str:
    return f"{one.spec.scale_target_ref.kind}/{one.spec.scale_target_ref.name}"


class HorizontalPodAutoscalerV1(Object):
    """The same object as that of autoscaling/v2 of its name."""

    resource = Resource(
        "autoscaling",
        "v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        ("hpa",),
        folder="horizontalpodautoscalers.v1.autoscaling",
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

    api_version: str = shown("autoscaling/v1")
    kind: str = shown("HorizontalPodAutoscaler")
    spec: HorizontalPodAutoscalerSpecV1
    status: HorizontalPodAutoscalerStatusV1 = msgspec.field(
        default_factory=HorizontalPodAutoscalerStatusV1
    )
