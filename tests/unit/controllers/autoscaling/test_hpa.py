"""HorizontalPodAutoscalers: replicas follow samples, hold without them, and tell why."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from controllers.autoscaling.measured import INITIALIZATION_S, WINDOW_S, question_of
from controllers.autoscaling.targets import SCALED
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.autoscaling.horizontalpodautoscaler import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
)
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Patch, Record, RequeueAfter, StillView, UpdateStatus
from cubernetes.reconcile.readings import Absent, Question, Reading, Values, Why
from tests.given import AN_HOUR_AGO, NOW, a_container, a_deployment, a_pod, a_replicaset

SHARE_50 = {"type": "Utilization", "averageUtilization": 50}
CPU_50 = {"type": "Resource", "resource": {"name": "cpu", "target": SHARE_50}}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}},
}
MI = 2.0**20


def an_hpa(name: str = "web", *, status: Any = None, **spec: Any) -> HorizontalPodAutoscaler:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    whole = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 10, "metrics": [CPU_50]}
    tree: Any = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 3},
        "spec": {**whole, **spec},
    }
    found = codec.from_tree(HorizontalPodAutoscaler, tree).model.defaulted()
    return found if status is None else replaced(found, status=status)


def pods(count: int, *, cpu: str = "1", memory: str = "", **pod: Any) -> list[Pod]:
    told: dict[str, Any] = {"phase": "Running", "is_ready": True, **pod}
    made = [a_pod(f"web-{index}", cpu=cpu, memory=memory, **told) for index in range(count)]
    return [replaced(one, status=replaced(one.status, start_time=AN_HOUR_AGO)) for one in made]


def cpu(*cores: float | None) -> Values:
    return values("main", *cores)


def values(container: str, *numbers: float | None) -> Values:
    found: dict[tuple[str, ...], float]
    found = {(f"web-{i}", container): one for i, one in enumerate(numbers) if one is not None}
    return Values(found, NOW)


type Numbers = Mapping[str, Values | Absent]


class Round:
    """What one round has planned."""

    def __init__(self, planner: HorizontalPodAutoscalers, view: StillView, after_s: float) -> None:
        (self.hpa, *_) = view.list(HorizontalPodAutoscaler)
        questions = planner.asks(self.hpa.ref, view)
        assert all(question in view.readings for question in questions)
        now = NOW + timedelta(seconds=after_s)
        self.actions = list(planner.plan(self.hpa.ref, view, now))
        patches = [one for one in self.actions if isinstance(one, Patch)]
        self.replicas = patches[0].change["spec"]["replicas"] if patches else None
        self.patched = patches[0] if patches else None
        written = [one.object for one in self.actions if isinstance(one, UpdateStatus)]
        self.status = written[0].status if written else self.hpa.status  # type: ignore[attr-defined]
        self.records = [one for one in self.actions if isinstance(one, Record)]

    def condition(self, kind: str) -> HorizontalPodAutoscalerCondition:
        return next(one for one in self.status.conditions if one.type == kind)


def a_round(
    hpa: HorizontalPodAutoscaler,
    found: list[Pod],
    numbers: Numbers,
    *,
    replicas: int = 2,
    planner: HorizontalPodAutoscalers | None = None,
    others: tuple[Object, ...] = (),
    after_s: float = 0,
) -> Round:
    readings = {question_of(name, "default"): one for name, one in numbers.items()}
    at = NOW + timedelta(seconds=after_s)
    later: dict[Question, Reading] = {
        question: replace_at(one, at) if isinstance(one, Values) else one
        for question, one in readings.items()
    }
    target = a_deployment(replicas=replicas)
    view = StillView([hpa, target, *found, *others], readings=later)
    return Round(planner or HorizontalPodAutoscalers(), view, after_s)


def replace_at(one: Values, at: Any) -> Values:
    return Values(one.numbers, at)


def test_a_load_above_the_target_is_followed() -> None:
    told = a_round(an_hpa(), pods(2), {"cpu": cpu(1.0, 1.0)})
    assert told.replicas == 4
    assert told.patched is not None
    assert (told.patched.kind, told.patched.ref.name) == (Deployment, "web")
    assert told.patched.change["metadata"]["resourceVersion"]
    (record,) = told.records
    reason = "cpu resource utilization (percentage of request) above target"
    assert (record.reason, record.message) == (
        "SuccessfulRescale",
        f"New size: 4; reason: {reason}",
    )


def test_a_load_at_the_target_changes_nothing() -> None:
    assert a_round(an_hpa(), pods(2), {"cpu": cpu(0.5, 0.5)}).replicas is None


@pytest.mark.parametrize("why", [Why.UNREACHABLE, Why.NO_SOURCE, Why.LATE, Why.NOTHING, Why.STALE])
def test_without_samples_it_holds_and_tells_why(why: Why) -> None:
    told = a_round(an_hpa(), pods(2), {"cpu": Absent(why, "gone")})
    assert told.replicas is None
    active = told.condition("ScalingActive")
    assert (active.status, active.reason) == ("False", "FailedGetResourceMetric")
    assert f"{why}: gone" in active.message
    assert [one.type for one in told.records] == ["Warning"]
    # The same again is no new event.
    again = a_round(an_hpa(status=told.status), pods(2), {"cpu": Absent(why, "gone")})
    assert again.records == []


def test_it_looks_again_soon_whatever_happens() -> None:
    for numbers in ({"cpu": cpu(1.0, 1.0)}, {"cpu": Absent(Why.LATE)}):
        told = a_round(an_hpa(), pods(2), numbers)
        assert [one.after_s for one in told.actions if isinstance(one, RequeueAfter)] == [1]


def test_a_scale_down_waits_for_its_window() -> None:
    planner, hpa = HorizontalPodAutoscalers(), an_hpa()
    for after_s in range(0, 300, 2):
        told = a_round(
            hpa, pods(4), {"cpu": cpu(0, 0, 0, 0.1)}, replicas=4, planner=planner, after_s=after_s
        )
        assert told.replicas is None, after_s
    assert told.condition("AbleToScale").reason == "ScaleDownStabilized"
    late = a_round(
        hpa, pods(4), {"cpu": cpu(0, 0, 0, 0.1)}, replicas=4, planner=planner, after_s=300
    )
    assert late.replicas == 1
    assert late.records[0].message == "New size: 1; reason: All metrics below target"


def test_a_behavior_is_obeyed() -> None:
    steps = [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    down = {"stabilizationWindowSeconds": 0, "policies": steps, "selectPolicy": "Min"}
    hpa = an_hpa(behavior={"scaleDown": down, "scaleUp": {"selectPolicy": "Disabled"}})
    idle = a_round(hpa, pods(4), {"cpu": cpu(0, 0, 0, 0)}, replicas=4)
    assert idle.replicas == 3
    assert idle.condition("ScalingLimited").reason == "ScaleDownLimit"
    busy = a_round(hpa, pods(2), {"cpu": cpu(1, 1)})
    assert busy.replicas is None
    assert busy.condition("ScalingLimited").reason == "ScaleUpLimit"


def test_a_tolerance_is_that_of_the_behavior() -> None:
    load = {"cpu": cpu(0.53, 0.53)}
    assert a_round(an_hpa(), pods(2), load).replicas is None
    fine = an_hpa(behavior={"scaleUp": {"tolerance": "0.05"}})
    assert a_round(fine, pods(2), load).replicas == 3


@pytest.mark.parametrize(
    ("replicas", "expected", "reason"), [(9, 4, "TooManyReplicas"), (1, 2, "TooFewReplicas")]
)
def test_bounds_are_kept_before_any_metric_is_read(
    replicas: int, expected: int, reason: str
) -> None:
    hpa = an_hpa(minReplicas=2, maxReplicas=4)
    told = a_round(hpa, [], {"cpu": Absent(Why.UNREACHABLE)}, replicas=replicas)
    assert told.replicas == expected
    assert told.condition("ScalingLimited").reason == reason


def test_a_workload_of_no_replicas_is_left_alone() -> None:
    told = a_round(an_hpa(), [], {"cpu": cpu()}, replicas=0)
    assert told.replicas is None
    assert told.condition("ScalingActive").reason == "ScalingDisabled"


def test_of_several_metrics_the_one_that_asks_for_most_counts() -> None:
    hpa, found = an_hpa(metrics=[CPU_50, MEMORY]), pods(2)
    numbers = {"cpu": cpu(0.6, 0.6), "memory": values("main", 300 * MI, 300 * MI)}
    told = a_round(hpa, found, numbers)
    assert told.replicas == 6
    assert "memory resource above target" in told.records[0].message


def test_with_one_metric_missing_it_may_grow_and_never_shrinks() -> None:
    hpa = an_hpa(
        metrics=[CPU_50, MEMORY], behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}
    )
    missing = Absent(Why.NOTHING)
    grown = a_round(hpa, pods(2), {"cpu": cpu(1, 1), "memory": missing})
    assert grown.replicas == 4
    idle = a_round(hpa, pods(2), {"cpu": cpu(0, 0), "memory": missing})
    assert idle.replicas is None
    assert idle.condition("ScalingActive").status == "False"


def test_memory_is_scaled_on_by_its_average() -> None:
    told = a_round(an_hpa(metrics=[MEMORY]), pods(2), {"memory": values("main", 50 * MI, 250 * MI)})
    assert told.replicas == 3


def test_one_container_of_each_pod_is_looked_at() -> None:
    main, log = a_container("main", cpu="1"), a_container("log")
    found = pods(2, containers=(main, log))
    source = {"name": "cpu", "container": "main", "target": SHARE_50}
    hpa = an_hpa(metrics=[{"type": "ContainerResource", "containerResource": source}])
    told = a_round(hpa, found, {"cpu": cpu(1.0, 1.0)})
    assert told.replicas == 4
    (metric,) = told.status.current_metrics
    assert metric.container_resource is not None
    assert metric.container_resource.container == "main"
    assert metric.container_resource.current.average_utilization == 100
    # For whole pods the other container's sample is missing, and its request.
    whole = a_round(an_hpa(), found, {"cpu": cpu(1.0, 1.0)})
    assert whole.replicas is None


def test_a_pod_that_begins_says_nothing_of_the_load() -> None:
    found = pods(2)
    young = replaced(found[1].status, start_time=NOW - timedelta(seconds=5), conditions=tuple(
        replaced(one, last_transition_time=NOW - timedelta(seconds=WINDOW_S - 1))
        for one in found[1].status.conditions
    ))  # fmt: skip
    found[1] = replaced(found[1], status=young)
    # It is busy with its beginning: it counts as using nothing, and holds the growth.
    assert a_round(an_hpa(), found, {"cpu": cpu(0.7, 4.0)}).replicas is None
    settled = {"cpu": cpu(0.7, 4.0)}
    told = a_round(an_hpa(), found, settled, after_s=INITIALIZATION_S)
    assert told.replicas == 6


def test_terminating_and_finished_pods_do_not_count() -> None:
    going = a_pod("web-1", phase="Running", is_ready=True, cpu="1", deleted_at=NOW)
    ended = a_pod("web-2", phase="Failed", cpu="1")
    told = a_round(an_hpa(), [*pods(1), going, ended], {"cpu": cpu(1, 9, 9)}, replicas=1)
    assert told.replicas == 2


def test_each_kind_with_a_scale_is_scaled() -> None:
    assert {kind.resource.kind for kind in SCALED} >= {"Deployment", "ReplicaSet"}
    reference = {"kind": "ReplicaSet", "name": "set"}
    hpa, target = an_hpa(scaleTargetRef=reference), a_replicaset("set", replicas=2)
    told = a_round(hpa, pods(2), {"cpu": cpu(1, 1)}, others=(target,))
    assert told.patched is not None
    assert (told.patched.kind.resource.kind, told.patched.ref.name) == ("ReplicaSet", "set")


@pytest.mark.parametrize(
    "reference",
    [
        {"kind": "Deployment", "name": "other"},
        {"kind": "Service", "name": "web"},
        {"kind": "Deployment", "name": "web", "apiVersion": "other.io/v1"},
    ],
)
def test_a_target_that_is_not_there_is_told(reference: Mapping[str, str]) -> None:
    told = a_round(an_hpa(scaleTargetRef=reference), pods(2), {"cpu": cpu(1, 1)})
    assert told.replicas is None
    able = told.condition("AbleToScale")
    assert (able.status, able.reason) == ("False", "FailedGetScale")


def test_two_that_scale_one_workload_both_hold() -> None:
    told = a_round(an_hpa("a"), pods(2), {"cpu": cpu(1, 1)}, others=(an_hpa("b"),))
    assert told.replicas is None
    active = told.condition("ScalingActive")
    assert (active.reason, "b" in active.message) == ("AmbiguousSelector", True)


def test_the_status_tells_what_was_found_and_decided() -> None:
    status = a_round(an_hpa(), pods(2), {"cpu": cpu(1.0, 0.5)}).status
    assert (status.current_replicas, status.desired_replicas) == (2, 3)
    assert (status.observed_generation, status.last_scale_time) == (3, NOW.replace(microsecond=0))
    (metric,) = status.current_metrics
    assert metric.resource is not None
    now = metric.resource.current
    assert (metric.type, metric.resource.name) == ("Resource", "cpu")
    assert (now.average_utilization, str(now.average_value)) == (75, "750m")
    told = {one.type: (one.status, one.reason) for one in status.conditions}
    assert told == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }
    assert all(one.message and one.last_transition_time for one in status.conditions)
    hpa = an_hpa(status=status)
    cells = {column.title: column.cell(hpa, NOW) for column in type(hpa).columns}
    assert (cells["Reference"], cells["Targets"]) == ("Deployment/web", "cpu: 75%/50%")


def test_numbers_alone_are_told_now_and_then() -> None:
    planner, hpa = HorizontalPodAutoscalers(), an_hpa()
    first = a_round(hpa, pods(2), {"cpu": cpu(0.5, 0.5)}, planner=planner)
    told = an_hpa(status=first.status)
    written = []
    for after_s in range(2, 40, 2):
        load = 0.5 + after_s / 1000
        one = a_round(told, pods(2), {"cpu": cpu(load, load)}, planner=planner, after_s=after_s)
        written += [after_s for action in one.actions if isinstance(action, UpdateStatus)]
        told = an_hpa(status=one.status)
    assert written == [16, 32]


def test_a_change_of_the_workload_wakes_who_scales_it_and_nobody_else() -> None:
    planner, hpas = HorizontalPodAutoscalers(), [an_hpa(), an_hpa("b", scaleTargetRef={
        "kind": "Deployment", "name": "other"})]  # fmt: skip
    view = StillView(hpas)
    assert list(planner.keys(a_deployment(), view)) == [hpas[0].ref]
    assert list(planner.keys(hpas[1], view)) == [hpas[1].ref]
    assert list(planner.keys(pods(1)[0], view)) == []


def test_what_is_gone_is_forgotten() -> None:
    planner, hpa = HorizontalPodAutoscalers(), an_hpa()
    a_round(hpa, pods(2), {"cpu": cpu(1, 1)}, planner=planner)
    assert planner.histories
    assert list(planner.plan(hpa.ref, StillView(), NOW)) == []
    assert (planner.histories, planner.told_at) == ({}, {})
