"""The laws of giving addresses: one each, kept, none reserved, and a freed one rests."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.network.ipam import (
    Addresses,
    CheckpointInvalid,
    NoAddressLeft,
    adopted,
    checkpoint,
    freed,
    from_checkpoint,
    is_usable,
    taken,
)

SMALL = IPv4Network("10.1.2.0/28")  # room for 13 pods
uids = st.sampled_from([f"pod-{index}" for index in range(12)])
acts = st.lists(st.tuples(st.booleans(), uids), max_size=60)


def after(steps: list[tuple[bool, str]]) -> Addresses:
    addresses = Addresses(SMALL)
    for is_taking, uid in steps:
        addresses = taken(addresses, uid)[0] if is_taking else freed(addresses, uid)
    return addresses


@given(acts)
def test_each_pod_has_one_usable_address_of_its_own(steps: list[tuple[bool, str]]) -> None:
    held = after(steps).held
    assert len(set(held.values())) == len(held)
    assert all(is_usable(SMALL, address) for address in held.values())


@given(acts, uids)
def test_asking_again_gives_the_same(steps: list[tuple[bool, str]], uid: str) -> None:
    first, address = taken(after(steps), uid)
    assert taken(first, uid) == (first, address)


@given(acts)
def test_what_is_recorded_is_what_is_read(steps: list[tuple[bool, str]]) -> None:
    addresses = after(steps)
    assert from_checkpoint(checkpoint(addresses)) == addresses
    assert checkpoint(from_checkpoint(checkpoint(addresses))) == checkpoint(addresses)


@given(acts)
def test_what_was_given_last_and_freed_is_the_last_to_be_given_again(
    steps: list[tuple[bool, str]],
) -> None:
    addresses, old = taken(after(steps), "new-comer")
    addresses = freed(addresses, "new-comer")
    again = []
    for index in range(13 - len(addresses.held)):
        addresses, new = taken(addresses, f"new-{index}")
        again.append(new)
    assert again[-1] == old


@pytest.mark.parametrize("reserved", ["10.1.2.0", "10.1.2.1", "10.1.2.15", "10.1.3.2"])
def test_reserved_addresses_are_nobodys(reserved: str) -> None:
    assert not is_usable(SMALL, IPv4Address(reserved))


def test_a_freed_address_is_not_the_next_one() -> None:
    addresses, first = taken(Addresses(SMALL), "a")
    assert first == IPv4Address("10.1.2.2")
    _, second = taken(freed(addresses, "a"), "b")
    assert second == IPv4Address("10.1.2.3")


def test_the_end_of_the_range_is_followed_by_its_start() -> None:
    addresses = Addresses(SMALL, {}, IPv4Address("10.1.2.14"))
    assert taken(addresses, "a")[1] == IPv4Address("10.1.2.2")


@pytest.mark.parametrize(("prefix", "room"), [(28, 13), (30, 1), (31, 0), (32, 0)])
def test_a_range_has_room_for_so_many(prefix: int, room: int) -> None:
    addresses = Addresses(IPv4Network(f"10.1.2.0/{prefix}"))
    for index in range(room):
        addresses, _ = taken(addresses, f"pod-{index}")
    with pytest.raises(NoAddressLeft):
        taken(addresses, "one-more")


def test_what_is_found_is_adopted_where_it_contradicts_nothing() -> None:
    addresses = Addresses(SMALL, {"a": IPv4Address("10.1.2.2")})
    found = {
        "a": IPv4Address("10.1.2.9"),  # the record knows better
        "b": IPv4Address("10.1.2.2"),  # held by another
        "c": IPv4Address("10.9.9.9"),  # of no range of ours
        "d": IPv4Address("10.1.2.5"),
    }
    held = adopted(addresses, found).held
    assert held == {"a": IPv4Address("10.1.2.2"), "d": IPv4Address("10.1.2.5")}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"podCidr":"10.1.2.0/28"}',
        b'{"podCidr":"nonsense","held":{}}',
        b'{"podCidr":"10.1.2.0/28","held":{"a":"10.1.2.2","b":"10.1.2.2"}}',
        b'{"podCidr":"10.1.2.0/28","held":{"a":"10.1.2.0"}}',
        b'{"podCidr":"10.1.2.0/28","held":{},"last":"10.1.2.15"}',
        b'{"podCidr":"10.1.2.0/28","held":{},"more":1}',
    ],
)
def test_a_record_that_cannot_be_true_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointInvalid):
        from_checkpoint(content)


@given(st.binary(max_size=80))
def test_no_bytes_do_worse_than_be_refused(content: bytes) -> None:
    with pytest.raises(CheckpointInvalid):
        from_checkpoint(content)
