"""`--node-address` says by which address others reach a node, in one of three forms."""

from ipaddress import IPv4Interface

import pytest

from cuberoot.plan import Card, Choice, chosen

CARDS = (
    Card("eth0", IPv4Interface("192.0.2.7/24")),
    Card("eth1", IPv4Interface("198.51.100.7/25")),
    Card("eth1", IPv4Interface("198.51.100.8/25")),
)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("198.51.100.8", Choice("198.51.100.8")),
        ("198.51.100.0/24", Choice("198.51.100.7", "198.51.100.0/24")),
        ("eth1", Choice("198.51.100.7", "198.51.100.0/25")),
        ("192.0.0.0/16", Choice("192.0.2.7", "192.0.0.0/16")),
    ],
)
def test_an_address_stays_and_a_network_or_an_interface_is_followed(
    text: str, choice: Choice
) -> None:
    assert chosen(text, CARDS) == choice


@pytest.mark.parametrize(
    "text", ["192.0.2.8", "203.0.113.0/24", "eth2", "192.0.2.7/24", "1.2.3.4/x"]
)
def test_what_this_machine_does_not_have_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address \(192.0.2.7\), a network"):
        chosen(text, CARDS)


def test_a_refusal_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.7/24 on eth0, 198\.51\.100\.7/25 on eth1"):
        chosen("eth2", CARDS)
