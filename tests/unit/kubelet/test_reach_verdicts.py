"""From what was found on a way to the sentence about it; echo requests; rules that drop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.reach.ping import HEADER, checksum, echo, is_answer
from kubelet.reach.verdicts import NOT_ASKED, NodeReach, Way, blocked, dropping

WHOLE, SILENT = Way(0.001, 1500, 1500), Way(let_out_bytes=1500)


def a_find(
    node: Way = WHOLE, pods: Way = WHOLE, port: str = "", rules: tuple[str, ...] = ()
) -> NodeReach:
    return NodeReach("192.0.2.2", node, pods, 10250, port, (8472,), rules)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (a_find(), ""),
        (a_find(pods=NOT_ASKED), ""),
        (a_find(SILENT, SILENT, "dropped"), "nothing comes back from 192.0.2.2: no answer"),
        (
            a_find(Way(why="Network is unreachable"), SILENT, "dropped"),
            "nothing comes back from 192.0.2.2: Network is unreachable",
        ),
        (a_find(pods=SILENT), "UDP 8472 is dropped between the nodes"),
        (
            a_find(pods=SILENT, rules=("INPUT -j DROP",)),
            "UDP 8472 is dropped between the nodes by INPUT -j DROP",
        ),
        (a_find(pods=Way(why="no route")), "the pods' network: no route"),
        (a_find(SILENT), "ICMP echo is dropped on the way to the node"),
        (a_find(port="refused"), "TCP 10250: refused"),
        (
            a_find(Way(0.1, 1300, 1500), Way(0.1, 1200, 1450)),
            "packets to the node over 1300 bytes are lost, of 1500; "
            "packets between pods over 1200 bytes are lost, of 1450",
        ),
    ],
)
def test_each_find_has_its_sentence(found: NodeReach, said: str) -> None:
    assert blocked(found) == said


def test_rules_of_others_that_drop_a_port_are_named_and_no_others() -> None:
    saved = """\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p udp -m udp --dport 8472 -j DROP
-A INPUT -p udp -m udp --dport 84720 -j DROP
-A INPUT -p udp -m udp --dport 8472 -j ACCEPT
-A CUBE-GUARD-IN -p udp -m udp --dport 8472 -j DROP
-A fw -s 10.0.0.0/8 -p udp -m udp --dport 8472 -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""
    first, second = dropping(saved, (8472,))
    assert first == "INPUT -p udp -m udp --dport 8472 -j DROP"
    assert second.startswith("fw -s 10.0.0.0/8")


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(28, 9000))
def test_an_echo_is_as_large_as_asked_with_a_right_checksum_and_its_answer_is_known(
    identity: int, sequence: int, size: int
) -> None:
    request = echo(identity, sequence, size)
    assert len(request) == size - 20
    assert checksum(request) == 0
    header = bytes([0x45]) + bytes(19)
    reply = header + HEADER.pack(0, 0, 0, identity, sequence) + request[8:]
    assert is_answer(reply, identity, sequence, size)
    assert not is_answer(header + request, identity, sequence, size)
    assert not is_answer(reply, identity ^ 1, sequence, size)
    assert not is_answer(reply[:-1], identity, sequence, size)


@given(st.binary(max_size=60))
def test_whatever_comes_in_is_read(packet: bytes) -> None:
    assert is_answer(packet, 1, 2, 84) is False
