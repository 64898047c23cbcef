"""AutoScalers: pods between two bounds, at the speed that is asked for; W48's faults are absent."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from controllers.autoscaling.bands import AutoScalers, deployment_of
from controllers.autoscaling.measured import question_of
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.cubernetes.autoscaler import LABEL, AutoScaler
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Create, Patch, Record, StillView, Update, UpdateStatus
from cubernetes.reconcile.readings import Absent, Question, Reading, Values, Why
from tests.given import AN_HOUR_AGO, NOW, a_deployment, a_pod

CPU = {"cpu": {"minPercentage": 40, "maxPercentage": 80}}
MEMORY = {"memory": {"minBytes": 50, "maxBytes": 100}}
TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "cubernetes/stress:1"}]}}


def an_autoscaler(**spec: Any) -> AutoScaler:
    whole = {"maxReplicas": 10, "targetUtilization": CPU, "minScaleInterval": 0, **spec}
    if "template" not in spec:
        whole["target"] = {"kind": "Deployment", "name": "web"}
    tree: Any = {
        "apiVersion": "cubernetes.io/v1",
        "kind": "AutoScaler",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-as", "generation": 7},
        "spec": whole,
    }
    return codec.from_tree(AutoScaler, tree).model.defaulted()


def pods(count: int, **pod: Any) -> list[Pod]:
    told: dict[str, Any] = {"phase": "Running", "is_ready": True, "cpu": "1", **pod}
    made = [a_pod(f"web-{index}", **told) for index in range(count)]
    return [replaced(one, status=replaced(one.status, start_time=AN_HOUR_AGO)) for one in made]


def values(*numbers: float) -> Values:
    found: dict[tuple[str, ...], float]
    found = {(f"web-{index}", "main"): one for index, one in enumerate(numbers)}
    return Values(found, NOW)


class World:
    """An autoscaler and its workload, whose plans are carried out."""

    def __init__(self, scaler: AutoScaler, replicas: int = 2) -> None:
        self.planner, self.scaler, self.replicas = AutoScalers(), scaler, replicas
        self.records: list[str] = []

    def look(
        self,
        numbers: Mapping[str, Values | Absent],
        after_s: float = 0,
        found: Sequence[Pod] | None = None,
    ) -> int:
        """Return how many replicas there are after a round."""
        readings: dict[Question, Reading] = {
            question_of(name, "default"): one for name, one in numbers.items()
        }
        own = pods(self.replicas) if found is None else found
        objects: list[Object] = [self.scaler, a_deployment(replicas=self.replicas), *own]
        view = StillView(objects, readings=readings)
        assert set(self.planner.asks(self.scaler.ref, view)) == set(readings)
        now = NOW + timedelta(seconds=after_s)
        for action in self.planner.plan(self.scaler.ref, view, now):
            match action:
                case Patch():
                    self.replicas = action.change["spec"]["replicas"]
                case UpdateStatus():
                    self.scaler = replaced(self.scaler, status=action.object.status)  # type: ignore[attr-defined]
                case Record():
                    self.records.append(action.message)
        return self.replicas


def load(world: World, cores: float) -> dict[str, Values]:
    """Return samples of pods that share a load evenly, each up to its core."""
    return {"cpu": values(*[min(1.0, cores / world.replicas)] * world.replicas)}


def test_above_the_upper_bound_there_are_more() -> None:
    world = World(an_autoscaler(minScaleInterval=15), 2)
    assert world.look({"cpu": values(0.9, 0.9)}) == 3
    assert world.records == ["New size: 3; cpu is above its bounds"]


def test_within_the_bounds_nothing_changes() -> None:
    for share in (0.4, 0.6, 0.8):
        assert World(an_autoscaler(), 3).look({"cpu": values(share, share, share)}) == 3


def test_below_the_lower_bound_there_are_fewer() -> None:
    assert World(an_autoscaler(), 4).look({"cpu": values(0.3, 0.3, 0.3, 0.3)}) == 2
    never = an_autoscaler(targetUtilization={"cpu": {"maxPercentage": 80}})
    assert World(never, 4).look({"cpu": values(0, 0, 0, 0)}) == 4


def test_memory_grows_then_falls_to_one() -> None:
    world = World(an_autoscaler(targetUtilization=MEMORY), 1)
    assert world.look({"memory": values(150)}) == 2
    assert world.look({"memory": values(150, 150)}, 2) == 4
    for after_s in range(4, 30, 2):
        world.look({"memory": values(*[10] * world.replicas)}, after_s)
    assert world.replicas == 1


def test_a_longer_interval_is_slower() -> None:
    reached: dict[int, float] = {}
    for interval_s in (0, 10, 40):
        world = World(an_autoscaler(minScaleInterval=interval_s, maxReplicas=8), 1)
        changes: list[float] = []
        for after_s in range(0, 200, 2):
            before = world.replicas
            if world.look(load(world, 6), after_s) != before:
                changes.append(after_s)
        assert world.replicas == 8
        assert all(b - a >= interval_s for a, b in pairwise(changes))
        reached[interval_s] = changes[-1]
    assert reached[0] < reached[10] < reached[40]


def test_an_interval_outlives_a_restart() -> None:
    world = World(an_autoscaler(minScaleInterval=60), 1)
    assert world.look({"cpu": values(1)}) == 2
    world.planner = AutoScalers()
    assert world.look({"cpu": values(1, 1)}, 58) == 2
    assert world.look({"cpu": values(1, 1)}, 60) == 4


def test_bounds_hold_at_once() -> None:
    world = World(an_autoscaler(minReplicas=2, maxReplicas=4, minScaleInterval=60), 9)
    assert world.look({"cpu": Absent(Why.UNREACHABLE)}) == 4
    world.replicas = 1
    assert world.look({"cpu": Absent(Why.UNREACHABLE)}, 2) == 2


def test_w48_left_out_the_minimum_is_one() -> None:
    scaler = an_autoscaler()
    assert scaler.spec.min_replicas == 1
    assert World(scaler, 2).look({"cpu": values(0, 0)}) == 1


def test_w48_metrics_that_disagree_do_not_cancel_out() -> None:
    world = World(an_autoscaler(targetUtilization={**CPU, **MEMORY}), 2)
    assert world.look({"cpu": values(0.95, 0.95), "memory": values(10, 10)}) == 4


def test_w48_a_pod_that_crashes_freezes_nothing() -> None:
    found = pods(2)
    found[1] = a_pod("web-1", phase="Running", cpu="1")
    assert World(an_autoscaler(), 2).look({"cpu": values(4.0, 0.0)}, found=found) == 4


def test_w48_a_burst_goes_by_more_than_one() -> None:
    world = World(an_autoscaler(maxReplicas=16), 4)
    assert world.look({"cpu": values(*[1.0] * 4)}) == 7


def test_w48_percent_is_of_what_is_requested_or_else_of_a_core() -> None:
    half = pods(2, cpu="500m")
    assert World(an_autoscaler(), 2).look({"cpu": values(0.45, 0.45)}, found=half) == 3
    bare = pods(2, cpu="")
    assert World(an_autoscaler(), 2).look({"cpu": values(0.45, 0.45)}, found=bare) == 2


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"minReplicas": 5, "maxReplicas": 4}, "spec.maxReplicas"),
        ({"minReplicas": 0}, "spec.minReplicas"),
        ({"targetUtilization": {}}, "spec.targetUtilization"),
        ({"targetUtilization": {"cpu": {"minPercentage": 9, "maxPercentage": 8}}},
         "spec.targetUtilization.cpu.maxPercentage"),
        ({"targetUtilization": {"memory": {"minBytes": 9, "maxBytes": 8}}},
         "spec.targetUtilization.memory.maxBytes"),
        ({"targetUtilization": {"cpu": {"maxPercentage": 0}}},
         "spec.targetUtilization.cpu.maxPercentage"),
        ({"minScaleInterval": 3601}, "spec.minScaleInterval"),
        ({"template": TEMPLATE, "target": {"kind": "Deployment", "name": "x"}}, "spec.template"),
        ({"target": {"kind": "", "name": "x"}}, "spec.target.kind"),
        ({"target": {"kind": "Deployment", "name": "A b"}}, "spec.target.name"),
    ],
)  # fmt: skip
def test_w48_what_cannot_be_is_refused_at_its_field(spec: dict[str, Any], field: str) -> None:
    whole = {"maxReplicas": 4, "targetUtilization": CPU, **spec}
    whole.setdefault("target", {"kind": "Deployment", "name": "web"})
    tree = {
        "apiVersion": "cubernetes.io/v1",
        "kind": "AutoScaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": whole,
    }
    found = codec.from_tree(AutoScaler, tree).model.defaulted()
    assert [one.field for one in found.problems()] == [field]


LABELS = {f"label-{index}": "" for index in range(64)}


@pytest.mark.parametrize(
    ("template", "name", "field"),
    [
        ({"spec": {**TEMPLATE["spec"], "nodeName": "n1"}}, "web", "spec.template.spec.nodeName"),
        ({"spec": {**TEMPLATE["spec"], "activeDeadlineSeconds": 9}}, "web",
         "spec.template.spec.activeDeadlineSeconds"),
        ({"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}, "web",
         "spec.template.spec.restartPolicy"),
        ({**TEMPLATE, "metadata": {"labels": LABELS}}, "web", "spec.template.metadata.labels"),
        (TEMPLATE, "w" * 64, "metadata.name"),
    ],
)  # fmt: skip
def test_a_template_of_which_no_deployment_can_be_made_is_refused(
    template: Any, name: str, field: str
) -> None:
    found = an_autoscaler(template=template)
    named = replaced(found, metadata=replaced(found.metadata, name=name))
    assert [one.field for one in named.problems()] == [field]
    assert list(deployment_of(named).problems())


def test_without_samples_it_holds_and_tells_why() -> None:
    world = World(an_autoscaler(), 3)
    assert world.look({"cpu": Absent(Why.LATE, "no answer")}) == 3
    (fact,) = world.scaler.status.conditions
    assert (fact.status, fact.reason) == ("False", "NoMetrics")
    assert fact.message == "cpu: late: no answer"


def test_the_status_tells_what_is_used() -> None:
    world = World(an_autoscaler(targetUtilization={**CPU, **MEMORY}), 2)
    world.look({"cpu": values(0.9, 0.9), "memory": values(60, 80)})
    status = world.scaler.status
    assert (status.desired_replicas, status.actual_replicas) == (3, 2)
    assert (status.observed_generation, status.last_scale_time) == (7, NOW)
    told = status.actual_utilization
    assert (told.cpu_percentage, told.memory_bytes) == (90, 70)
    assert [one.reason for one in status.conditions] == ["ValidMetricFound"]


def rounds(scaler: AutoScaler, *objects: Object) -> list[object]:
    view = StillView([scaler, *objects], readings={question_of("cpu", "default"): values(0.5)})
    return list(AutoScalers().plan(scaler.ref, view, NOW))


def test_of_a_template_a_deployment_is_kept() -> None:
    scaler = an_autoscaler(template=TEMPLATE, minReplicas=2)
    (made,) = [one.object for one in rounds(scaler) if isinstance(one, Create)]
    assert isinstance(made, Deployment)
    assert list(made.problems()) == []
    assert (made.metadata.name, made.spec.replicas) == ("web", 2)
    assert made.metadata.controller is not None
    assert made.metadata.controller.uid == "uid-as"
    assert made.spec.template.metadata.labels == {LABEL: "web"}
    # Once it is there nothing more is done, until the template is another.
    changes = (Create, Update, Patch)
    assert not [one for one in rounds(scaler, made) if isinstance(one, changes)]
    newer = {"spec": {"containers": [{"name": "main", "image": "cubernetes/stress:2"}]}}
    later = an_autoscaler(template=newer, minReplicas=2)
    (update,) = [one for one in rounds(later, made) if isinstance(one, Update)]
    (container,) = update.object.spec.template.spec.containers  # type: ignore[attr-defined]
    assert container.image == "cubernetes/stress:2"
    assert update.object.spec.replicas == 2  # type: ignore[attr-defined]


def test_a_deployment_of_somebody_else_is_left_alone() -> None:
    scaler = an_autoscaler(template=TEMPLATE)
    other = replaced(deployment_of(scaler), metadata=a_deployment().metadata)
    assert not [one for one in rounds(scaler, other) if isinstance(one, Update | Patch)]


def test_changes_of_a_workload_wake_who_scales_it() -> None:
    scaler = an_autoscaler(template=TEMPLATE)
    of_target = an_autoscaler()
    planner, own = AutoScalers(), deployment_of(scaler)
    assert list(planner.keys(own, StillView([scaler]))) == [scaler.ref]
    assert list(planner.keys(a_deployment(), StillView([of_target]))) == [of_target.ref]
    assert list(planner.keys(pods(1)[0], StillView([of_target]))) == []


def test_what_is_gone_is_forgotten() -> None:
    world = World(an_autoscaler(), 2)
    world.look({"cpu": values(1, 1)})
    assert list(world.planner.plan(world.scaler.ref, StillView(), NOW)) == []
    assert (world.planner.histories, world.planner.told_at) == ({}, {})
