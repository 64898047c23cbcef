"""Faults compile to one table of the switch, and their meaning is what was asked for."""

import os
import shutil
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.faults import (
    Cut,
    Fault,
    Isolate,
    Loss,
    Unplug,
    routed_rules_for,
    rules_for,
    ruleset_for,
    with_fault,
)

NODES = st.sampled_from(["n1", "n2", "n3"])
PORTS = ("n1", "n2", "n3", "up0")
FAULTS = st.lists(
    st.builds(Cut, NODES, NODES)
    | st.builds(Isolate, NODES)
    | st.builds(Loss, NODES, st.integers(0, 100))
    | st.builds(Unplug, NODES)
)


def passes(rules: Sequence[str], source: str, target: str) -> bool:
    """Trace a frame through the rules; dice never fall against it."""
    for rule in rules:
        words = rule.split()
        is_met = all(
            words[at + 1].strip('"') == (source if word == "iifname" else target)
            for at, word in enumerate(words)
            if word in {"iifname", "oifname"}
        )
        if is_met and "numgen" not in words:
            return False
    return True


def test_a_cut_one_way_is_one_rule() -> None:
    assert list(rules_for([Cut("n1", "n2")])) == ['iifname "n1" oifname "n2" counter drop']


def test_loss_throws_dice_both_ways() -> None:
    assert list(rules_for([Loss("n2", 30)])) == [
        'iifname "n2" numgen random mod 100 < 30 counter drop',
        'oifname "n2" numgen random mod 100 < 30 counter drop',
    ]


@given(faults=FAULTS)
def test_a_frame_passes_unless_a_fault_names_its_way(faults: list[Fault]) -> None:
    rules = list(rules_for(faults))

    for source in PORTS:
        for target in PORTS:
            is_broken = Cut(source, target) in faults or any(
                Isolate(end) in faults or Loss(end, 100) in faults for end in (source, target)
            )
            assert passes(rules, source, target) is not is_broken


@given(faults=FAULTS)
def test_a_ruleset_first_removes_what_was_there(faults: list[Fault]) -> None:
    lines = ruleset_for(faults).splitlines()

    assert lines[:2] == ["table bridge cuberoot-lab {}", "delete table bridge cuberoot-lab"]
    assert len(lines) == 2 or any(rules_for(faults))


def test_healed_means_no_table_at_all() -> None:
    assert len(ruleset_for([]).splitlines()) == 2


@given(faults=FAULTS, again=st.builds(Isolate, NODES) | st.builds(Unplug, NODES))
def test_the_same_fault_twice_is_there_once(faults: list[Fault], again: Fault) -> None:
    once = with_fault(tuple(faults), again)

    assert with_fault(once, again) == once
    assert once.count(again) == 1


def test_a_node_has_one_rate_of_loss() -> None:
    faults = with_fault((Loss("n1", 5), Loss("n2", 5)), Loss("n1", 30))

    assert faults == (Loss("n2", 5), Loss("n1", 30))


ADDRESSES = {"n1": "192.168.78.11", "n2": "192.168.79.12", "n3": "192.168.78.13"}


def test_a_cut_holds_on_the_way_by_the_router_too() -> None:
    assert list(routed_rules_for([Cut("n1", "n2")], ADDRESSES)) == [
        "ip saddr 192.168.78.11 ip daddr 192.168.79.12 counter drop"
    ]
    assert "hook forward" in ruleset_for([Cut("n1", "n2")], ADDRESSES).split("table ip ")[-1]


def test_a_node_that_is_isolated_does_not_reach_the_router() -> None:
    text = ruleset_for([Isolate("n1")], ADDRESSES)

    for hook in ("forward", "input", "output"):
        chain = text.split(f"hook {hook} ")[1].split("}")[0]
        assert 'iifname "n1" counter drop' in chain
        assert 'oifname "n1" counter drop' in chain


@pytest.mark.root
@pytest.mark.parametrize("addresses", [{}, ADDRESSES], ids=["one subnet", "two"])
@given(faults=FAULTS)
@settings(max_examples=15, deadline=None)
def test_the_real_parser_takes_every_ruleset(
    addresses: dict[str, str], faults: list[Fault]
) -> None:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("needs root and nft (apt-get install nftables)")
    argv = ["unshare", "--net", "nft", "--check", "-f", "-"]

    told = subprocess.run(
        argv,
        input=ruleset_for(faults, addresses).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (told.returncode, told.stderr) == (0, b"")
