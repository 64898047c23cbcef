"""What autoscalers of either vocabulary ask for, in the words of the engine. Pure."""

from typing import Any, NamedTuple, cast

from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.autoscaling.metrictypes import (
    ContainerResourceMetricSource,
    ExternalMetricSource,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from cubernetes.api.autoscaling.scaling import (
    DOWN,
    DOWN_WINDOW_S,
    UP,
    HorizontalPodAutoscalerBehavior,
    HPAScalingRules,
    filled,
)
from cubernetes.api.core.parts.resources import units
from cubernetes.api.cubernetes.autoscaler import AutoScaler, AutoScalerSpec
from cubernetes.autoscaling.engine import Goal, Pace, Policy, Step
from cubernetes.autoscaling.replay import Plan, Wish

TOLERANCE = 0.1
MILLI = 1000


class Band(NamedTuple):
    """What a resource should be between."""

    resource: str
    goal: Goal


def policy_of(found: HorizontalPodAutoscaler) -> Policy:
    rules = filled(found.spec.behavior or HorizontalPodAutoscalerBehavior())
    up, down = rules.scale_up or UP, rules.scale_down or DOWN
    return Policy(
        found.spec.min_replicas, found.spec.max_replicas, _pace(up, 0), _pace(down, DOWN_WINDOW_S)
    )


def goal_of(target: MetricTarget, resource: str, found: HorizontalPodAutoscaler) -> Goal:
    behavior = found.spec.behavior or HorizontalPodAutoscalerBehavior()
    below, above = _tolerance(behavior.scale_down), _tolerance(behavior.scale_up)
    if target.type == "Utilization":
        return Goal(float(target.average_utilization or 0), True, below, above)
    value = target.value if target.type == "Value" else target.average_value
    if resource:
        return Goal(float(units(resource, value) if value is not None else 1), False, below, above)
    return Goal(float(value.amount * MILLI) if value is not None else 1.0, False, below, above)


def metric_called(spec: MetricSpec) -> str:
    """Return by what name a metric is on record, whatever its goal is: `cpu`, `pods/hits`."""
    match spec.source:
        case ContainerResourceMetricSource(name=name, container=container):
            return f"{name}/{container}"
        case ResourceMetricSource(name=name):
            return name
        case PodsMetricSource(metric=metric):
            return f"pods/{metric.name}"
        case ObjectMetricSource(metric=metric, described_object=one):
            return f"{one.kind.lower()}/{one.name}/{metric.name}"
        case ExternalMetricSource(metric=metric):
            return f"external/{metric.name}"
        case _:
            return spec.type


def plan_for(one: HorizontalPodAutoscaler | AutoScaler) -> Plan:
    """Return all that an autoscaler decides by, for a replay."""
    if isinstance(one, AutoScaler):
        wishes = {band.resource: Wish(band.goal) for band in bands_of(one.spec)}
        return Plan(policy_of_bands(one.spec), wishes, one.spec.min_scale_interval)
    wishes = {}
    for spec in one.spec.metrics:
        source = spec.source
        if source is not None:
            goal = goal_of(source.target, getattr(source, "name", ""), one)
            wishes[metric_called(spec)] = Wish(goal, _shared(spec))
    return Plan(policy_of(one), wishes)


def _shared(spec: MetricSpec) -> str:
    if spec.source is None or spec.type not in ("Object", "External"):
        return "pods"
    return "all" if spec.source.target.type == "Value" else "each"


def _pace(rules: HPAScalingRules, usual_s: int) -> Pace:
    window_s = rules.stabilization_window_seconds
    steps = [
        Step("Pods" if one.type == "Pods" else "Percent", one.value, one.period_seconds)
        for one in rules.policies
    ]
    select = cast(Any, rules.select_policy)
    return Pace(usual_s if window_s is None else window_s, steps, select)


def _tolerance(rules: HPAScalingRules | None) -> float:
    told = rules.tolerance if rules is not None else None
    return TOLERANCE if told is None else float(told.amount)


def bands_of(spec: AutoScalerSpec) -> list[Band]:
    """Return what is between bounds, each as a goal amid them."""
    cpu, memory = spec.target_utilization.cpu, spec.target_utilization.memory
    found = []
    if cpu is not None:
        found.append(Band("cpu", _band(cpu.min_percentage, cpu.max_percentage, is_share=True)))
    if memory is not None:
        found.append(Band("memory", _band(memory.min_bytes, memory.max_bytes, is_share=False)))
    return found


def _band(low: float, high: float, *, is_share: bool) -> Goal:
    middle = (low + high) / 2
    return Goal(middle, is_share, 1 - low / middle, high / middle - 1)


def policy_of_bands(spec: AutoScalerSpec) -> Policy:
    interval_s = spec.min_scale_interval
    period_s = max(1, interval_s)
    up = Pace(0, (Step("Pods", 1, period_s), Step("Percent", 100, period_s)))
    down = Pace(interval_s, (Step("Pods", 1, period_s), Step("Percent", 50, period_s)))
    return Policy(spec.min_replicas, spec.max_replicas, up, down)
