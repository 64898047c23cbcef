"""Every door of a service: what packets meet at node ports and outer addresses, by which policy."""

from fractions import Fraction
from ipaddress import IPv4Address
from typing import Any

import pytest

from cubernetes.api.core.service import LoadBalancer, ServiceStatus
from cubernetes.api.meta import replaced
from cubernetes.host.packetfilter.flows import Flow, Front
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.services.compile import Compiler, rules_for
from proxy.services.flows import udp_endpoints, wide_fronts
from proxy.services.packets import Fate, Origin, Packet, fates
from proxy.services.served import Facts
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.proxy.services.doors import (
    CLUSTER_IP,
    ELSEWHERE,
    FACTS,
    HERE,
    NODE,
    NODE_PORT,
    OTHER_NODE,
    OUTER,
    POD,
    POOLED,
    STRANGER,
    a_door,
    both,
    rules,
)


def met(
    found: RuleSet,
    to: str | IPv4Address,
    port: int,
    source: IPv4Address = STRANGER,
    origin: Origin = "forwarded",
    **more: Any,
) -> dict[Fate, Fraction]:
    packet = Packet(source, IPv4Address(to), port, **more)
    ends = fates(found, packet, origin, own=[NODE])
    assert sum(ends.values()) == 1
    return ends


def led(ends: dict[Fate, Fraction]) -> set[tuple[str, bool]]:
    """Return where a packet may end, and whether it is masqueraded on its way there."""
    return {(str(end.packet.destination), end.is_masqueraded) for end in ends}


def ending(ends: dict[Fate, Fraction]) -> set[str]:
    return {end.ending for end in ends}


SOURCES: list[tuple[IPv4Address, Origin]] = [
    (STRANGER, "forwarded"),
    (POD, "forwarded"),
    (OTHER_NODE, "forwarded"),
    (NODE, "node"),
]


@pytest.mark.parametrize(("source", "origin"), SOURCES)
def test_w26_a_node_port_leads_everybody_to_every_endpoint_as_the_node(
    source: IPv4Address, origin: Origin
) -> None:
    """W26: there was no NodePort, and no masquerade by which an answer would find back."""
    ends = met(rules(a_door(), both()), NODE, NODE_PORT, source, origin)

    assert led(ends) == {(HERE, True), (ELSEWHERE, True)}
    assert {end.packet.port for end in ends} == {8080}
    assert set(ends.values()) == {Fraction(1, 2)}


def test_a_node_port_is_not_at_the_loopback_address() -> None:
    loopback = IPv4Address("127.0.0.1")
    ends = met(rules(a_door(), both()), loopback, NODE_PORT, loopback, "node")

    assert led(ends) == {("127.0.0.1", False)}
    assert ending(ends) == {"passed"}


def test_a_node_port_of_another_node_is_left_to_that_node() -> None:
    ends = met(rules(a_door(), both()), OTHER_NODE, NODE_PORT, NODE, "node")

    assert led(ends) == {(str(OTHER_NODE), False)}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_node_port_without_endpoints_refuses(protocol: str) -> None:
    kind: Any = protocol.lower()
    found = rules(a_door(protocol=protocol), [])

    assert ending(met(found, NODE, NODE_PORT, protocol=kind)) == {"rejected"}
    assert ending(met(found, NODE, NODE_PORT, NODE, "node", protocol=kind)) == {"rejected"}
    other: Any = "udp" if kind == "tcp" else "tcp"
    assert ending(met(found, NODE, NODE_PORT, protocol=other)) == {"passed"}


def test_local_policy_keeps_the_address_of_who_comes_from_outside() -> None:
    found = rules(a_door(external_traffic_policy="Local"), both())

    assert led(met(found, NODE, NODE_PORT)) == {(HERE, False)}
    # The policy is about the outside: the cluster's own may go to any pod.
    assert led(met(found, NODE, NODE_PORT, POD)) == {(HERE, False), (ELSEWHERE, False)}
    own = met(found, NODE, NODE_PORT, NODE, "node")
    assert led(own) == {(HERE, True), (ELSEWHERE, True)}
    # The cluster IP has a policy of its own.
    assert led(met(found, CLUSTER_IP, 80, POD)) == {(HERE, False), (ELSEWHERE, False)}


def test_local_policy_drops_what_comes_to_a_node_without_an_endpoint() -> None:
    found = rules(a_door(external_traffic_policy="Local"), [an_endpoint(ELSEWHERE, node="n2")])

    assert ending(met(found, NODE, NODE_PORT)) == {"dropped"}
    assert led(met(found, NODE, NODE_PORT, POD)) == {(ELSEWHERE, False)}


def test_local_policy_serves_by_an_endpoint_that_ends_before_it_drops() -> None:
    """KEP-1669: the last pod of this node answers until it has ended."""
    going = an_endpoint(HERE, node="n1", is_going=True)
    found = rules(
        a_door(external_traffic_policy="Local"), [going, an_endpoint(ELSEWHERE, node="n2")]
    )

    assert led(met(found, NODE, NODE_PORT)) == {(HERE, False)}
    assert led(met(found, CLUSTER_IP, 80, POD)) == {(ELSEWHERE, False)}


def test_internal_local_policy_leads_to_this_nodes_endpoints_or_drops() -> None:
    inner = a_door("ClusterIP", internal_traffic_policy="Local")

    found = rules(inner, both())
    assert led(met(found, CLUSTER_IP, 80, POD)) == {(HERE, False)}
    assert led(met(found, CLUSTER_IP, 80, NODE, "node")) == {(HERE, True)}
    lonely = rules(inner, [an_endpoint(ELSEWHERE, node="n2")])
    assert ending(met(lonely, CLUSTER_IP, 80, POD)) == {"dropped"}
    assert ending(met(rules(inner, []), CLUSTER_IP, 80, POD)) == {"rejected"}


def test_an_external_ip_is_a_door_on_every_node() -> None:
    found = rules(a_door("ClusterIP", external_ips=(OUTER,)), both())

    for source, origin in SOURCES:
        assert led(met(found, OUTER, 80, source, origin)) == {(HERE, True), (ELSEWHERE, True)}
    assert led(met(found, OUTER, 81)) == {(OUTER, False)}
    empty = rules(a_door("ClusterIP", external_ips=(OUTER,)), [])
    assert ending(met(empty, OUTER, 80)) == {"rejected"}


@pytest.mark.parametrize("address", ["10.96.0.1", "10.244.1.9", "127.0.0.1", "169.254.20.10"])
def test_t23_an_external_ip_takes_over_no_address_of_the_cluster(address: str) -> None:
    compiler = Compiler(FACTS)
    service = a_door("ClusterIP", external_ips=(address,))

    found = compiler.compile([service], [a_slice(endpoints=both())])

    assert found == rules_for([a_door("ClusterIP")], [a_slice(endpoints=both())], FACTS)
    assert compiler.skipped == (f"service/default/web: external IP {address!r}",)


def test_an_address_of_the_pool_is_a_door_beside_the_node_port() -> None:
    found = rules(a_door("LoadBalancer"), both())

    assert led(met(found, POOLED, 80)) == {(HERE, True), (ELSEWHERE, True)}
    assert led(met(found, NODE, NODE_PORT)) == {(HERE, True), (ELSEWHERE, True)}
    local = rules(a_door("LoadBalancer", external_traffic_policy="Local"), both())
    assert led(met(local, POOLED, 80)) == {(HERE, False)}


def test_an_address_that_a_proxy_of_others_answers_is_no_door_of_the_nodes() -> None:
    one = a_door("LoadBalancer")
    (given,) = one.status.load_balancer.ingress
    proxied = LoadBalancer(ingress=(replaced(given, ip_mode="Proxy"),))
    found = rules(replaced(one, status=ServiceStatus(load_balancer=proxied)), both())

    assert led(met(found, POOLED, 80)) == {(POOLED, False)}


def test_source_ranges_close_the_address_of_the_pool_and_nothing_else() -> None:
    ranges = ("203.0.113.0/24", "198.51.100.128/25")
    found = rules(a_door("LoadBalancer", load_balancer_source_ranges=ranges), both())

    assert led(met(found, POOLED, 80)) == {(HERE, True), (ELSEWHERE, True)}
    assert ending(met(found, POOLED, 80, IPv4Address("192.0.2.77"))) == {"dropped"}
    assert led(met(found, NODE, NODE_PORT, IPv4Address("192.0.2.77"))) == {
        (HERE, True), (ELSEWHERE, True),
    }  # fmt: skip
    everywhere = a_door("LoadBalancer", load_balancer_source_ranges=("0.0.0.0/0",))
    assert led(met(rules(everywhere, both()), POOLED, 80)) == {(HERE, True), (ELSEWHERE, True)}


def test_w26_a_client_stays_with_the_pod_that_it_was_led_to() -> None:
    """W26: there was no affinity."""
    found = rules(a_door(session_affinity="ClientIP"), both())
    for to, port in ((CLUSTER_IP, 80), (str(NODE), NODE_PORT)):
        for end in met(found, to, port):
            assert len(end.packet.lists) == 1
            again = met(found, to, port, lists=end.packet.lists)
            assert led(again) == {(str(end.packet.destination), True)}
    texts = {word for rule in _all(found) for word in rule if "recent" in rule}
    assert "10800" in texts


def test_affinity_lasts_as_long_as_the_service_says() -> None:
    service = a_door("ClusterIP", session_affinity="ClientIP")
    config = service.spec.session_affinity_config
    assert config is not None
    assert config.client_ip is not None
    short = replaced(config, client_ip=replaced(config.client_ip, timeout_seconds=7))
    service = replaced(service, spec=replaced(service.spec, session_affinity_config=short))

    seconds = {
        rule[rule.index("--seconds") + 1]
        for rule in _all(rules(service, both()))
        if "--seconds" in rule
    }
    assert seconds == {"7"}


def test_an_external_name_has_no_rules() -> None:
    service = a_service(cluster_ip="")
    spec = replaced(service.spec, type="ExternalName", external_name="example.com")
    named = replaced(service, spec=spec).defaulted()

    assert rules(named, both()) == rules_for([], [], FACTS)


def test_udp_flows_of_every_door_are_known() -> None:
    one = a_door("LoadBalancer", protocol="UDP", external_ips=(OUTER,))
    found = udp_endpoints(rules(one, both()))

    ends = frozenset({HERE, ELSEWHERE})
    assert found == {
        Front(CLUSTER_IP, "80"): ends,
        Front(OUTER, "80"): ends,
        Front(POOLED, "80"): ends,
        Front("", str(NODE_PORT)): ends,
    }


def test_many_stale_flows_are_forgotten_by_few_commands() -> None:
    inner = [Flow(Front(f"10.96.0.{number}", "53")) for number in range(1, 40)]

    assert set(wide_fronts(inner, "10.96.0.0/16")) == {"10.96.0.0/16"}
    outer = [*inner, Flow(Front(OUTER, "53"))]
    assert set(wide_fronts(outer, "10.96.0.0/16")) == {"10.96.0.0/16", OUTER}
    assert set(wide_fronts([*outer, Flow(Front("", "30053"))], "10.96.0.0/16")) == {""}


def test_the_filter_table_is_the_same_for_every_service() -> None:
    """One change is one transaction of one table: no moment in which only half of it is there."""
    found = [rules(a_door(), both()), rules(a_door("LoadBalancer"), []), rules_for([], [], FACTS)]

    filters = [
        {place: one.chains[place] for place in one.chains if place.table == "filter"}
        for one in found
    ]
    assert filters[0] == filters[1] == filters[2]


def _all(found: RuleSet) -> list[tuple[str, ...]]:
    return [rule for chain in found.chains.values() for rule in chain]


def test_facts_without_a_node_know_no_local_endpoint() -> None:
    nameless = Facts(FACTS.pod_range, FACTS.service_range)
    found = rules_for(
        [a_door(external_traffic_policy="Local")], [a_slice(endpoints=both())], nameless
    )

    assert ending(met(found, NODE, NODE_PORT)) == {"dropped"}
    assert Chain("nat", "CUBE-NODEPORTS") in found.chains


def test_a_node_port_that_was_chosen_is_a_door_also_where_none_are_given() -> None:
    one = a_door("LoadBalancer", allocate_load_balancer_node_ports=False)
    none = replaced(one, spec=replaced(one.spec, ports=(replaced(one.spec.ports[0], node_port=0),)))

    assert {where for where, _ in led(met(rules(one, both()), NODE, NODE_PORT))} == {
        HERE,
        ELSEWHERE,
    }
    assert led(met(rules(none, both()), NODE, NODE_PORT)) == {(str(NODE), False)}
