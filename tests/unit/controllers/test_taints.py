"""NoExecute taints: who does not bear one goes, who bears it for a while goes later."""

from collections.abc import Sequence
from datetime import timedelta

from controllers.nodes.evictions import EVICTION_BURST
from controllers.nodes.taints import Taints
from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import Ref, replaced
from cubernetes.reconcile.plan import RequeueAfter
from tests.carry import World
from tests.given import NOW, a_node, a_pod

SPOT = Taint(key="spot", effect="NoExecute")
N1 = Ref("Node", "", "n1")


def bearing(name: str, span_s: int | None = None, *, key: str = "spot", node: str = "n1") -> Pod:
    """Return a running pod that bears the taint of a key, for a span or for ever."""
    pod = a_pod(name, node=node, phase="Running", is_ready=True)
    one = Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=span_s)
    return replaced(pod, spec=replaced(pod.spec, tolerations=(one,)))


def running(name: str, node: str = "n1") -> Pod:
    return a_pod(name, node=node, phase="Running", is_ready=True)


def staying(world: World) -> list[str]:
    return [one.metadata.name for one in world.all(Pod) if not one.metadata.is_deleted]


def after(planner: Taints, world: World, span_s: float) -> list[float]:
    """Plan at a moment and carry it out; return when the planner wants to look again."""
    actions = list(planner.plan(N1, world.view(), NOW + timedelta(seconds=span_s)))
    world.carry_out(actions)
    return [one.after_s for one in actions if isinstance(one, RequeueAfter)]


def test_pods_that_do_not_bear_a_taint_go_at_once_and_only_from_that_node() -> None:
    world = World(
        [
            a_node("n1", taints=[SPOT]),
            a_node("n2"),
            running("a"),
            running("b", "n2"),
            bearing("c"),
            bearing("d", key="other"),
        ]
    )
    assert after(Taints(), world, 0) == []

    assert staying(world) == ["b", "c"]
    told = {record.message for record in world.records}
    assert told == {"Evicted: node n1 has the taint spot:NoExecute"}


def test_a_span_begins_when_the_taint_is_seen_and_the_pod_goes_at_its_end() -> None:
    planner, world = Taints(), World([a_node("n1"), bearing("a", 60), bearing("b", 90)])
    assert after(planner, world, 0) == []
    world.put(a_node("n1", taints=[SPOT]))
    assert after(planner, world, 100) == [60]
    assert after(planner, world, 130) == [30]
    assert staying(world) == ["a", "b"]

    assert after(planner, world, 160) == [30]
    assert staying(world) == ["b"]
    after(planner, world, 190)
    assert staying(world) == []


def test_a_taint_that_is_taken_away_in_time_ends_nobody_and_its_span_is_forgotten() -> None:
    planner, world = Taints(), World([a_node("n1", taints=[SPOT]), bearing("a", 60)])
    after(planner, world, 0)
    world.put(a_node("n1"))
    after(planner, world, 50)
    world.put(a_node("n1", taints=[SPOT]))

    assert after(planner, world, 70) == [60]
    assert staying(world) == ["a"]
    assert planner.seen.keys() == {N1}


def test_each_taint_has_a_span_of_its_own() -> None:
    late = Taint(key="late", effect="NoExecute")
    both = [bearing("a", 60).spec.tolerations[0], bearing("a", 60, key="late").spec.tolerations[0]]
    pod = running("a")
    pod = replaced(pod, spec=replaced(pod.spec, tolerations=tuple(both)))
    planner, world = Taints(), World([a_node("n1", taints=[SPOT]), pod])
    after(planner, world, 0)
    world.put(a_node("n1", taints=[late]))

    assert after(planner, world, 50) == [60]


def test_other_effects_pods_that_are_over_and_nodes_that_are_gone_are_left_alone() -> None:
    soft = [Taint(key="x", effect=effect) for effect in ("NoSchedule", "PreferNoSchedule")]
    done = a_pod("done", node="n1", phase="Succeeded")
    world = World([a_node("n1", taints=soft), running("a"), done])
    assert after(Taints(), world, 0) == []
    world.put(a_node("n1", taints=[SPOT]))
    world.remove(Ref("Pod", "default", "a"))
    assert after(Taints(), world, 0) == []
    world.remove(a_node("n1").ref)
    assert after(Taints(), world, 0) == []

    assert staying(world) == ["done"]


def test_many_pods_go_a_burst_at_a_time() -> None:
    count = EVICTION_BURST * 2 + 3
    world = World([a_node("n1", taints=[SPOT]), *(running(f"p{at:02}") for at in range(count))])
    planner = Taints()
    left: list[int] = []
    while staying(world):
        assert after(planner, world, len(left)) or len(staying(world)) == 0
        left.append(len(staying(world)))

    assert left == [count - EVICTION_BURST, count - 2 * EVICTION_BURST, 0]


def test_a_pod_makes_its_node_be_looked_at() -> None:
    planner, view = Taints(), World().view()
    assert list(planner.keys(running("a"), view)) == [N1]
    assert list(planner.keys(a_pod("new"), view)) == []
    assert list(planner.keys(a_node("n1"), view)) == [N1]


def test_laws_a_plan_that_was_carried_out_leaves_nothing_and_may_be_cut_anywhere() -> None:
    objects: Sequence[Node | Pod] = [a_node("n1", taints=[SPOT]), *map(running, "abcd")]
    for cut in range(8):
        planner, world = Taints(), World(objects)
        world.carry_out(planner.plan(N1, world.view(), NOW), cut)
        after(planner, world, 1)
        assert staying(world) == []
        assert list(planner.plan(N1, world.view(), NOW)) == []
