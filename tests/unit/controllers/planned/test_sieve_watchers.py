"""Sieve's failures of who judges by time and by samples: nodes, autoscalers, roads, Events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from controllers.autoscaling.bands import AutoScalers
from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from controllers.cleanup.events import OldEvents
from controllers.endpoints import Endpoints
from controllers.nodes.silence import Nodes, Timing
from controllers.replicaset import ReplicaSets
from controllers.roads import RoadStatuses
from controllers.routes import Routes
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import ROUTES_READY, acknowledged, road_lease
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import Action, Asking, StillView, View
from cubernetes.reconcile.readings import Question, Reading, Values
from tests.carry import World
from tests.given import (
    a_condition,
    a_container,
    a_lease,
    a_meta,
    a_node,
    a_pod,
    a_replicaset,
    a_service,
    a_template,
    an_event,
)
from tests.unit.controllers.autoscaling.test_bands import an_autoscaler
from tests.unit.controllers.autoscaling.test_hpa import an_hpa
from tests.unit.controllers.planned.sieve import Story, suffer
from tests.unit.controllers.test_road_statuses import a_gateway
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress

type Deed = Callable[[World], None]

SILENT, BACK, ROUNDS = 6, 20, 42
LEAST, MOST = 2, 6


def _renewed(turn: int) -> Deed:
    def renew(world: World) -> None:
        names = ["n1", "n2", "n3"] if not SILENT <= turn < BACK else ["n2", "n3"]
        world.put(*(a_lease(name, holder=name, renewed_at=world.now) for name in names))

    return renew


def _silent_node() -> Story:
    """One of three nodes is silent for half a minute: its pods are had elsewhere, no others go."""

    def holds(world: World) -> None:
        for pod in world.all(Pod):
            is_given_up = pod.metadata.is_deleted
            assert not is_given_up or pod.spec.node_name == "n1", pod.metadata.name
        assert len([pod for pod in world.all(Pod) if not pod.metadata.is_deleted]) <= 4

    timing = Timing(evict_after_s=6.0)
    return Story(
        [a_node("n1"), a_node("n2"), a_node("n3"), a_replicaset(replicas=4)],
        [lambda: Nodes(timing), ReplicaSets],
        {turn: _renewed(turn) for turn in range(ROUNDS)},
        holds,
        ROUNDS,
    )


@dataclass(slots=True)
class OnLoad:
    """A planner that is given what pods use: a load on record, shared by those that serve."""

    inner: Asking
    name: str = "on load"
    kinds: tuple[type[Object], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = self.inner.kinds

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        return self.inner.keys(changed, view)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        assert isinstance(view, StillView)
        asked = self.inner.asks(key, view)
        readings: dict[Question, Reading] = {one: _used(view, now) for one in asked}
        yield from self.inner.plan(key, replace(view, readings=readings), now)


def _used(view: View, now: datetime) -> Values:
    load = view.get(ConfigMap, "load", "default")
    cores = float(load.data["cores"]) if load is not None else 0.0
    serving = [pod for pod in view.list(Pod) if is_ready(pod)]
    return Values({(pod.metadata.name, "main"): cores / len(serving) for pod in serving}, now)


def _loaded(cores: str) -> Deed:
    load = ConfigMap(metadata=a_meta("load"), data={"cores": cores})
    return lambda world: world.put(load)


def _scaled(scaler: Object, make: Callable[[], Asking]) -> Story:
    """A load grows beyond what all pods may take, falls, and ends: bounds hold at every write."""

    def holds(world: World) -> None:
        (one,) = world.all(ReplicaSet)
        assert LEAST <= one.spec.replicas <= MOST

    template = a_template(containers=(a_container(cpu="1"),))
    return Story(
        [scaler, a_replicaset(replicas=LEAST, template=template)],
        [lambda: OnLoad(make()), ReplicaSets],
        {2: _loaded("1"), 6: _loaded("9"), 14: _loaded("2"), 20: _loaded("0.2"), 30: _loaded("2")},
        holds,
        rounds=60,
    )


def _hpa() -> Story:
    scaler = an_hpa(
        scaleTargetRef={"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"},
        minReplicas=LEAST,
        maxReplicas=MOST,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
    )
    return _scaled(scaler, HorizontalPodAutoscalers)


def _bands() -> Story:
    target = {"kind": "ReplicaSet", "name": "web"}
    scaler = an_autoscaler(target=target, minReplicas=LEAST, maxReplicas=MOST)
    return _scaled(scaler, AutoScalers)


def _roads() -> Story:
    """A gateway comes, its node falls silent, another comes, and the first is taken away."""
    one, other = a_gateway("n1", "192.0.2.1"), a_gateway("n2", "192.0.2.2")
    unready = a_gateway("n1", "192.0.2.1", is_ready=False)[0]
    deeds: dict[int, Deed] = {
        2: lambda world: world.put(*one),
        6: lambda world: world.put(unready),
        9: lambda world: world.put(*other),
        12: lambda world: world.put(a_dns(), an_ingress("b", ("b.example", ("/ web",)))),
        15: lambda world: world.put(one[0]),
        18: lambda world: world.remove(one[1].ref),
    }
    roads = [a_dns(), an_ingress("a", ("a.example", ("/ web",)))]
    return Story([*CLASSES, *roads], [RoadStatuses], deeds)


def _acknowledging(turn: int) -> Deed:
    """The proxy of the only node has in force what there is, but in some rounds."""

    def acknowledge(world: World) -> None:
        (lease,) = world.all(Lease)
        if turn % 3:
            world.put(acknowledged(lease, world.revision, world.now))
        for pod in world.all(Pod):
            _gated(world, pod)
        if turn in (10, 22):
            world.remove(next(iter(world.all(Pod))).ref)

    return acknowledge


def _gated(world: World, pod: Pod) -> None:
    """What a kubelet says first of a pod that is ready: that roads do not lead to it yet."""
    names = {one.type for one in pod.status.conditions}
    if is_ready(pod) and ROUTES_READY not in names:
        told = (*pod.status.conditions, a_condition(ROUTES_READY, "False", since=world.now))
        world.put(replaced(pod, status=replaced(pod.status, conditions=told)))


def _routes() -> Story:
    node = a_node("n1")
    made = [node, road_lease("proxy", node, 1, node.metadata.creation_timestamp or a_now())]
    return Story(
        [*made, a_service(), a_replicaset(replicas=3)],
        [Routes, Endpoints, ReplicaSets],
        {turn: _acknowledging(turn) for turn in range(1, ROUNDS)},
        rounds=ROUNDS,
    )


def a_now() -> datetime:
    return World().now


KEEP_S = 20.0


def _events() -> Story:
    """Events come, one of them again and again: it stays as long as it does, and all go then."""
    told_at: dict[str, datetime] = {}

    def tell(name: str) -> Deed:
        def put(world: World) -> None:
            told_at[name] = world.now
            world.put(an_event(a_pod(name), at=world.now))

        return put

    def holds(world: World) -> None:
        there = {one.involved_object.name for one in world.all(Event)}
        for name in told_at.keys() - there:
            assert world.now - told_at[name] >= timedelta(seconds=KEEP_S), name

    deeds: dict[int, Deed] = {2: tell("a"), 3: tell("b"), 5: tell("c"), 40: tell("d")}
    deeds |= dict.fromkeys(range(7, 30, 2), tell("again"))
    # Nothing is swept twice within half a minute: the last that goes has its time.
    return Story(
        [an_event(a_pod("old"), at=a_now())], [lambda: OldEvents(KEEP_S)], deeds, holds, 90
    )


STORIES: Mapping[str, Callable[[], Story]] = {
    "silent node": _silent_node,
    "autoscaler": _hpa,
    "bands": _bands,
    "roads": _roads,
    "routes": _routes,
    "events": _events,
}
VICTIMS: list[tuple[str, int]] = [
    (name, place) for name, make in STORIES.items() for place in range(len(make().planners))
]


@pytest.mark.parametrize(("name", "place"), VICTIMS)
def test_who_judges_by_time_and_samples_comes_to_the_same_end(name: str, place: int) -> None:
    suffered = suffer(STORIES[name], place)
    assert suffered.write_count
    assert suffered.unlike == []
