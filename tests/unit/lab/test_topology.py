"""A lab's names and addresses follow from its name, its size and its subnet."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.topology import (
    NODE_COUNT_MAX,
    SUBNETS,
    BadTopology,
    free_subnets,
    topology_for,
)

LINUX_LINK_NAME_MAX = 15


def test_node_two_is_twelve() -> None:
    topology = topology_for("lab", 3, SUBNETS[0])

    second = topology.node("n2")

    assert (str(second.address), second.mac) == ("192.168.78.12", "02:42:4e:00:4e:0c")
    assert str(topology.gateway) == "192.168.78.1"


@given(
    name=st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True),
    count=st.integers(1, NODE_COUNT_MAX),
    subnet=st.sampled_from(SUBNETS),
)
def test_every_lab_within_limits_has_distinct_addresses_and_short_names(
    name: str, count: int, subnet: IPv4Network
) -> None:
    topology = topology_for(name, count, subnet)

    addresses = {node.address for node in topology.nodes} | {topology.gateway}

    assert len(addresses) == count + 1
    assert all(address in subnet for address in addresses)
    assert len({node.mac for node in topology.nodes}) == count
    assert len(topology.uplink) <= LINUX_LINK_NAME_MAX


def test_no_two_subnets_share_a_mac() -> None:
    macs = [node.mac for net in SUBNETS for node in topology_for("lab", 9, net).nodes]

    assert len(set(macs)) == len(macs)


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "lab-1", "l" * 11, "../x", "a b"])
def test_a_bad_name_is_refused_by_its_rule(name: str) -> None:
    with pytest.raises(BadTopology, match="lower-case letter"):
        topology_for(name, 3, SUBNETS[0])


@pytest.mark.parametrize("count", [-1, 0, 10])
def test_a_bad_count_is_refused_with_the_limit(count: int) -> None:
    with pytest.raises(BadTopology, match="1 to 9 nodes"):
        topology_for("lab", count, SUBNETS[0])


def test_an_unknown_node_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadTopology, match="no node n4, only n1, n2, n3"):
        topology_for("lab", 3, SUBNETS[0]).node("n4")


@given(taken=st.sets(st.sampled_from(SUBNETS), max_size=len(SUBNETS) - 1))
def test_a_free_subnet_overlaps_nothing_taken(taken: set[IPv4Network]) -> None:
    assert not set(free_subnets(taken, 1)) & set(taken)


def test_a_wider_network_of_the_machine_takes_every_subnet() -> None:
    with pytest.raises(BadTopology, match="taken"):
        free_subnets([IPv4Network("192.168.0.0/16")], 1)


def test_nodes_are_dealt_out_to_subnets_and_a_router_is_between() -> None:
    topology = topology_for("lab", 3, *SUBNETS[:2])

    assert [str(one.address) for one in topology.nodes] == [
        "192.168.78.11",
        "192.168.79.12",
        "192.168.78.13",
    ]
    assert [str(topology.way_out(one)) for one in SUBNETS[:2]] == [
        "192.168.78.254",
        "192.168.79.254",
    ]
    assert len({topology.bridge(one) for one in SUBNETS[:2]}) == 2


def test_in_one_subnet_nobody_routes() -> None:
    topology = topology_for("lab", 3, SUBNETS[0])

    assert not topology.is_routed
    assert topology.way_out(SUBNETS[0]) == topology.gateway


@pytest.mark.parametrize("count", [0, 5])
def test_a_lab_with_too_many_subnets_is_refused(count: int) -> None:
    with pytest.raises(BadTopology, match="1 to 4 subnets"):
        free_subnets([], count)


def test_each_subnet_needs_a_node() -> None:
    with pytest.raises(BadTopology, match="each with a node"):
        topology_for("lab", 1, *SUBNETS[:2])
