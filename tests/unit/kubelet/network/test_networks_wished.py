"""Which further networks a pod asks for by its annotation, and what is told of what it has."""

import json

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from kubelet.network.driver import Interface, NetworkTrouble, NetworkWish
from kubelet.pod.decisions.networks import NETWORKS, networks_of, status_text
from tests.given import a_pod


def asking(text: str) -> Pod:
    one = a_pod("p")
    return replaced(one, metadata=replaced(one.metadata, annotations={NETWORKS: text}))


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("", ()),
        ("storage", (NetworkWish("storage", "net1"),)),
        (
            "a, b@fast ,a",
            (NetworkWish("a", "net1"), NetworkWish("b", "fast"), NetworkWish("a", "net2")),
        ),
        ("a,b@net1", (NetworkWish("a", "net2"), NetworkWish("b", "net1"))),
        (
            """[{"name": "a", "ips": ["172.20.0.9/24"], "mac": "02:00:00:00:00:01"},
                {"name": "b", "interface": "fast"}]""",
            (
                NetworkWish("a", "net1", ("172.20.0.9/24",), "02:00:00:00:00:01"),
                NetworkWish("b", "fast"),
            ),
        ),
    ],
)
def test_both_forms_are_read_and_interfaces_are_numbered_past_those_named(
    text: str, wishes: tuple[NetworkWish, ...]
) -> None:
    assert networks_of(asking(text)) == wishes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("default/storage", "have no namespaces"),
        ("a,,b", "'' is no name of a network"),
        ("a@eth0", "'eth0' is no name for a further interface"),
        ("a@sixteen-letters-", "is no name for a further interface"),
        ("a@x,b@x", "names an interface twice: x, x"),
        (",".join("abcdefghi"), "asks for 9 networks, and a pod has 8 at most"),
        ("[{]", "known are name, interface, ips and mac"),
        ('[{"name": "a", "namespace": "b"}]', "unknown field `namespace`"),
        ('[{"name": "a", "ips": ["x"]}]', "'x' is no address such as 192.0.2.7/24"),
        ('[{"name": "a", "mac": "x"}]', "'x' is no MAC"),
    ],
)
def test_a_wrong_annotation_is_trouble_that_names_it(text: str, words: str) -> None:
    with pytest.raises(NetworkTrouble) as caught:
        networks_of(asking(text))
    assert str(caught.value).startswith(f"metadata.annotations[{NETWORKS}]: ")
    assert words in str(caught.value)


def test_a_pod_with_one_interface_tells_nothing_and_one_with_two_tells_both() -> None:
    assert status_text(()) == ""
    two = (
        Interface("pods", "eth0", ("10.244.1.2",), "02:00:00:00:00:01", True),
        Interface("storage", "net1", ("172.20.0.2",)),
    )
    assert json.loads(status_text(two)) == [
        {
            "name": "pods",
            "interface": "eth0",
            "ips": ["10.244.1.2"],
            "mac": "02:00:00:00:00:01",
            "default": True,
            "dns": {},
        },
        {"name": "storage", "interface": "net1", "ips": ["172.20.0.2"], "dns": {}},
    ]
