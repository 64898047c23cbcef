"""Laws of mending: acts carried out leave nothing to do, cut off anywhere they lead to the same."""

import random
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.network.driver import Peer
from kubelet.network.facts import (
    POD_DEVICE,
    UNICAST,
    Act,
    Drop,
    Facts,
    Here,
    Kind,
    NetworkPart,
    Pair,
    Put,
    Route,
    State,
    Tunnel,
    Value,
    acts,
    node_wanted,
    pod_wanted,
    told,
    without_peers,
)
from kubelet.network.overlay import DEVICE, Overlay, host_end, overlay_for

NODE = IPv4Address("192.0.2.1")
HERE = Here(NODE, 2, 1450, IPv4Network("10.244.1.0/24"), 203, 8472)
PEERS = overlay_for(
    [
        Peer("b", IPv4Address("192.0.2.2"), IPv4Network("10.244.2.0/24")),
        Peer("c", IPv4Address("192.0.2.3"), IPv4Network("10.244.3.0/24")),
    ],
    HERE.pod_cidr,
)
UID = "uid-1"
OF_NODE = node_wanted(HERE, PEERS)
OF_POD = pod_wanted(UID, IPv4Address("10.244.1.2"), HERE)
STRAYS: Facts = {
    NetworkPart(Kind.ENTRY, "", DEVICE, "00:00:00:00:00:00"): "198.51.100.9",
    NetworkPart(Kind.NEIGHBOUR, "", DEVICE, "10.244.9.0"): "02:cb:0a:f4:09:00",
    NetworkPart(Kind.ROUTE, "", "", "10.244.9.0/24"): Route(
        UNICAST, DEVICE, IPv4Address("10.244.9.0")
    ),
    NetworkPart(Kind.ADDRESS, "", DEVICE, "10.244.7.0/32"): "",
}


class Refused(Exception):
    """A kernel would not do this now."""


class Kernel:
    """The kernel on paper: what hangs on a device is there only while the device is."""

    def __init__(self, facts: Facts) -> None:
        self.facts: dict[NetworkPart, Value] = dict(facts)

    def carry_out(self, act: Act) -> None:
        part, value = act
        if isinstance(act, Drop):
            if part not in self.facts:
                raise Refused(f"nothing to drop: {part}")
            del self.facts[part]
        elif part.kind is Kind.DEVICE:
            self.lose(part)
            self.facts[part] = value
        else:
            device = value.device if isinstance(value, Route) else part.device
            if device and device != "lo" and not self.has(device):
                raise Refused(f"no device: {part}")
            self.facts[part] = value

    def has(self, device: str) -> bool:
        made = {one.device for one in self.facts if one.kind is Kind.DEVICE}
        is_paired = any(isinstance(one, Pair) for one in self.facts.values())
        return device in made or (device == POD_DEVICE and is_paired)

    def lose(self, device: NetworkPart) -> None:
        """Take a device away: everything that hangs on it goes with it."""
        names = {device.device}
        names |= {POD_DEVICE} if isinstance(self.facts.get(device), Pair) else set()
        for part, value in list(self.facts.items()):
            if part.device in names or (isinstance(value, Route) and value.device in names):
                del self.facts[part]


def spoilt(wanted: Facts, seed: int) -> Kernel:
    """Return a kernel to which things have happened."""
    rng = random.Random(seed)
    kernel = Kernel(wanted)
    for part in sorted(wanted):
        chance = rng.random()
        if part not in kernel.facts:
            continue
        if part.kind is Kind.DEVICE:
            if chance < 0.4:
                kernel.lose(part)
        elif chance < 0.3:
            del kernel.facts[part]
        elif chance < 0.5:
            kernel.facts[part] = other_than(wanted[part])
    if wanted is OF_NODE and kernel.has(DEVICE):
        kernel.facts |= {part: STRAYS[part] for part in sorted(STRAYS) if rng.random() < 0.5}
    return kernel


def other_than(value: Value) -> Value:
    match value:
        case State(mtu, _, alias):
            return State(mtu + 1, False, alias)
        case Route():
            return value._replace(protocol=3, source=None)
        case Tunnel() | Pair():
            raise AssertionError("a device of another make is a device that is lost")
        case str():
            return f"{value}0"


WANTED: Mapping[str, Facts] = {"node": OF_NODE, "pod": OF_POD}


@pytest.mark.parametrize("whose", WANTED)
@given(seed=st.integers(0, 10**6))
def test_what_is_carried_out_leaves_nothing_to_do(whose: str, seed: int) -> None:
    wanted = WANTED[whose]
    kernel = spoilt(wanted, seed)
    for act in acts(kernel.facts, wanted):
        kernel.carry_out(act)

    assert kernel.facts == wanted
    assert acts(kernel.facts, wanted) == []


@pytest.mark.parametrize("whose", WANTED)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 30))
def test_cut_off_anywhere_the_next_look_ends_at_the_same(whose: str, seed: int, cut: int) -> None:
    wanted = WANTED[whose]
    kernel = spoilt(wanted, seed)
    for act in acts(kernel.facts, wanted)[:cut]:
        kernel.carry_out(act)
    for act in acts(kernel.facts, wanted):
        kernel.carry_out(act)

    assert kernel.facts == wanted


@given(seed=st.integers(0, 10**6))
def test_what_is_as_it_should_be_is_not_touched(seed: int) -> None:
    kernel = spoilt(OF_POD, seed)
    before = dict(kernel.facts)
    is_rewired = any(act.part.kind is Kind.DEVICE for act in acts(before, OF_POD))
    for act in acts(before, OF_POD):
        is_same = before.get(act.part) == OF_POD.get(act.part)
        assert isinstance(act, Drop) or is_rewired or not is_same


def test_a_pod_whose_wire_is_whole_is_not_wired_anew_for_a_lost_route() -> None:
    route = NetworkPart(Kind.ROUTE, "", "", "10.244.1.2/32")
    found = {part: value for part, value in OF_POD.items() if part != route}

    assert acts(found, OF_POD) == [Put(route, OF_POD[route])]
    assert told(acts(found, OF_POD)) == "route 10.244.1.2/32"


def test_a_pair_that_is_gone_is_made_with_all_that_hung_on_it() -> None:
    device = NetworkPart(Kind.DEVICE, "", host_end(UID))
    found = {part: value for part, value in OF_POD.items() if part != device}

    first, *others = acts(found, OF_POD)
    assert first == Put(device, OF_POD[device])
    hanging = OF_POD.keys() - {device, NetworkPart(Kind.STATE, UID, "lo")}
    assert {act.part for act in others} == hanging


def test_a_way_for_packets_that_is_not_wanted_goes_before_new_ones_come() -> None:
    planned = acts({**OF_NODE, **STRAYS}, node_wanted(HERE, Overlay()))
    gone = [act.part.kind for act in planned if isinstance(act, Drop)]

    assert len(planned) == len(gone) == len(STRAYS) + 6
    assert gone == sorted(gone, reverse=True)


def test_who_has_not_heard_of_its_peers_leaves_the_ways_to_them() -> None:
    unheard = node_wanted(HERE, Overlay())

    assert acts(without_peers(OF_NODE), unheard) == []
    stray = {NetworkPart(Kind.ROUTE, "", "", "10.244.8.0/24"): Route(7)}
    assert [act.part.key for act in acts(without_peers({**OF_NODE, **stray}), unheard)] == [
        "10.244.8.0/24"
    ]


def test_no_pod_is_believed_about_its_address() -> None:
    wire = host_end(UID)
    settings = {part.key: value for part, value in OF_POD.items() if part.kind is Kind.SETTING}

    assert settings == {
        f"ipv4/conf/{wire}/forwarding": "1",
        f"ipv4/conf/{wire}/rp_filter": "1",
        f"ipv4/conf/{wire}/arp_ignore": "8",
        f"ipv6/conf/{wire}/disable_ipv6": "1",
    }
