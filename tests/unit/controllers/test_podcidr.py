"""Pod networks: one part per node, never two nodes with one part, never taken back."""

from collections.abc import Sequence
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from controllers.podcidr import EVERY_NODE, PodCidrs
from cubernetes.api.core.node import Node
from tests.carry import World
from tests.given import NOW, a_node

RANGE = IPv4Network("10.244.0.0/16")
TAKEN = ["", "", "10.244.0.0/24", "10.244.1.0/24", "10.244.3.0/24", "10.244.8.0/22", "192.0.2.0/24"]


def networks(world: World) -> list[IPv4Network]:
    return [IPv4Network(one.spec.pod_cidr) for one in world.all(Node) if one.spec.pod_cidr]


@st.composite
def node_lists(draw: st.DrawFn) -> Sequence[Node]:
    taken = draw(st.lists(st.sampled_from(TAKEN[2:]), unique=True, max_size=4))
    held = [a_node(f"held-{place}", pod_cidr=one) for place, one in enumerate(taken)]
    fresh = [a_node(f"new-{place}", pod_cidr="") for place in range(draw(st.integers(0, 8)))]
    return draw(st.permutations([*held, *fresh]))


@given(node_lists(), st.integers(0, 3))
def test_every_node_gets_a_part_of_its_own_and_keeps_what_it_had(
    nodes: Sequence[Node], cut: int
) -> None:
    planner = PodCidrs(RANGE)
    world = World(nodes)
    before = {one.metadata.name: one.spec.pod_cidr for one in nodes if one.spec.pod_cidr}
    world.carry_out(planner.plan(EVERY_NODE, world.view(), NOW), cut)
    world.settle(planner, 1)

    found = networks(world)
    assert len(found) == len(nodes)
    mine = [one for one in found if one.subnet_of(RANGE)]
    assert not any(one.overlaps(other) for place, one in enumerate(mine) for other in mine[:place])
    after = {one.metadata.name: one.spec.pod_cidr for one in world.all(Node)}
    assert before.items() <= after.items()


@given(node_lists(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(nodes: Sequence[Node], chance: st.DataObject) -> None:
    shuffled = list(nodes)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    plans = [World(order).plan(PodCidrs(RANGE), EVERY_NODE) for order in (nodes, shuffled)]

    assert plans[0] == plans[1]


def test_the_lowest_free_part_is_given_again_after_its_node_is_gone() -> None:
    world = World([a_node("n1", pod_cidr="10.244.0.0/24"), a_node("n2", pod_cidr="10.244.1.0/24")])
    world.remove(a_node("n1").ref)
    world.put(a_node("n3", pod_cidr=""))
    world.settle(PodCidrs(RANGE), 1)

    node = world.get(Node, "n3")
    assert node is not None
    assert (node.spec.pod_cidr, node.spec.pod_cidrs) == ("10.244.0.0/24", ("10.244.0.0/24",))


def test_when_the_range_is_used_up_the_node_is_told() -> None:
    planner = PodCidrs(IPv4Network("10.244.0.0/24"))
    world = World([a_node("n1", pod_cidr=""), a_node("n2", pod_cidr="")])
    world.carry_out(planner.plan(EVERY_NODE, world.view(), NOW))

    assert [(one.about.metadata.name, one.reason) for one in world.records] == [
        ("n2", "CIDRNotAvailable")
    ]
