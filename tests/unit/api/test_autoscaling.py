"""HorizontalPodAutoscalers: which are taken, with which defaults, and what is refused by name."""

from typing import Any

import pytest

from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.coding import codec

TARGET = {"type": "Utilization", "averageUtilization": 50}
SPEC: dict[str, Any] = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}


def an_hpa(**spec: Any) -> HorizontalPodAutoscaler:
    tree = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {**SPEC, **spec},
    }
    return codec.from_tree(HorizontalPodAutoscaler, tree).model.defaulted()


def metric(kind: str = "Resource", target: Any = None, **source: Any) -> dict[str, Any]:
    field = kind[0].lower() + kind[1:]
    return {"type": kind, field: {"name": "cpu", "target": target or TARGET, **source}}


def problems(**spec: Any) -> list[str]:
    return [one.field for one in an_hpa(**spec).problems()]


def test_what_is_left_out_is_what_kubernetes_fills_in() -> None:
    spec = codec.to_tree(an_hpa(behavior={"scaleUp": {}}))["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {
            "type": "Utilization", "averageUtilization": 80}}}
    ]  # fmt: skip
    every = {"type": "Percent", "value": 100, "periodSeconds": 15}
    four = {"type": "Pods", "value": 4, "periodSeconds": 15}
    up = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [four, every]}
    assert spec["behavior"] == {
        "scaleUp": up,
        "scaleDown": {"selectPolicy": "Max", "policies": [every]},
    }
    assert "behavior" not in codec.to_tree(an_hpa())["spec"]


def test_a_type_that_there_is_not_is_refused_by_name() -> None:
    (found,) = an_hpa(metrics=[{"type": "Nonsense"}]).problems()
    assert found.field == "spec.metrics[0].type"
    assert "Resource, ContainerResource, Pods, Object, External" in found.message


def custom(kind: str, target: Any, **source: Any) -> dict[str, Any]:
    field = kind[0].lower() + kind[1:]
    return {"type": kind, field: {"metric": {"name": "hits"}, "target": target, **source}}


EACH = {"type": "AverageValue", "averageValue": "10"}
OF_ALL = {"type": "Value", "value": "10"}
FRONT = {"describedObject": {"kind": "Service", "name": "front"}}


STEP = {"type": "Pods", "value": 1, "periodSeconds": 60}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"minReplicas": 0}, "spec.minReplicas"),
        ({"minReplicas": -1, "metrics": [custom("External", EACH)]}, "spec.minReplicas"),
        ({"metrics": [custom("Pods", OF_ALL)]}, "spec.metrics[0].pods.target.type"),
        ({"metrics": [custom("Pods", {"type": "AverageValue"})]},
         "spec.metrics[0].pods.target.averageValue"),
        ({"metrics": [custom("External", {**OF_ALL, "averageValue": "1"})]},
         "spec.metrics[0].external.target.averageValue"),
        ({"metrics": [custom("External", {**EACH, "averageUtilization": 5})]},
         "spec.metrics[0].external.target.averageUtilization"),
        ({"metrics": [custom("External", EACH, metric={"name": ""})]},
         "spec.metrics[0].external.metric.name"),
        ({"metrics": [custom("External", EACH, metric={"name": "a b"})]},
         "spec.metrics[0].external.metric.name"),
        ({"metrics": [custom("Object", EACH, describedObject={"kind": "", "name": "a"})]},
         "spec.metrics[0].object.describedObject.kind"),
        ({"minReplicas": 6}, "spec.maxReplicas"),
        ({"maxReplicas": 0}, "spec.maxReplicas"),
        ({"scaleTargetRef": {"kind": "", "name": "web"}}, "spec.scaleTargetRef.kind"),
        ({"scaleTargetRef": {"kind": "Deployment", "name": ""}}, "spec.scaleTargetRef.name"),
        ({"scaleTargetRef": {"kind": "Deployment", "name": "A b"}}, "spec.scaleTargetRef.name"),
        ({"metrics": [{"type": "Resource"}]}, "spec.metrics[0].resource"),
        ({"metrics": [metric(name="disk")]}, "spec.metrics[0].resource.name"),
        ({"metrics": [metric("ContainerResource", container="")]},
         "spec.metrics[0].containerResource.container"),
        ({"metrics": [metric(target={"type": "Value"})]}, "spec.metrics[0].resource.target.type"),
        ({"metrics": [metric(target={"type": "Utilization"})]},
         "spec.metrics[0].resource.target.averageUtilization"),
        ({"metrics": [metric(target={**TARGET, "averageValue": "1"})]},
         "spec.metrics[0].resource.target.averageValue"),
        ({"metrics": [metric(target={"type": "AverageValue", "averageValue": "0"})]},
         "spec.metrics[0].resource.target.averageValue"),
        ({"metrics": [{**metric(), "containerResource": metric()["resource"] | {
            "container": "a"}}]}, "spec.metrics[0].containerResource"),
        ({"metrics": [metric()] * 21}, "spec.metrics"),
        ({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}},
         "spec.behavior.scaleDown.stabilizationWindowSeconds"),
        ({"behavior": {"scaleUp": {"selectPolicy": "Most"}}},
         "spec.behavior.scaleUp.selectPolicy"),
        ({"behavior": {"scaleUp": {"tolerance": "-1"}}}, "spec.behavior.scaleUp.tolerance"),
        ({"behavior": {"scaleUp": {"policies": [{**STEP, "type": "Nodes"}]}}},
         "spec.behavior.scaleUp.policies[0].type"),
        ({"behavior": {"scaleUp": {"policies": [{**STEP, "value": 0}]}}},
         "spec.behavior.scaleUp.policies[0].value"),
        ({"behavior": {"scaleUp": {"policies": [{**STEP, "periodSeconds": 1801}]}}},
         "spec.behavior.scaleUp.policies[0].periodSeconds"),
        ({"behavior": {"scaleUp": {"policies": [STEP] * 17}}}, "spec.behavior.scaleUp.policies"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_field(spec: dict[str, Any], field: str) -> None:
    assert problems(**spec) == [field]


def test_what_is_right_is_taken() -> None:
    both = [metric(), metric("ContainerResource", container="main")]
    assert problems(metrics=both, behavior={"scaleDown": {"policies": [STEP]}}) == []
    others = [custom("Pods", EACH), custom("Object", OF_ALL, **FRONT), custom("External", EACH)]
    assert problems(metrics=others, minReplicas=0) == []
