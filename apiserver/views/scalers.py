"""autoscaling/v1: the autoscalers of autoscaling/v2, each said in the older words. Pure."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from apiserver.state.items import Item
from apiserver.state.view import ObjectKey, Wording
from apiserver.views.reworded import RewordedView
from cubernetes.api.autoscaling.horizontalpodautoscaler import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
)
from cubernetes.api.autoscaling.metrictypes import (
    CrossVersionObjectReference,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from cubernetes.api.autoscaling.older import (
    HorizontalPodAutoscalerSpecV1,
    HorizontalPodAutoscalerStatusV1,
    HorizontalPodAutoscalerV1,
)
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Object, ObjectMeta, replaced


def _made(place: ObjectKey, item: Item) -> HorizontalPodAutoscalerV1:
    """Return an autoscaler; of one that is stored and not read, its place at least."""
    try:
        one = item.object
    except msgspec.MsgspecError:
        metadata = ObjectMeta(name=place.name, namespace=place.namespace)
        nothing = CrossVersionObjectReference(kind="", name="")
        spec = HorizontalPodAutoscalerSpecV1(scale_target_ref=nothing, max_replicas=0)
        return HorizontalPodAutoscalerV1(metadata=metadata, spec=spec)
    assert isinstance(one, HorizontalPodAutoscaler)  # noqa: S101  its only source
    return older(one)


class ScalerView(RewordedView):
    """Autoscalers in the older words."""

    kind: ClassVar[type[Object]] = HorizontalPodAutoscalerV1
    sources: ClassVar[tuple[type[Object], ...]] = (HorizontalPodAutoscaler,)
    made = staticmethod(_made)


def older(one: HorizontalPodAutoscaler) -> HorizontalPodAutoscalerV1:
    """Return an autoscaler in the words of autoscaling/v1."""
    spec, status = one.spec, one.status
    told = (now.resource for now in status.current_metrics if now.resource is not None)
    shares = [now.current.average_utilization for now in told if now.name == "cpu"]
    return HorizontalPodAutoscalerV1(
        metadata=one.metadata,
        spec=HorizontalPodAutoscalerSpecV1(
            scale_target_ref=spec.scale_target_ref,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            target_cpu_utilization_percentage=_share(spec.metrics),
        ),
        status=HorizontalPodAutoscalerStatusV1(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_cpu_utilization_percentage=next(iter(shares), None),
        ),
    )


def newer(
    one: HorizontalPodAutoscalerV1, before: HorizontalPodAutoscaler | None
) -> HorizontalPodAutoscaler:
    """Return an autoscaler in the words of autoscaling/v2; what the older have no words for stays.

    before: what is stored; None where nothing is.
    """
    spec = one.spec
    metrics = before.spec.metrics if before is not None else ()
    share = spec.target_cpu_utilization_percentage
    if share != _share(metrics):
        others = tuple(metric for metric in metrics if not _is_cpu_share(metric))
        metrics = (*_cpu(share), *others)
    wanted = HorizontalPodAutoscalerSpec(
        scale_target_ref=spec.scale_target_ref,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        metrics=metrics,
        behavior=before.spec.behavior if before is not None else None,
    )
    if before is not None:
        return replaced(before, metadata=one.metadata, spec=wanted)
    return HorizontalPodAutoscaler(metadata=one.metadata, spec=wanted)


def _cpu(share: int | None) -> tuple[MetricSpec, ...]:
    if share is None:
        return ()
    target = MetricTarget(type="Utilization", average_utilization=share)
    return (MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target)),)


def _share(metrics: Iterable[MetricSpec]) -> int | None:
    found = (one.resource for one in metrics if _is_cpu_share(one))
    return next((one.target.average_utilization for one in found if one is not None), None)


def _is_cpu_share(one: MetricSpec) -> bool:
    resource = one.resource
    is_share = resource is not None and resource.target.type == "Utilization"
    return resource is not None and resource.name == "cpu" and is_share


def _no_problems(*_: object) -> Iterator[Problem]:
    """Yield nothing: what is wrong is told of the object as it is stored."""
    return iter(())


SCALER_WORDING = Wording(HorizontalPodAutoscaler, older, newer, _no_problems, _no_problems)
