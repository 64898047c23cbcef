"""The overlay as data: both ends compute the same, and differences are exact."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from kubelet.network.driver import Peer
from kubelet.network.overlay import (
    host_end,
    host_mac,
    is_host_end,
    lacking,
    node_mac,
    overlay_for,
    pod_mac,
    surplus,
    weave_overlay_for,
)

OWN = IPv4Network("10.244.0.0/24")


def a_peer(number: int, name: str = "") -> Peer:
    cidr = IPv4Network(f"10.244.{number}.0/24")
    return Peer(name or f"n{number}", IPv4Address(f"192.0.2.{number}"), cidr)


peers = st.lists(st.integers(1, 200), unique=True, max_size=20).map(
    lambda numbers: [a_peer(number) for number in numbers]
)


@given(st.uuids().map(str))
def test_a_host_end_fits_the_kernel_and_is_known_again(uid: str) -> None:
    assert len(host_end(uid)) == 15
    assert is_host_end(host_end(uid))
    assert not is_host_end("cube-vxlan")


@given(st.uuids().map(str))
def test_macs_are_local_unicast_and_differ_at_the_two_ends(uid: str) -> None:
    for mac in (host_mac(uid), pod_mac(uid), node_mac(OWN)):
        first = int(mac.split(":")[0], 16)
        assert len(mac.split(":")) == 6
        assert first & 0b11 == 0b10
    assert host_mac(uid) != pod_mac(uid)


def test_a_nodes_mac_follows_from_its_range() -> None:
    assert node_mac(IPv4Network("10.244.1.0/24")) == "02:cb:0a:f4:01:00"


@given(peers, st.randoms())
def test_the_order_of_peers_does_not_matter(found: list[Peer], chance: object) -> None:
    assert overlay_for(found, OWN) == overlay_for(reversed(found), OWN)


@given(peers)
def test_every_peer_has_its_three_entries_and_they_fit_together(found: list[Peer]) -> None:
    overlay = overlay_for(found, OWN)
    for peer in found:
        gateway = overlay.routes[peer.pod_cidr]
        assert overlay.forwarding[overlay.neighbours[gateway]] == peer.address
    assert len(overlay.routes) == len(overlay.neighbours) == len(overlay.forwarding) == len(found)


def test_a_range_that_overlaps_is_left_out() -> None:
    wide = Peer("wide", IPv4Address("192.0.2.9"), IPv4Network("10.244.0.0/16"))
    twin = a_peer(3, "twin")
    assert overlay_for([wide], OWN).routes == {}
    assert len(overlay_for([a_peer(3, "first"), twin], OWN).routes) == 1


@given(peers, peers)
def test_a_difference_carried_out_leaves_none(before: list[Peer], after: list[Peer]) -> None:
    found, wanted = overlay_for(before, OWN), overlay_for(after, OWN)
    table = dict(found.forwarding)
    for mac in surplus(found.forwarding, wanted.forwarding):
        del table[mac]
    table |= dict(lacking(table, wanted.forwarding))
    assert table == wanted.forwarding
    assert not surplus(table, wanted.forwarding)
    assert not lacking(table, wanted.forwarding)


@given(peers)
def test_what_is_as_wanted_is_not_touched(found: list[Peer]) -> None:
    overlay = overlay_for(found, OWN)
    assert lacking(overlay.routes, overlay.routes) == []
    assert surplus(overlay.routes, overlay.routes) == []


def test_what_fits_is_told_for_the_ways_that_are_known_alone() -> None:
    known, unknown = replace(a_peer(1), mtu_bytes=1400), a_peer(2)

    assert overlay_for([known, unknown], OWN).mtus == {known.pod_cidr: 1350}
    assert weave_overlay_for([known, unknown], OWN).mtus == {known.pod_cidr: 1276}
