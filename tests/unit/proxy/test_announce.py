"""Which node announces an address, how it is told, and how it is found again to be taken back."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.node import Node
from cubernetes.api.core.service import ANNOUNCED, Service
from cubernetes.api.meta import replaced
from cubernetes.host.command import CommandFailed
from proxy.announce.addresses import announcement, device_of, label_of, ours_in
from proxy.announce.choice import (
    CANDIDATES_MAX,
    DEAD_AFTER_S,
    EXCLUDED_LABEL,
    RENEW_S,
    Liveness,
    candidates_for,
    held_by,
    ranked,
)
from tests.given import NOW, a_condition, a_node, a_slice, an_endpoint
from tests.unit.proxy.services.doors import POOLED, a_door

NAMES = [f"n{number}" for number in range(1, 8)]


def announced(**spec: Any) -> Service:
    one = a_door("LoadBalancer", **spec)
    meta = replaced(one.metadata, annotations={ANNOUNCED: POOLED})
    return replaced(one, metadata=meta)


def ready(name: str, status: Any = "True") -> Node:
    one = a_node(name)
    conditions = (a_condition("Ready", status),)
    return replaced(one, status=replaced(one.status, conditions=conditions))


@given(st.permutations(NAMES), st.sets(st.sampled_from(NAMES)))
def test_every_address_is_one_living_nodes_and_a_death_moves_only_its_own(
    names: Sequence[str], dead: set[str]
) -> None:
    addresses = [f"192.0.2.{number}" for number in range(240, 250)]
    before = {one: ranked(one, names) for one in addresses}
    assert before == {one: ranked(one, NAMES) for one in addresses}
    alive = frozenset(NAMES) - dead
    held = {name: held_by(name, before, alive) for name in NAMES}

    assert sorted(one for name in NAMES for one in held[name]) == (addresses if alive else [])
    assert all(not held[name] for name in dead)
    all_held = {name: held_by(name, before, frozenset(NAMES)) for name in NAMES}
    assert all(all_held[name] <= held[name] for name in alive)


def test_addresses_are_spread_over_nodes() -> None:
    firsts = {ranked(f"192.0.2.{number}", NAMES)[0] for number in range(100)}

    assert firsts == set(NAMES)


def test_candidates_are_a_few_ready_nodes_that_were_not_excluded() -> None:
    excluded = replaced(ready("n6"), metadata=replaced(ready("n6").metadata,
                                                       labels={EXCLUDED_LABEL: ""}))  # fmt: skip
    nodes = [*(ready(name) for name in NAMES[:5]), excluded, ready("n7", "Unknown")]
    found = candidates_for([announced()], [], nodes)

    assert found.keys() == {POOLED}
    assert len(found[POOLED]) == CANDIDATES_MAX
    assert set(found[POOLED]) <= set(NAMES[:5])


def test_local_policy_leaves_only_nodes_with_an_endpoint() -> None:
    slices = [a_slice(endpoints=[an_endpoint("10.244.2.7", node="n2"),
                                 an_endpoint("10.244.3.7", node="n3", is_going=True)])]  # fmt: skip
    local = announced(external_traffic_policy="Local")

    assert candidates_for([local], slices, map(ready, NAMES)) == {POOLED: ["n2"]}


def test_only_what_the_status_says_too_is_announced() -> None:
    other = replaced(
        announced(), metadata=replaced(announced().metadata, annotations={ANNOUNCED: "192.0.2.9"})
    )
    assert candidates_for([other, a_door("LoadBalancer")], [], map(ready, NAMES)) == {}


def test_a_lease_that_is_not_renewed_is_a_dead_node_within_two_seconds() -> None:
    liveness, renewed = Liveness(), NOW
    liveness.note("n1", renewed, 100.0)
    liveness.note("n2", renewed, 100.0)
    for turn in range(1, 5):
        now_s = 100.0 + turn * RENEW_S
        liveness.note("n1", renewed + timedelta(seconds=turn), now_s)
        liveness.note("n2", renewed, now_s)

    assert liveness.alive(100.0 + DEAD_AFTER_S) == {"n1", "n2"}
    assert liveness.alive(100.0 + 4 * RENEW_S) == {"n1"}
    assert DEAD_AFTER_S >= 3 * RENEW_S


INTERFACES: list[dict[str, Any]] = [
    {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1"}]},
    {
        "ifname": "eth0",
        "address": "02:00:00:00:00:01",
        "addr_info": [
            {"local": "192.0.2.1", "label": "eth0"},
            {"local": POOLED, "label": "eth0:cube"},
        ],
    },
]


def test_addresses_of_ours_are_known_by_their_label() -> None:
    assert ours_in(INTERFACES) == [("eth0", POOLED)]
    assert device_of(INTERFACES, "192.0.2.1") == ("eth0", b"\x02\0\0\0\0\x01")
    with pytest.raises(CommandFailed, match=r"has the address 192\.0\.2\.7"):
        device_of(INTERFACES, "192.0.2.7")
    silent = [{**one, "address": ""} for one in INTERFACES]
    with pytest.raises(CommandFailed, match="no interface with a MAC"):
        device_of(silent, "192.0.2.1")
    assert len(label_of("enp0s31f6abcdef")) <= 15
    assert label_of("eth0") == "eth0:cube"


def test_an_announcement_is_a_gratuitous_arp_request() -> None:
    mac = b"\x02\0\0\0\0\x01"
    frame = announcement("192.0.2.240", mac)

    assert len(frame) == 42
    assert frame[:14] == b"\xff" * 6 + mac + b"\x08\x06"
    assert frame[14:22] == bytes.fromhex("0001080006040001")
    assert frame[22:32] == mac + bytes([192, 0, 2, 240])
    assert frame[38:] == bytes([192, 0, 2, 240])
