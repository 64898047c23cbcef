"""HorizontalPodAutoscalers on metrics of pods, objects and things outside, and on none at all."""

from collections.abc import Mapping
from typing import Any

import pytest

from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.meta import ObjectMeta
from cubernetes.reconcile.plan import Patch, StillView, UpdateStatus
from cubernetes.reconcile.readings import Absent, Metric, Question, Reading, Value, Values, Why
from tests.given import NOW, a_deployment
from tests.unit.controllers.autoscaling.test_hpa import an_hpa, pods

RULES = {"queue_length": "max(queue_length{$labels})"}
NOW_DOWN = {"scaleDown": {"stabilizationWindowSeconds": 0}}


def a_metric(
    kind: str, target: Mapping[str, str], name: str = "queue_length", **source: Any
) -> Any:
    field = kind[0].lower() + kind[1:]
    return {"type": kind, field: {"metric": {"name": name}, "target": target, **source}}


def each(amount: str) -> dict[str, str]:
    return {"type": "AverageValue", "averageValue": amount}


def of_all(amount: str) -> dict[str, str]:
    return {"type": "Value", "value": amount}


SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "front"}


class Round:
    """What one round has asked and planned, where every question has the same answer."""

    def __init__(
        self,
        hpa: HorizontalPodAutoscaler,
        number: float | Mapping[str, float] | Absent,
        replicas: int = 2,
        count: int | None = None,
    ) -> None:
        planner = HorizontalPodAutoscalers()
        rules = ConfigMap(
            metadata=ObjectMeta(name="metric-rules", namespace="kube-system"), data=RULES
        )
        found = pods(replicas if count is None else count)
        view = StillView([hpa, a_deployment(replicas=replicas), rules, *found])
        self.asked: list[Question] = list(planner.asks(hpa.ref, view))
        readings = {one: _reading(one, number) for one in self.asked}
        actions = list(planner.plan(hpa.ref, StillView(view.objects, readings=readings), NOW))
        patches = [one for one in actions if isinstance(one, Patch)]
        self.replicas = patches[0].change["spec"]["replicas"] if patches else None
        (written,) = [one.object for one in actions if isinstance(one, UpdateStatus)]
        assert isinstance(written, HorizontalPodAutoscaler)
        self.status = written.status

    def reason(self, kind: str) -> str:
        return next(one.reason for one in self.status.conditions if one.type == kind)


def _reading(question: Question, number: float | Mapping[str, float] | Absent) -> Reading:
    if isinstance(number, Absent):
        return number
    if isinstance(question, Metric):
        assert isinstance(number, float)
        return Value(number, NOW)
    assert isinstance(number, Mapping)
    return Values({(pod,): one for pod, one in number.items()}, NOW)


def test_what_pods_tell_of_themselves_is_followed() -> None:
    hpa = an_hpa(metrics=[a_metric("Pods", each("100"), "requests_per_second")])
    told = Round(hpa, {"web-0": 150.5, "web-1": 249.5})
    (asked,) = told.asked
    counter = 'requests_total{namespace="default"}'
    assert asked.query == f"sum by (pod) (rate({counter}[30s]))"
    assert told.replicas == 4
    (now,) = told.status.current_metrics
    assert now.pods is not None
    assert (now.pods.metric.name, str(now.pods.current.average_value)) == (
        "requests_per_second",
        "200",
    )


def test_a_pod_that_tells_nothing_holds_a_growth_and_a_fall() -> None:
    hpa = an_hpa(metrics=[a_metric("Pods", each("100"))], behavior=NOW_DOWN)
    assert Round(hpa, {"web-0": 150.0}).replicas is None
    assert Round(hpa, {"web-0": 50.0}).replicas is None
    assert Round(hpa, {"web-0": 10.0, "web-1": 10.0}).replicas == 1


def test_a_value_of_an_object_falls_as_pods_are_added() -> None:
    metric = a_metric("Object", of_all("10"), "latency", describedObject=SERVICE)
    told = Round(an_hpa(metrics=[metric]), 20.0, replicas=3)
    (asked,) = told.asked
    assert asked.query == (
        'sum(sum by (service) (last_over_time(latency{namespace="default",service="front"}[30s])))'
    )
    assert told.replicas == 6
    (now,) = told.status.current_metrics
    assert now.object is not None
    assert now.object.described_object.name == "front"
    assert (str(now.object.current.value), now.object.current.average_value) == ("20", None)
    assert Round(an_hpa(metrics=[metric]), 10.9, replicas=3).replicas is None


def test_only_ready_pods_share_a_value() -> None:
    metric = a_metric("Object", of_all("10"), describedObject=SERVICE)
    assert Round(an_hpa(metrics=[metric]), 20.0, replicas=3, count=2).replicas == 4


def test_an_average_of_something_outside_is_shared_by_the_pods() -> None:
    selected = {"name": "queue_length", "selector": {"matchLabels": {"queue": "a.b"}}}
    source = {"metric": selected, "target": each("30")}
    told = Round(an_hpa(metrics=[{"type": "External", "external": source}]), 200.0)
    assert told.asked == [Metric('sum(max(queue_length{queue=~"a\\\\.b"}))', 15.0, 0.9)]
    assert told.replicas == 7 - 1  # four at most at once
    (now,) = told.status.current_metrics
    assert now.external is not None
    assert str(now.external.current.average_value) == "100"


def test_a_metric_of_nothing_in_the_cluster_needs_a_rule() -> None:
    told = Round(an_hpa(metrics=[a_metric("External", each("30"), "unknown")]), 200.0)
    assert (told.asked, told.replicas) == ([], None)
    assert told.reason("ScalingActive") == "FailedGetExternalMetric"


@pytest.mark.parametrize("kind", ["Pods", "Object"])
def test_without_samples_it_holds_and_names_the_type(kind: str) -> None:
    more: dict[str, Any] = {"describedObject": SERVICE} if kind == "Object" else {}
    told = Round(an_hpa(metrics=[a_metric(kind, each("1"), **more)]), Absent(Why.NOTHING))
    assert told.replicas is None
    assert told.reason("ScalingActive") == f"FailedGet{kind}Metric"


@pytest.mark.parametrize("target", [each("10"), of_all("10")])
def test_a_workload_falls_to_none_and_wakes_by_what_is_outside(target: dict[str, str]) -> None:
    hpa = an_hpa(minReplicas=0, metrics=[a_metric("External", target)], behavior=NOW_DOWN)
    assert Round(hpa, 0.0).replicas == 0
    assert Round(hpa, 0.0, replicas=0).replicas is None
    assert Round(hpa, 25.0, replicas=0).replicas == 3
    assert Round(hpa, 0.1, replicas=0).replicas == 1
    assert Round(hpa, Absent(Why.UNREACHABLE), replicas=0).replicas is None


def test_steps_in_percent_wake_a_workload_too() -> None:
    steps = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    hpa = an_hpa(minReplicas=0, metrics=[a_metric("External", each("10"))],
                 behavior={"scaleUp": {"policies": steps}})  # fmt: skip
    assert Round(hpa, 90.0, replicas=0).replicas == 1
    off = an_hpa(minReplicas=0, metrics=[a_metric("External", each("10"))],
                 behavior={"scaleUp": {"selectPolicy": "Disabled"}})  # fmt: skip
    assert Round(off, 90.0, replicas=0).replicas is None


def test_with_a_minimum_of_one_no_replicas_are_switched_off_still() -> None:
    hpa = an_hpa(metrics=[a_metric("External", each("10"))])
    told = Round(hpa, 90.0, replicas=0)
    assert (told.replicas, told.reason("ScalingActive")) == (None, "ScalingDisabled")
