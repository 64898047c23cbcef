"""Pod networks: one part per node, never two nodes with one part, never taken back."""

from collections.abc import Sequence
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from controllers.nodes.podcidr import EVERY_NODE, LOOK_AGAIN_S, PodCidrs
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.reconcile.plan import RequeueAfter
from tests.carry import World
from tests.given import NOW, a_node, a_pod

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


def a_pod_at(address: str, node: str) -> Pod:
    return a_pod(f"on-{node}", node=node, phase="Running", ip=address)


def test_a_part_with_a_pod_of_a_removed_node_waits_until_the_pod_is_gone() -> None:
    left = a_pod_at("10.244.0.2", "n1")
    world = World([a_node("n2", pod_cidr="10.244.1.0/24"), a_node("n3", pod_cidr=""), left])
    world.settle(PodCidrs(RANGE), 1)
    assert networks(world) == [IPv4Network("10.244.1.0/24"), IPv4Network("10.244.2.0/24")]

    world.remove(left.ref)
    world.put(a_node("n4", pod_cidr=""))
    world.settle(PodCidrs(RANGE), 1)
    assert IPv4Network("10.244.0.0/24") in networks(world)


def test_a_node_that_comes_back_to_its_pods_is_given_their_part() -> None:
    left = a_pod_at("10.244.5.2", "n1")
    world = World([a_node("n1", pod_cidr=""), a_node("n0", pod_cidr=""), left])

    world.settle(PodCidrs(RANGE), 1)

    parts = {one.metadata.name: one.spec.pod_cidr for one in world.all(Node)}
    assert parts == {"n0": "10.244.0.0/24", "n1": "10.244.5.0/24"}


def test_a_part_that_another_node_has_is_not_given_back() -> None:
    left = a_pod_at("10.244.5.2", "n1")
    world = World([a_node("n1", pod_cidr=""), a_node("n2", pod_cidr="10.244.5.0/24"), left])

    world.settle(PodCidrs(RANGE), 1)

    assert sorted(map(str, networks(world))) == ["10.244.0.0/24", "10.244.5.0/24"]


def test_a_node_for_which_no_part_is_left_is_planned_again() -> None:
    world = World([a_node("n1", pod_cidr="10.244.0.0/24"), a_node("n2", pod_cidr="")])

    plan = list(PodCidrs(IPv4Network("10.244.0.0/24")).plan(EVERY_NODE, world.view(), NOW))

    assert plan[-1] == RequeueAfter(LOOK_AGAIN_S)
