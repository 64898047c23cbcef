"""Taints by condition: a node's pressures are taints, and what others tainted it with stays."""

from hypothesis import given
from hypothesis import strategies as st

from controllers.nodes.pressures import PressureTaints
from cubernetes.api.condition import Condition
from cubernetes.api.core.node import PRESSURE_TAINTS, Node, Taint
from cubernetes.api.meta import Ref, replaced
from tests.carry import World
from tests.given import NOW, a_node

N1 = Ref("Node", "", "n1")
SPOT = Taint(key="spot", effect="NoSchedule")


def a_pressed_node(*kinds: str, taints: tuple[Taint, ...] = ()) -> Node:
    node = a_node("n1")
    told = tuple(
        Condition(type=kind, status="True" if kind in kinds else "False", last_transition_time=NOW)
        for kind in PRESSURE_TAINTS
    )
    conditions = (*node.status.conditions, *told)
    status = replaced(node.status, conditions=conditions)
    return replaced(node, status=status, spec=replaced(node.spec, taints=taints))


def planned(world: World) -> list[object]:
    actions = list(PressureTaints().plan(N1, world.view(), NOW))
    world.carry_out(actions)
    return list(actions)


def tainted(world: World) -> list[str]:
    (node,) = world.all(Node)
    return [one.key.rpartition("/")[2] for one in node.spec.taints]


def test_a_pressure_taints_its_node_beside_what_others_have_given_it() -> None:
    world = World([a_pressed_node("DiskPressure", "MemoryPressure", taints=(SPOT,))])
    planned(world)
    assert tainted(world) == ["spot", "memory-pressure", "disk-pressure"]


def test_a_pressure_that_is_over_takes_its_taint_with_it() -> None:
    taints = (PRESSURE_TAINTS["DiskPressure"], SPOT)
    world = World([a_pressed_node(taints=taints)])
    planned(world)
    assert tainted(world) == ["spot"]


def test_a_node_that_is_gone_needs_nothing() -> None:
    assert planned(World([])) == []


@given(
    st.sets(st.sampled_from(sorted(PRESSURE_TAINTS))),
    st.sets(st.sampled_from(sorted(PRESSURE_TAINTS))),
)
def test_once_carried_out_nothing_is_left_to_do(pressed: set[str], before: set[str]) -> None:
    taints = (SPOT, *(PRESSURE_TAINTS[kind] for kind in sorted(before)))
    world = World([a_pressed_node(*pressed, taints=taints)])
    planned(world)
    assert planned(world) == []
