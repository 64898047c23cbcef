"""Which of a node's further networks pods may join."""

import pytest

from kubelet.network.cni.opened import OpenNetworks

OPEN = OpenNetworks(open={"storage": ("*",), "lab": ("physics", "maths"), "none": ()})


@pytest.mark.parametrize(
    ("network", "namespace", "is_open"),
    [
        ("storage", "shop", True),
        ("lab", "maths", True),
        ("lab", "shop", False),
        ("lab", "*", False),
        ("lab", "", False),
        ("none", "physics", False),
        ("other", "physics", False),
    ],
)
def test_a_network_is_open_to_the_namespaces_that_are_named(
    network: str, namespace: str, *, is_open: bool
) -> None:
    assert (not OPEN.refusal(network, namespace)) == is_open


def test_a_refusal_names_what_is_open_to_the_namespace_and_nothing_else() -> None:
    assert OPEN.refusal("other", "physics").endswith("(open to it: lab, storage)")
    assert OPEN.refusal("lab", "shop") == "is not open to namespace shop (open to it: storage)"
    assert OpenNetworks().refusal("lab", "shop").endswith("(open to it: none)")
