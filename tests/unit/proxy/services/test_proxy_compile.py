"""The exact text of compiled rules, and what the compiler refuses to be disturbed by."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import EndpointConditions, EndpointPort
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.host.packetfilter.ruleset import Chain, FoundRules, RuleSet, restore_text
from proxy.services.compile import (
    ENDPOINT_PREFIX,
    SERVICE_PREFIX,
    SERVICES,
    Compiler,
    chain_for,
    odds_text,
    rules_for,
)
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.proxy.services.clusters import FACTS, World, worlds

GOLDEN = """\
*filter
:CUBE-FORWARD - [0:0]
:CUBE-REJECT - [0:0]
-A CUBE-FORWARD -s 10.244.0.0/16 -m conntrack --ctstate INVALID -j DROP
-A CUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A CUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CUBE-FORWARD -s 10.244.0.0/16 -j ACCEPT
-A CUBE-FORWARD -d 10.244.0.0/16 -j ACCEPT
-A CUBE-REJECT -m mark --mark 0x8000/0x8000 -j DROP
-A CUBE-REJECT -p tcp -m mark --mark 0x2000/0x2000 -j REJECT --reject-with tcp-reset
-A CUBE-REJECT -m mark --mark 0x2000/0x2000 -j REJECT --reject-with icmp-port-unreachable
-A CUBE-REJECT -d 10.96.0.0/16 -p tcp -j REJECT --reject-with tcp-reset
-A CUBE-REJECT -d 10.96.0.0/16 -j REJECT --reject-with icmp-port-unreachable
-I FORWARD -j CUBE-FORWARD
-I FORWARD -j CUBE-REJECT
-I INPUT -j CUBE-REJECT
-I OUTPUT -j CUBE-REJECT
COMMIT
*nat
:CUBE-MARK-DROP - [0:0]
:CUBE-MARK-MASQ - [0:0]
:CUBE-MARK-REJ - [0:0]
:CUBE-NODEPORTS - [0:0]
:CUBE-POSTROUTING - [0:0]
:CUBE-SEP-3SSW7NV6WQC4PSQP - [0:0]
:CUBE-SEP-5UBEIR7HEVNHJSBD - [0:0]
:CUBE-SERVICES - [0:0]
:CUBE-SVC-BXS7DJKIZOCSTRYA - [0:0]
-A CUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A CUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A CUBE-MARK-REJ -j MARK --set-xmark 0x2000/0x2000
-A CUBE-POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE --random-fully
-A CUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A CUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A CUBE-POSTROUTING -j MASQUERADE --random-fully
-A CUBE-SEP-3SSW7NV6WQC4PSQP -s 10.244.2.7/32 -j CUBE-MARK-MASQ
-A CUBE-SEP-3SSW7NV6WQC4PSQP -p tcp -j DNAT --to-destination 10.244.2.7:8080
-A CUBE-SEP-5UBEIR7HEVNHJSBD -s 10.244.1.2/32 -j CUBE-MARK-MASQ
-A CUBE-SEP-5UBEIR7HEVNHJSBD -p tcp -j DNAT --to-destination 10.244.1.2:8080
-A CUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web:http" \
-m tcp --dport 80 -j CUBE-SVC-BXS7DJKIZOCSTRYA
-A CUBE-SERVICES ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j CUBE-NODEPORTS
-A CUBE-SVC-BXS7DJKIZOCSTRYA ! -s 10.244.0.0/16 -j CUBE-MARK-MASQ
-A CUBE-SVC-BXS7DJKIZOCSTRYA -m statistic --mode random --probability \
0.50000000000 -j CUBE-SEP-5UBEIR7HEVNHJSBD
-A CUBE-SVC-BXS7DJKIZOCSTRYA -j CUBE-SEP-3SSW7NV6WQC4PSQP
-I OUTPUT -j CUBE-SERVICES
-I POSTROUTING -j CUBE-POSTROUTING
-I PREROUTING -j CUBE-SERVICES
COMMIT
"""


def test_the_text_of_one_service_with_two_endpoints() -> None:
    service = a_service(ports=[ServicePort(port=80, name="http", target_port=8080)])
    offered = [EndpointPort(name="http", port=8080)]
    pods = a_slice(addresses=["10.244.2.7", "10.244.1.2"], ports=offered)

    text = restore_text(FoundRules(), rules_for([service], [pods], FACTS))

    assert text == GOLDEN


def test_a_service_without_endpoints_adds_nothing_to_the_rules() -> None:
    assert rules_for([a_service()], [], FACTS) == rules_for([], [], FACTS)


def test_only_ready_endpoints_count_each_once() -> None:
    ready, unready = an_endpoint("10.244.1.2"), an_endpoint("10.244.1.3", is_ready=False)
    slices = [a_slice("a", endpoints=[ready, unready]), a_slice("b", endpoints=[ready])]

    rules = rules_for([a_service()], slices, FACTS)

    ends = [place for place in rules.chains if place.chain.startswith(ENDPOINT_PREFIX)]
    assert len(ends) == 1


def test_the_last_endpoints_that_still_serve_are_served_until_they_end() -> None:
    going, silent = an_endpoint("10.244.1.2", is_going=True), an_endpoint("10.244.1.3")
    silent = replaced(
        silent, conditions=EndpointConditions(ready=False, serving=False, terminating=True)
    )
    last = [a_slice("a", endpoints=[going, silent])]
    alone = rules_for([a_service()], [a_slice(addresses=["10.244.1.2"])], FACTS)

    assert rules_for([a_service()], last, FACTS) == alone

    # One that is ready, in whatever slice, is enough for those that go to get nothing new.
    newcomer = a_slice("b", addresses=["10.244.2.9"])
    with_newcomer = rules_for([a_service()], [*last, newcomer], FACTS)
    assert with_newcomer == rules_for([a_service()], [newcomer], FACTS)


def test_an_endpoint_that_is_not_ready_and_not_going_is_no_fallback() -> None:
    unready = replaced(an_endpoint(), conditions=EndpointConditions(ready=False, serving=True))

    assert rules_for([a_service()], [a_slice(endpoints=[unready])], FACTS) == rules_for(
        [], [], FACTS
    )


def test_headless_and_unaddressed_services_have_no_rules() -> None:
    slices = [a_slice(addresses=["10.244.1.2"])]
    for address in ("", "None"):
        service = a_service(cluster_ip=address)
        assert rules_for([service], slices, FACTS) == rules_for([], [], FACTS)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "10.244.0.1", "127.0.0.1", "10.96.0.300", "x", "10.96.0.1 -j ACCEPT"]
)
def test_w3_one_bad_service_is_left_out_and_the_others_are_served(address: str) -> None:
    good, bad = a_service("good"), a_service("bad", cluster_ip=address)
    slices = [
        a_slice(f"{name}-1", service=name, addresses=["10.244.1.2"]) for name in ("good", "bad")
    ]
    compiler = Compiler(FACTS)

    rules = compiler.compile([good, bad], slices)

    assert rules == rules_for([good], slices, FACTS)
    assert compiler.skipped == (f"service/default/bad: cluster IP {address!r}",)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255", "pod"]
)
def test_an_endpoint_cannot_point_into_a_node(address: str) -> None:
    slices = [a_slice(addresses=[address, "10.244.1.2"])]
    compiler = Compiler(FACTS)

    rules = compiler.compile([a_service()], slices)

    assert rules == rules_for([a_service()], [a_slice(addresses=["10.244.1.2"])], FACTS)
    assert compiler.skipped == (f"service/default/web: endpoint {address!r}",)


def test_w3_a_port_without_protocol_or_target_is_tcp_and_served() -> None:
    service = a_service(ports=[ServicePort(port=80)])
    rules = rules_for([service], [a_slice(addresses=["10.244.1.2"])], FACTS)

    assert any("tcp" in rule for rule in rules.chains[Chain("nat", SERVICES)])


def test_slice_ports_are_met_by_name_and_protocol() -> None:
    ports = [
        ServicePort(port=53, name="dns", protocol="UDP"),
        ServicePort(port=53, name="dns-tcp", protocol="TCP"),
    ]
    offered = [EndpointPort(name="dns", protocol="UDP", port=5353)]
    rules = rules_for(
        [a_service(ports=ports)], [a_slice(addresses=["10.244.1.2"], ports=offered)], FACTS
    )

    front, _ = rules.chains[Chain("nat", SERVICES)]
    assert front[:4] == ("-d", "10.96.0.10/32", "-p", "udp")


def test_names_that_do_not_suit_a_comment_are_left_out_of_it() -> None:
    good = a_service()
    bad = replaced(good, metadata=ObjectMeta(name='x" -j ACCEPT\n-I INPUT', namespace="default"))
    slices = [a_slice(service=bad.metadata.name, addresses=["10.244.1.2"])]

    text = restore_text(FoundRules(), rules_for([bad], slices, FACTS))

    assert "comment" not in text
    assert text.count("INPUT") == text.count("-I INPUT -j CUBE-REJECT\n") == 1


def test_chain_names_fit_iptables_and_differ() -> None:
    names = {chain_for(SERVICE_PREFIX, f"{'n' * 63}/{'s' * 63}/{index}") for index in range(2000)}

    assert len(names) == 2000
    assert max(map(len, names)) <= 28


@given(worlds())
def test_the_order_of_arrival_does_not_reach_the_text(world: World) -> None:
    services, slices = world
    mixed = (services[::-1], slices[::-1])

    assert _text(rules_for(*mixed, FACTS)) == _text(rules_for(services, slices, FACTS))


@given(st.lists(worlds(), min_size=1, max_size=4))
def test_a_remembering_compiler_gives_what_a_fresh_one_gives(story: list[World]) -> None:
    compiler = Compiler(FACTS)
    for services, slices in [*story, *story[::-1]]:
        assert compiler.compile(services, slices) == rules_for(services, slices, FACTS)


def test_a_remembering_compiler_sees_a_service_that_changed_before_the_same_pods() -> None:
    compiler, pods = Compiler(FACTS), [a_slice(addresses=["10.244.1.2"])]
    compiler.compile([a_service()], pods)
    moved = a_service(ports=[ServicePort(port=81)])

    assert compiler.compile([moved], pods) == rules_for([moved], pods, FACTS)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 200, 1000])
def test_w26_every_endpoint_has_the_same_weight(count: int) -> None:
    """Exact arithmetic with the 31-bit numbers that the kernel compares.

    An endpoint's share differs from 1/count by less than one step of the kernel's own die.
    """
    rest = Fraction(1)
    for left in range(count, 0, -1):
        odds = (
            Fraction(1) if left == 1 else Fraction(round(Fraction(odds_text(left)) * 2**31), 2**31)
        )
        share = rest * odds
        rest -= share
        assert abs(share - Fraction(1, count)) < Fraction(1, 2**31)
    assert rest == 0


@given(st.integers(1, 2**20))
def test_eleven_digits_name_the_kernels_number_exactly(left: int) -> None:
    assert round(Fraction(odds_text(left)) * 2**31) == round(Fraction(2**31, left))


def _text(rules: RuleSet) -> str:
    return restore_text(FoundRules(), rules)


def test_one_change_among_many_compiles_one_service() -> None:
    services: list[Service] = [a_service(f"s{n}", cluster_ip=f"10.96.1.{n + 1}") for n in range(50)]
    slices = [a_slice(f"s{n}-1", service=f"s{n}", addresses=["10.244.1.2"]) for n in range(50)]
    compiler = Compiler(FACTS)
    before = compiler.compile(services, slices)
    slices[7] = a_slice("s7-1", service="s7", addresses=["10.244.1.9"])

    after = compiler.compile(services, slices)

    # The very same tuples: comparing them costs nothing.
    shared = [place for place in after.chains if after.chains[place] is before.chains.get(place)]
    changed = [place for place in after.chains if after.chains[place] != before.chains.get(place)]
    assert len(changed) == 2
    assert len(shared) >= 2 * 49
