"""The gentle rebalance: pods move to nodes that came, surge first, one at a time, and it ends."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.deployments.deployments import Deployments
from controllers.disruption.moving import destination
from controllers.disruption.rebalance import ALLOWED, HOLD_S, MOVE_S, MOVES_MAX, Rebalance
from controllers.replicaset import ReplicaSets
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.policy.poddisruptionbudget import DISRUPTION_ALLOWED, SYNC_FAILED
from cubernetes.reconcile.plan import Action, Evict, Planner
from cubernetes.scheduling.nodeinfo import facts_of, requests_of
from cubernetes.scheduling.plan import Placement, place
from cubernetes.scheduling.snapshot import Snapshot
from tests.carry import World
from tests.given import a_condition, a_deployment, a_node
from tests.unit.controllers.disruption.test_budgets import a_budget

ROUNDS_MAX = 200


class Life:
    """A world with a Deployment, the planners above its pods, a scheduler and a kubelet."""

    def __init__(self, wanted: Deployment, *more: Object) -> None:
        self.world = World([wanted, *more])
        self.rebalance, self._cursor = Rebalance(), ""
        self.is_good = True  # whether new pods become ready
        self.is_full: set[str] = set()  # nodes on which the scheduler finds no room
        self.is_refused = False  # whether a budget refuses evictions
        self.watched: list[Callable[[Action], None]] = []
        self.ref = wanted.ref

    @property
    def pods(self) -> list[Pod]:
        return [pod for pod in self.world.all(Pod) if not pod.metadata.is_deleted]

    def on(self) -> dict[str, int]:
        return dict(Counter(pod.spec.node_name for pod in self.pods))

    def marks(self) -> list[str]:
        return [destination(pod) for pod in self.pods if destination(pod)]

    def serving(self) -> int:
        return sum(is_ready(pod) for pod in self.pods)

    def plan(self, planner: Planner) -> int:
        before = self.world.writes
        for key in self.world.keys(planner):
            for action in list(planner.plan(key, self.world.view(), self.world.now)):
                if not (self.is_refused and isinstance(action, Evict)):
                    self.world.carry_out([action])
                for look in self.watched:
                    look(action)
        return self.world.writes - before

    def schedule(self) -> int:
        before = self.world.writes
        for pod in self.pods:
            if pod.spec.node_name:
                continue
            snapshot = Snapshot()
            for node in self.world.all(Node):
                if node.metadata.name not in self.is_full:
                    snapshot.set_node(facts_of(node))
            for other in self.pods:
                if other.spec.node_name:
                    snapshot.see(other.metadata.uid, other.spec.node_name, requests_of(other))
            found = place(requests_of(pod), snapshot, self._cursor)
            if isinstance(found, Placement):
                self._cursor = found.node
                self.world.put(replaced(pod, spec=replaced(pod.spec, node_name=found.node)))
        return self.world.writes - before

    def tend(self) -> int:
        """Let the kubelets end pods, and make others ready."""
        before = self.world.writes
        for pod in self.world.all(Pod):
            if pod.metadata.is_deleted:
                self.world.remove(pod.ref)
            elif pod.spec.node_name and not is_ready(pod) and self.is_good:
                ready = replaced(a_condition("Ready"), last_transition_time=self.world.now)
                status = PodStatus(phase="Running", conditions=(ready,))
                self.world.put(replaced(pod, status=status))
        return self.world.writes - before

    def turn(self) -> int:
        self.world.now += timedelta(seconds=1)
        planners: list[Planner] = [Deployments(), ReplicaSets(), self.rebalance]
        return sum(map(self.plan, planners)) + self.schedule() + self.tend()

    def settle(self) -> None:
        """Go on until nothing more happens, also once every node has been seen for a while."""
        self._calm()
        self.pass_s(self.rebalance.steady_s)
        self._calm()

    def _calm(self) -> None:
        for _ in range(ROUNDS_MAX):
            if not self.turn():
                return
        raise AssertionError(f"no end: {self.on()} {self.marks()}")

    def pass_s(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    def change(self, **spec: object) -> None:
        one = self.world.get(Deployment, self.ref.name, self.ref.namespace)
        assert one is not None
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        self.world.put(replaced(one, metadata=meta, spec=replaced(one.spec, **spec)))


def allowing(replicas: int, *, value: str = "true") -> Deployment:
    one = a_deployment(replicas=replicas)
    return replaced(one, metadata=replaced(one.metadata, annotations={ALLOWED: value}))


def crowded(replicas: int = 6, *, value: str = "true", nodes: int = 2) -> Life:
    """Return a life whose pods are on some nodes, and a node more that has just come."""
    names = [f"n{at}" for at in range(1, nodes + 1)]
    life = Life(allowing(replicas, value=value), *map(a_node, names))
    life.settle()
    life.world.put(a_node("new"))
    return life


def test_pods_move_one_by_one_and_as_many_as_wanted_serve_at_any_time() -> None:
    life = crowded()
    assert life.on() == {"n1": 3, "n2": 3}
    least, marked = [], []

    def look(_: Action) -> None:
        least.append(life.serving())
        marked.append(len(life.marks()))

    life.watched.append(look)
    life.settle()
    assert life.on() == {"n1": 2, "n2": 2, "new": 2}
    assert (min(least), max(marked)) == (6, 1)
    assert len(life.pods) == 6
    reasons = [one.reason for one in life.world.records if one.about.metadata.name == "web"]
    assert reasons.count("Rebalancing") == 2


@pytest.mark.parametrize("value", ["false", ""])
def test_without_leave_nothing_moves(value: str) -> None:
    life = crowded(value=value)
    life.settle()
    assert life.on() == {"n1": 3, "n2": 3}


@pytest.mark.parametrize("wrong_s", [-300, 0, 300])
def test_a_node_must_have_been_seen_ready_for_a_while_whatever_its_clock_says(wrong_s: int) -> None:
    life = crowded()
    stamp = life.world.now + timedelta(seconds=wrong_s)
    since = replaced(a_condition("Ready"), last_transition_time=stamp)
    life.world.put(a_node("new", conditions=[since]))
    for _ in range(30):
        life.turn()
    assert "new" not in life.on()
    life.settle()
    assert life.on()["new"] == 2


def test_a_node_that_comes_back_is_seen_anew() -> None:
    life = crowded()
    life.turn()
    life.pass_s(50)
    back = replaced(a_condition("Ready"), last_transition_time=life.world.now)
    life.world.put(a_node("new", conditions=[back]))
    life.turn()
    life.pass_s(50)
    life.turn()
    assert not life.marks()


@pytest.mark.parametrize(
    "node",
    [
        a_node("new", is_ready=False),
        a_node("new", is_schedulable=False),
        a_node("new", pods="0"),
        a_node("new", taints=[Taint(key="spot", effect="NoSchedule")]),
    ],
)
def test_no_pod_moves_to_a_node_that_would_not_take_it(node: Node) -> None:
    life = crowded()
    life.world.put(node)
    life.settle()
    assert life.on() == {"n1": 3, "n2": 3}
    assert not life.marks()


def test_a_difference_of_one_is_even_enough() -> None:
    life = crowded(3, nodes=3)
    life.settle()
    assert "new" not in life.on()


def test_where_its_successor_went_elsewhere_a_pod_stays_and_it_is_not_tried_at_once() -> None:
    life = crowded()
    life.is_full.add("new")
    life.settle()
    assert life.on() == {"n1": 3, "n2": 3}
    assert not life.marks()
    life.is_full.clear()
    life.settle()
    assert "new" not in life.on()
    life.pass_s(HOLD_S)
    life.settle()
    assert life.on() == {"n1": 2, "n2": 2, "new": 2}


def test_a_successor_that_is_not_ready_in_time_goes_and_the_pod_stays() -> None:
    life = crowded()
    life.is_good = False
    life.settle()
    assert life.marks() == ["new"]
    assert life.serving() == 6
    life.pass_s(MOVE_S)
    life.settle()
    assert life.on() == {"n1": 3, "n2": 3}
    assert (life.serving(), life.marks()) == (6, [])


def test_a_rollout_goes_before_a_move() -> None:
    life = crowded()
    life.is_good = False
    life.settle()
    assert life.marks() == ["new"]
    life.is_good = True
    life.change(replicas=4)
    life.turn()
    assert not life.marks()
    life.settle()
    assert sum(life.on().values()) == 4
    assert max(life.on().values()) - min(life.on().values()) <= 1


def test_only_a_few_pods_of_a_cluster_move_at_once() -> None:
    life = crowded()
    others = [Ref("Deployment", "default", f"d{at}") for at in range(MOVES_MAX)]
    life.rebalance.since.update(dict.fromkeys(others, life.world.now))
    life.settle()
    assert not life.marks()
    del life.rebalance.since[others[0]]
    life.turn()
    assert life.marks() == ["new"]


def test_a_pod_is_evicted_so_that_its_budget_is_asked() -> None:
    life = crowded()
    done: list[Action] = []
    life.watched.append(done.append)
    life.settle()
    assert sum(isinstance(one, Evict) for one in done) == 2


def test_a_budget_that_never_allows_it_ends_the_move() -> None:
    """And the pod more, that was made for it, goes."""
    life = crowded()
    life.is_refused = True
    life.settle()
    assert (life.marks(), len(life.pods)) == (["new"], 7)
    life.pass_s(MOVE_S)
    life.settle()
    assert (life.marks(), len(life.pods)) == ([], 6)
    told = [one.message for one in life.world.records if one.reason == "RebalanceGivenUp"]
    assert "its disruption budget does not allow it in time" in told[0]


@pytest.mark.parametrize("budgets", ["unscaled", "two"])
def test_where_no_eviction_will_be_allowed_no_move_begins(budgets: str) -> None:
    life = crowded()
    over = a_budget(max_unavailable=1)
    if budgets == "two":
        life.world.put(replaced(over, metadata=replaced(over.metadata, name="other")))
    else:
        failed = a_condition(DISRUPTION_ALLOWED, "False", reason=SYNC_FAILED)
        over = replaced(over, status=replaced(over.status, conditions=(failed,)))
    life.world.put(over)
    life.settle()
    assert life.on() == {"n1": 3, "n2": 3}
    assert not life.marks()


def _forget(life: Life, _: int) -> None:
    life.rebalance = Rebalance()


def _kill(life: Life, number: int) -> None:
    if life.pods:
        life.world.remove(life.pods[number % len(life.pods)].ref)


DEEDS: dict[str, Callable[[Life, int], object]] = {
    "roll": lambda life, _: life.plan(Deployments()),
    "replicaset": lambda life, _: life.plan(ReplicaSets()),
    "rebalance": lambda life, _: life.plan(life.rebalance),
    "schedule": lambda life, _: life.schedule(),
    "tend": lambda life, _: life.tend(),
    "forget": _forget,
    "node": lambda life, at: life.world.put(a_node(f"n{at}", is_ready=at % 2 == 0)),
    "kill": _kill,
    "size": lambda life, count: life.change(replicas=count),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(1, 4)), max_size=40))
def test_whatever_happens_on_the_way_it_ends_even_and_nothing_is_left_over(
    deeds: list[tuple[str, int]],
) -> None:
    """Also where the controller dies between any two writes: it forgets what it remembered."""
    life = crowded(4)
    for deed, number in deeds:
        DEEDS[deed](life, number)
    for name in ("n1", "n2", "new"):
        life.world.put(a_node(name))
    for number in (3, 4):
        life.world.remove(a_node(f"n{number}").ref)
    for pod in life.pods:
        if pod.spec.node_name in ("n3", "n4"):
            life.world.remove(pod.ref)
    life.rebalance = Rebalance()
    life.settle()
    # A move that somebody's change of the size made vain was given up: it is tried again later.
    life.pass_s(HOLD_S)
    life.settle()
    wanted = life.world.get(Deployment, life.ref.name, life.ref.namespace)
    assert wanted is not None
    on = [life.on().get(name, 0) for name in ("n1", "n2", "new")]
    assert sum(on) == wanted.spec.replicas
    assert max(on) - min(on) <= 1
    assert not life.marks()
