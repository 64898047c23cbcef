"""What pods and strangers may send, as rules."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.packetfilter.ruleset import Chain, FoundRules, restore_text
from kubelet.network.driver import Peer
from kubelet.network.guard import (
    FORWARD,
    IN,
    NODES,
    OUT,
    OVERLAY,
    OWNER,
    SOURCES,
    Bounds,
    rules_for,
)
from kubelet.network.overlay import DEVICE, host_end

BOUNDS = Bounds(IPv4Network("10.244.0.0/16"), (8472,), (10250, 2379))
PEERS = [
    Peer("n3", IPv4Address("192.168.78.13"), IPv4Network("10.244.3.0/24")),
    Peer("n2", IPv4Address("192.168.78.12"), IPv4Network("10.244.2.0/24")),
]
TEXT = """\
*mangle
:CUBE-GUARD-FWD - [0:0]
:CUBE-GUARD-IN - [0:0]
:CUBE-GUARD-NODES - [0:0]
:CUBE-GUARD-OVERLAY - [0:0]
-A CUBE-GUARD-FWD ! -o cube+ -p udp -m udp --dport 8472 -j DROP
-A CUBE-GUARD-FWD -i cube+ ! -o cube+ -p tcp -m multiport --dports 2379,10250 -j CUBE-GUARD-NODES
-A CUBE-GUARD-IN -p udp -m udp --dport 8472 -j CUBE-GUARD-OVERLAY
-A CUBE-GUARD-IN -i cube+ -p tcp -m multiport --dports 2379,10250 -j DROP
-A CUBE-GUARD-NODES -d 192.168.78.12/32 -j DROP
-A CUBE-GUARD-NODES -d 192.168.78.13/32 -j DROP
-A CUBE-GUARD-OVERLAY -i cube+ -j DROP
-A CUBE-GUARD-OVERLAY -s 192.168.78.12/32 -j RETURN
-A CUBE-GUARD-OVERLAY -s 192.168.78.13/32 -j RETURN
-A CUBE-GUARD-OVERLAY -j DROP
-I FORWARD -j CUBE-GUARD-FWD
-I INPUT -j CUBE-GUARD-IN
COMMIT
*raw
:CUBE-GUARD - [0:0]
-A CUBE-GUARD -i lo -j RETURN
-A CUBE-GUARD -i cube+ -m rpfilter --invert -j DROP
-A CUBE-GUARD -s 10.244.0.0/16 ! -i cube+ -j DROP
-I PREROUTING -j CUBE-GUARD
COMMIT
"""


def test_the_text_for_a_node_with_two_others() -> None:
    assert restore_text(FoundRules(), rules_for(BOUNDS, PEERS)) == TEXT


def test_what_names_are_asked_is_not_tracked_and_only_pods_and_the_node_may_ask() -> None:
    bounds = replace(BOUNDS, resolvers=("169.254.20.10",))

    rules = rules_for(bounds, PEERS)
    question = ("-d", "169.254.20.10/32", "-p", "udp", "-m", "udp", "--dport", "53")
    answer = ("-s", "169.254.20.10/32", "-p", "udp", "-m", "udp", "--sport", "53")
    untracked = tuple((*one, "-j", "CT", "--notrack") for one in (question, answer))
    assert rules.chains[Chain("raw", OUT)] == untracked
    assert rules.chains[Chain("raw", SOURCES)][:2] == untracked
    assert rules.jumps[Chain("raw", "OUTPUT")] == (("-j", OUT),)
    assert rules.chains[Chain("mangle", IN)][-2:] == (
        ("-i", "lo", "-j", "RETURN"),
        ("-d", "169.254.20.10/32", "!", "-i", "cube+", "-j", "DROP"),
    )
    assert {one.chain for one in rules.chains} <= OWNER.names


def test_of_several_wires_each_lets_its_pods_pass_and_nothing_else_does() -> None:
    bounds = replace(BOUNDS, wires=("cube+", "cni0"), resolvers=("169.254.20.10",))
    rules = rules_for(bounds, PEERS)
    sources, forward = rules.chains[Chain("raw", SOURCES)], rules.chains[Chain("mangle", FORWARD)]
    overlay = ("-p", "udp", "-m", "udp", "--dport", "8472")

    assert sources[-4:] == (
        ("-i", "cube+", "-m", "rpfilter", "--invert", "-j", "DROP"),
        ("-i", "cni0", "-m", "rpfilter", "--invert", "-j", "DROP"),
        ("-s", "10.244.0.0/16", "-i", "cube+", "-j", "RETURN"),
        ("-s", "10.244.0.0/16", "!", "-i", "cni0", "-j", "DROP"),
    )
    assert forward[:2] == (
        ("-o", "cube+", *overlay, "-j", "RETURN"),
        ("!", "-o", "cni0", *overlay, "-j", "DROP"),
    )
    assert rules.chains[Chain("mangle", IN)][-2:] == (
        ("-d", "169.254.20.10/32", "-i", "cube+", "-j", "RETURN"),
        ("-d", "169.254.20.10/32", "!", "-i", "cni0", "-j", "DROP"),
    )
    assert rules.chains[Chain("mangle", OVERLAY)][:2] == (
        ("-i", "cube+", "-j", "DROP"),
        ("-i", "cni0", "-j", "DROP"),
    )


def test_where_no_wire_is_known_pods_are_known_by_their_addresses() -> None:
    bounds = replace(BOUNDS, wires=(), resolvers=("169.254.20.10",))
    rules = rules_for(bounds, PEERS)
    pods, ports = (
        ("-s", "10.244.0.0/16"),
        ("-p", "tcp", "-m", "multiport", "--dports", "2379,10250"),
    )

    assert not [rule for rule in rules.chains[Chain("raw", SOURCES)] if "rpfilter" in rule]
    inwards = rules.chains[Chain("mangle", IN)]
    assert (*pods, *ports, "-j", "DROP") in inwards
    assert inwards[-1] == ("!", *pods, "-d", "169.254.20.10/32", "-j", "DROP")
    assert rules.chains[Chain("mangle", FORWARD)] == ((*pods, *ports, "-j", NODES),)
    assert rules.chains[Chain("mangle", OVERLAY)][0] == (*pods, "-j", "DROP")


def test_a_node_that_knows_no_other_takes_no_overlay_packets() -> None:
    rules = rules_for(BOUNDS, [])

    assert rules.chains[Chain("mangle", OVERLAY)][-1] == ("-j", "DROP")
    assert not [rule for rule in rules.chains[Chain("mangle", OVERLAY)] if "RETURN" in rule]
    assert rules.chains[Chain("mangle", NODES)] == ()


def test_the_order_of_the_nodes_does_not_matter() -> None:
    assert rules_for(BOUNDS, PEERS) == rules_for(BOUNDS, reversed(PEERS))


def test_every_chain_is_owned_so_that_reset_finds_it() -> None:
    assert all(OWNER.owns(place.chain) for place in rules_for(BOUNDS, PEERS).chains)


def test_the_devices_of_pods_and_the_overlay_have_the_names_that_the_rules_mean() -> None:
    assert DEVICE.startswith("cube")
    assert host_end("any-uid").startswith("cube")
