"""What compiled rules mean: packets traced through them, every branch with its probability."""

from fractions import Fraction
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.services.compile import rules_for
from proxy.services.packets import Fate, Origin, Packet, UnknownWord, fates
from tests.given import a_service, a_slice
from tests.unit.proxy.services.clusters import FACTS, World, worlds

POD, NODE, STRANGER = (IPv4Address(text) for text in ("10.244.9.9", "192.0.2.1", "203.0.113.5"))
STEP = Fraction(1, 2**31)


def serving_behind(
    service: Service, port: ServicePort, slices: list[EndpointSlice]
) -> set[tuple[str, int]]:
    """Say again, plainly, who should answer for a port: the ready, else those that go and serve."""
    offered = [
        (endpoint.addresses[0], offer.port, endpoint.conditions)
        for one in slices
        if one.service_name == service.metadata.name
        for offer in one.ports
        if (offer.name, offer.protocol) == (port.name, port.protocol)
        for endpoint in one.endpoints
    ]
    ready = {(address, number) for address, number, state in offered if state.ready}
    return ready or {
        (address, number)
        for address, number, state in offered
        if state.serving and state.terminating
    }


def a_packet(source: IPv4Address, destination: str, port: int, protocol: str = "tcp") -> Packet:
    kind = "udp" if protocol.lower() == "udp" else "tcp"
    return Packet(source, IPv4Address(destination), port, "udp" if kind == "udp" else "tcp")


def arrivals(ends: dict[Fate, Fraction]) -> dict[tuple[str, int], Fraction]:
    return {(str(end.packet.destination), end.packet.port): odds for end, odds in ends.items()}


@given(worlds())
def test_w25_w26_a_connection_meets_each_serving_endpoint_equally_and_no_other(
    world: World,
) -> None:
    services, slices = world
    rules = rules_for(services, slices, FACTS)
    for service in services:
        for port in service.spec.ports:
            wanted = serving_behind(service, port, slices)
            ways: list[tuple[IPv4Address, Origin]] = [
                (POD, "forwarded"), (NODE, "node"), (STRANGER, "forwarded"),
            ]  # fmt: skip
            for source, origin in ways:
                address = service.spec.cluster_ip
                packet = a_packet(source, address, port.port, port.protocol)
                ends = fates(rules, packet, origin)

                assert sum(ends.values()) == 1
                if not wanted:
                    assert {end.ending for end in ends} == {"rejected"}
                    continue
                shares = arrivals(ends)
                assert shares.keys() == wanted
                assert all(abs(odds - Fraction(1, len(wanted))) < STEP for odds in shares.values())
                assert {end.is_masqueraded for end in ends} == {source != POD}
                assert {end.packet.mark for end in ends} == {0}
                passing = "accepted" if origin == "forwarded" else "passed"
                assert {end.ending for end in ends} == {passing}


@given(worlds())
def test_w26_a_pod_that_meets_itself_is_masqueraded(world: World) -> None:
    services, slices = world
    rules = rules_for(services, slices, FACTS)
    for service in services:
        for port in service.spec.ports:
            for address, _ in sorted(serving_behind(service, port, slices)):
                packet = a_packet(
                    IPv4Address(address), service.spec.cluster_ip, port.port, port.protocol
                )
                for end in fates(rules, packet, "forwarded"):
                    is_itself = end.packet.destination == packet.source
                    assert end.is_masqueraded == is_itself


@given(worlds())
def test_what_is_not_for_a_service_is_left_alone(world: World) -> None:
    rules = rules_for(*world, FACTS)
    for destination, origin in (("198.51.100.7", "node"), ("198.51.100.7", "forwarded")):
        packet = a_packet(NODE, destination, 80)
        way: Origin = "node" if origin == "node" else "forwarded"
        assert fates(rules, packet, way) == {Fate("passed", packet): Fraction(1)}


def test_a_port_that_no_service_has_is_refused_at_once() -> None:
    rules = rules_for([a_service()], [a_slice(addresses=["10.244.1.2"])], FACTS)
    for packet in (a_packet(POD, "10.96.0.10", 81), a_packet(POD, "10.96.7.7", 53, "udp")):
        assert fates(rules, packet, "forwarded") == {Fate("rejected", packet): Fraction(1)}


def test_the_same_number_in_tcp_and_udp_is_two_ports() -> None:
    ports = [
        ServicePort(port=53, name="dns", protocol="UDP"),
        ServicePort(port=53, name="dns-tcp", protocol="TCP"),
    ]
    offered = [
        EndpointPort(name="dns", protocol="UDP", port=5353),
        EndpointPort(name="dns-tcp", protocol="TCP", port=5354),
    ]
    pods = a_slice(addresses=["10.244.1.2"], ports=offered)
    rules = rules_for([a_service(ports=ports)], [pods], FACTS)

    tcp = fates(rules, a_packet(POD, "10.96.0.10", 53), "forwarded")
    udp = fates(rules, a_packet(POD, "10.96.0.10", 53, "udp"), "forwarded")
    assert arrivals(tcp) == {("10.244.1.2", 5354): Fraction(1)}
    assert arrivals(udp) == {("10.244.1.2", 5353): Fraction(1)}


def test_pods_pass_a_host_whose_own_policy_is_strict() -> None:
    rules = rules_for([], [], FACTS)
    for source, destination in ((POD, "10.244.1.2"), (POD, "198.51.100.7"), (NODE, "10.244.1.2")):
        (end,) = fates(rules, a_packet(source, destination, 80), "forwarded")
        assert end.ending == "accepted"


def test_an_answer_that_conntrack_cannot_place_does_not_leave_a_pod() -> None:
    rules = rules_for([], [], FACTS)
    packet = Packet(POD, NODE, 4711, state="INVALID")

    (end,) = fates(rules, packet, "forwarded")

    assert end.ending == "dropped"


@pytest.mark.parametrize(
    "rule",
    [
        ("-m", "owner", "--uid-owner", "0", "-j", "ACCEPT"),
        ("-j", "CUBE-NOWHERE"),
        ("-s", "0.0.0.0/0"),
    ],
)
def test_a_word_that_the_tracer_does_not_know_is_not_guessed(rule: tuple[str, ...]) -> None:
    rules = RuleSet({}, {Chain("nat", "OUTPUT"): (rule,)})
    with pytest.raises(UnknownWord):
        fates(rules, a_packet(NODE, "10.96.0.10", 80), "node")


def test_a_pod_reaches_the_world_as_its_node_and_other_pods_as_itself() -> None:
    rules = rules_for([], [], FACTS)
    for destination, is_masqueraded in (("203.0.113.5", True), ("10.244.3.4", False)):
        ends = fates(rules, a_packet(POD, destination, 443), "forwarded")

        assert {end.is_masqueraded for end in ends} == {is_masqueraded}
        assert {end.ending for end in ends} == {"accepted"}
    (answer,) = fates(rules, a_packet(NODE, "203.0.113.5", 443), "node")
    assert not answer.is_masqueraded
