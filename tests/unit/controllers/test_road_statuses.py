"""The status of roads: which gateways serve them, told by one writer, and written once."""

from controllers.roads import EVERY_ROAD, RoadStatuses, addresses_of
from cubernetes.api.condition import condition_of
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import acknowledged, road_lease
from cubernetes.api.core.node import Node
from cubernetes.api.cubernetes.dns import ACCEPTED, Dns
from cubernetes.api.meta import Object
from cubernetes.api.networking.ingress import Ingress
from tests.carry import World
from tests.given import NOW, a_condition, a_lease, a_node
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress

PLANNER = RoadStatuses()


def a_gateway(node: str, address: str, *, is_ready: bool = True) -> tuple[Node, Lease]:
    ready = a_condition("Ready", "True" if is_ready else "Unknown")
    made = a_node(node, address=address, conditions=(ready,))
    return made, road_lease("gateway", made, 7, NOW)


def settled(*objects: Object) -> World:
    world = World([*CLASSES, *objects])
    world.settle(PLANNER, 4)
    assert world.plan(PLANNER, EVERY_ROAD) == []
    return world


def told(world: World) -> tuple[list[str], str]:
    """Return the addresses of the only Dns, and why it is accepted or not."""
    (dns,) = world.all(Dns)
    found = condition_of(dns.status.conditions, ACCEPTED)
    assert found is not None
    return list(dns.status.gateways), f"{found.status} {found.reason}"


def test_a_road_names_the_gateways_that_are_there_and_nothing_is_written_twice() -> None:
    one, other = a_gateway("n1", "192.0.2.1"), a_gateway("n2", "192.0.2.2")
    world = settled(*one, *other, a_dns(), an_ingress("a", ("a.example", ("/ web",))))

    assert told(world) == (["192.0.2.1", "192.0.2.2"], "True Served")
    (ingress,) = world.all(Ingress)
    assert [each.ip for each in ingress.status.load_balancer.ingress] == ["192.0.2.1", "192.0.2.2"]


def test_a_gateway_of_a_silent_node_is_no_gateway() -> None:
    there, silent = a_gateway("n1", "192.0.2.1"), a_gateway("n2", "192.0.2.2", is_ready=False)
    alone = a_lease("n3")

    assert told(settled(*there, *silent, alone, a_dns())) == (["192.0.2.1"], "True Served")


def test_a_node_that_is_called_like_a_gateway_is_none() -> None:
    """Their Leases had one namespace, so that the node `gateway-n1` was taken for n1's gateway."""
    there, silent = a_gateway("n1", "192.0.2.1")[0], a_lease("gateway-n1", holder="gateway-n1")

    assert told(settled(there, silent, a_dns())) == ([], "False NoGateway")


def test_a_gateway_counts_once_it_serves_and_its_later_acknowledgements_are_no_news() -> None:
    node, lease = a_gateway("n1", "192.0.2.1")
    claimed = acknowledged(lease, 0, NOW)
    world, planner = World([node, claimed, a_dns()]), RoadStatuses()
    assert addresses_of(world.view()) == ()
    assert list(planner.keys(claimed, world.view())) == []
    world.put(lease)
    assert list(planner.keys(lease, world.view())) == [EVERY_ROAD]
    assert addresses_of(world.view()) == ("192.0.2.1",)
    world.put(acknowledged(lease, 8, NOW))
    assert list(planner.keys(lease, world.view())) == []
    world.remove(lease.ref)
    assert list(planner.keys(lease, world.view())) == [EVERY_ROAD]


def test_w28_without_a_gateway_the_status_says_so() -> None:
    """The forerunner's Dns had no status at all."""
    assert told(settled(a_dns())) == ([], "False NoGateway")


def test_w27_a_younger_object_is_told_what_it_does_not_have() -> None:
    old = an_ingress("old", ("roads.example", ("/ cart",)), age_s=100)
    world = settled(*a_gateway("n1", "192.0.2.1"), old, a_dns(age_s=1))

    assert told(world)[1] == "False HostPathTaken"


def test_the_status_of_another_programs_ingress_is_left_alone() -> None:
    theirs = an_ingress("a", ("a.example", ("/ web",)), ingress_class="nginx")
    world = settled(*a_gateway("n1", "192.0.2.1"), theirs)

    assert [one.status for one in world.all(Ingress)] == [theirs.status]
