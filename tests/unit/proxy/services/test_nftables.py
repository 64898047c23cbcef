"""What the table of nf_tables is made of, and that small steps lead where one large one does."""

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import replaced
from cubernetes.host.packetfilter.expressions import DROP, GOTO
from cubernetes.host.packetfilter.flows import Front
from cubernetes.host.packetfilter.nftables import ElementKey, Goto
from proxy.services.nftables import ways
from proxy.services.nftables.claims import Claims
from proxy.services.nftables.elements import node_key, part_of, port_key, udp_endpoints
from proxy.services.nftables.saved import decoded, encoded
from proxy.services.nftables.wanted import Wanted
from proxy.services.served import Key, Served, key_of, served_by, slices_by_service
from tests.given import an_endpoint
from tests.unit.proxy.papertable import PaperTable
from tests.unit.proxy.services.clusters import World, worlds
from tests.unit.proxy.services.doors import (
    CLUSTER_IP,
    ELSEWHERE,
    FACTS,
    HERE,
    NODE_PORT,
    OUTER,
    POOLED,
    a_door,
    both,
)
from tests.unit.proxy.services.doors import world as world_of_door

INNER = ElementKey(ways.FRONTS, port_key(IPv4Address(CLUSTER_IP), "tcp", 80))
NODE = ElementKey(ways.NODE_FRONTS, node_key("tcp", NODE_PORT))


def served_of(world: World) -> dict[Key, Served]:
    services, slices = world
    grouped = slices_by_service(slices)
    return {key_of(one): served_by(one, grouped.get(key_of(one), ()), FACTS) for one in services}


def told(wanted: Wanted, before: World, after: World) -> None:
    """Tell what becomes of each service between two worlds."""
    had, has = served_of(before), served_of(after)
    for key in sorted(had.keys() | has.keys()):
        if had.get(key) != has.get(key):
            wanted.take(key, has.get(key))


def whole(world: World) -> PaperTable:
    wanted, table = Wanted(FACTS), PaperTable()
    told(wanted, ([], []), world)
    table.transact(wanted.against(None).messages)
    return table


def front_of(service: Service, endpoints: Sequence[object], place: ElementKey) -> object:
    (served,) = served_of(world_of_door(service, endpoints)).values()  # type: ignore[arg-type]
    return part_of(served).elements.get(place)


@settings(max_examples=40)
@given(st.lists(worlds(), min_size=1, max_size=5))
def test_changes_one_after_another_lead_where_all_at_once_lead(lives: list[World]) -> None:
    wanted, table = Wanted(FACTS), PaperTable()
    table.transact(wanted.against(None).messages)
    before: World = ([], [])
    for world in lives:
        told(wanted, before, world)
        table.transact(wanted.unwritten().messages)
        wanted.written()
        before = world

    assert table.held() == whole(lives[-1]).held()
    assert not wanted.unwritten().messages


@settings(max_examples=40)
@given(worlds(), worlds())
def test_a_table_of_before_becomes_what_is_wanted_and_then_nothing_differs(
    before: World, after: World
) -> None:
    table = whole(before)
    wanted = Wanted(FACTS)
    told(wanted, ([], []), after)

    table.transact(wanted.against(table.held()).messages)

    assert table.held() == whole(after).held()
    assert not wanted.against(table.held()).messages


@settings(max_examples=40)
@given(worlds())
def test_the_order_of_the_services_does_not_matter(world: World) -> None:
    services, slices = world
    turned = (services[::-1], slices[::-1])

    assert whole(world).held() == whole(turned).held()


@settings(max_examples=40)
@given(worlds())
def test_what_is_saved_comes_back(world: World) -> None:
    served = served_of(world)
    ports = [port for one in served.values() for port in one.ports]

    back = decoded(encoded(ports))

    assert [port for key in back for port in back[key]] == ports


def test_rules_of_the_other_backend_are_not_taken_for_ours() -> None:
    with pytest.raises(ValueError, match="Object missing"):
        decoded(b'{"chains":[],"jumps":[]}')


def test_a_rule_that_somebody_changed_has_the_whole_table_written_anew() -> None:
    world = world_of_door(a_door(), both())
    table = whole(world)
    wanted = Wanted(FACTS)
    told(wanted, ([], []), world)
    for name in list(table.rules):
        flushed = whole(world)
        flushed.rules[name] = []
        assert flushed.held() != table.held()

        flushed.transact(wanted.against(flushed.held()).messages)

        assert flushed.held() == table.held()


def test_a_set_that_somebody_removed_has_the_whole_table_written_anew() -> None:
    world = world_of_door(a_door(), both())
    wanted = Wanted(FACTS)
    told(wanted, ([], []), world)
    table = whole(world)
    table.sets.remove(ways.CLIENTS)

    table.transact(wanted.against(table.held()).messages)

    assert table.held() == whole(world).held()


SPREAD = "address-all-2"


@pytest.mark.parametrize(
    ("service", "inner", "node"),
    [
        (a_door(), "strangers-address-all-2", "always-node-all-2"),
        (
            a_door(external_traffic_policy="Local"),
            "strangers-address-all-2",
            "local-node-here-1-node-all-2",
        ),
        (
            a_door(internal_traffic_policy="Local"),
            "strangers-address-here-1",
            "always-node-all-2",
        ),
    ],
)
def test_doors_lead_where_policies_say(service: Service, inner: str, node: str) -> None:
    assert front_of(service, both(), INNER) == Goto(GOTO, inner)
    assert front_of(service, both(), NODE) == Goto(GOTO, node)


def test_where_only_other_nodes_serve_a_local_service_drops() -> None:
    away = [an_endpoint(ELSEWHERE, node="n2")]

    assert front_of(a_door(internal_traffic_policy="Local"), away, INNER) == Goto(DROP)
    way = front_of(a_door(external_traffic_policy="Local"), away, NODE)
    assert way == Goto(GOTO, "local-none-node-all-1")


def test_a_door_that_nobody_serves_refuses_and_a_cluster_ip_has_no_front() -> None:
    assert front_of(a_door(), [], NODE) == Goto(GOTO, ways.REFUSED)
    assert front_of(a_door(), [], INNER) is None


def test_an_address_of_the_pool_is_for_its_sources_and_others_are_for_all() -> None:
    ranges = ("198.51.100.0/24", "0.0.0.0/0")
    door = a_door("LoadBalancer", load_balancer_source_ranges=ranges, external_ips=(OUTER,))
    pooled = ElementKey(ways.FRONTS, port_key(IPv4Address(POOLED), "tcp", 80))
    outer = ElementKey(ways.FRONTS, port_key(IPv4Address(OUTER), "tcp", 80))

    way = front_of(door, both(), pooled)
    assert isinstance(way, Goto)
    assert way.chain.startswith("from-")
    assert way.chain.endswith("always-address-all-2")
    assert front_of(door, both(), outer) == Goto(GOTO, "always-address-all-2")


def test_all_doors_of_a_port_with_affinity_share_its_clients() -> None:
    door = a_door(session_affinity="ClientIP")
    inner, node = front_of(door, both(), INNER), front_of(door, both(), NODE)
    assert isinstance(inner, Goto)
    assert isinstance(node, Goto)

    assert inner.chain.removeprefix("strangers-") == node.chain.removeprefix("always-")


def test_two_services_that_want_one_door_have_it_in_their_order() -> None:
    claims: Claims[str, int] = Claims()
    claims.move(("default", "b"), (), {"door": 2})

    change = claims.move(("default", "a"), (), {"door": 1})
    assert change == ({"door": 2}, {"door": 1})
    assert claims.move(("default", "c"), (), {"door": 3}) == ({}, {})
    assert claims.move(("default", "a"), ["door"], {}) == ({"door": 1}, {"door": 2})
    assert claims.move(("default", "b"), ["door"], {}) == ({"door": 2}, {"door": 3})
    assert claims.move(("default", "c"), ["door"], {}) == ({"door": 3}, {})
    assert claims.all() == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), st.integers(1, 3))
        ),
        max_size=12,
    )
)
def test_claims_hold_what_their_first_owner_wants(moves: list[tuple[str, dict[str, int]]]) -> None:
    claims: Claims[str, int] = Claims()
    want: dict[str, dict[str, int]] = {}
    for owner, come in moves:
        had = claims.all()
        change = claims.move(("ns", owner), want.get(owner, {}).keys() - come.keys(), come)
        want[owner] = come
        has = {key: want[one][key] for one in sorted(want, reverse=True) for key in want[one]}

        assert claims.all() == has
        assert len(claims) == len(has)
        differs = {key for key in had.keys() | has.keys() if had.get(key) != has.get(key)}
        assert change.before == {key: had[key] for key in differs & had.keys()}
        assert change.after == {key: has[key] for key in differs & has.keys()}


def test_the_endpoints_of_udp_doors_are_found_in_the_elements() -> None:
    door = a_door(protocol="UDP", external_ips=(OUTER,))
    (served,) = served_of(world_of_door(door, both())).values()

    everywhere = {HERE, ELSEWHERE}
    assert udp_endpoints(part_of(served).elements) == {
        Front(CLUSTER_IP, "80"): everywhere,
        Front(OUTER, "80"): everywhere,
        Front("", str(NODE_PORT)): everywhere,
    }


def test_flows_of_an_endpoint_that_went_are_stale_and_of_no_other() -> None:
    service = a_door(protocol="UDP")
    wanted = Wanted(FACTS)
    told(wanted, ([], []), world_of_door(service, both()))
    wanted.written()
    told(wanted, world_of_door(service, both()), world_of_door(service, both()[:1]))

    difference = wanted.unwritten()

    assert difference.before[Front(CLUSTER_IP, "80")] == {HERE, ELSEWHERE}
    assert difference.after[Front(CLUSTER_IP, "80")] == {HERE}


def test_an_object_that_is_the_same_again_is_no_change() -> None:
    world = world_of_door(a_door(), both())
    wanted = Wanted(FACTS)
    told(wanted, ([], []), world)
    wanted.written()
    for key, served in served_of(world).items():
        wanted.take(key, served)

    assert not wanted.unwritten().messages


def test_one_change_among_many_services_is_as_small_as_among_few() -> None:
    """The number of messages and elements does not depend on how many services there are."""

    def change_among(count: int) -> int:
        wanted = Wanted(FACTS)
        service, endpoints = a_door(), both()
        (served,) = served_of(world_of_door(service, endpoints)).values()
        for number in range(count):
            other = a_door("ClusterIP")
            other = replaced(
                other, spec=replaced(other.spec, cluster_ip=f"10.96.1.{number}"),
                metadata=replaced(other.metadata, name=f"other-{number}"),
            )  # fmt: skip
            wanted.take(key_of(other), served_by(other, _slices(other), FACTS))
        wanted.take(key_of(service), served)
        wanted.written()
        told(wanted, world_of_door(service, endpoints), world_of_door(service, endpoints[:1]))
        return len(b"".join(one.body for one in wanted.unwritten().messages))

    assert change_among(2) == change_among(40)


def _slices(service: Service) -> list[EndpointSlice]:
    return world_of_door(service, both())[1]


def test_what_cannot_be_compiled_is_told_until_it_is_mended() -> None:
    wanted = Wanted(FACTS)
    key = key_of(a_door())
    wanted.take(key, served_by(a_door(external_ips=("10.244.1.1",)), [], FACTS))
    assert len(wanted.skipped) == 1
    assert "10.244.1.1" in wanted.skipped[0]

    wanted.take(key, served_by(a_door(), [], FACTS))
    assert not wanted.skipped
