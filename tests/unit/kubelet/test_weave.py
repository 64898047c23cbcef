"""The Weave router's command line, and what it leaves; what is said of a connection."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.network.carriers.weaveapi import state_in
from kubelet.network.driver import Peer
from kubelet.network.overlay import node_mac, overlay_for, peer_mac, weave_overlay_for
from kubelet.settings import WeaveSettings
from kubelet.weave.command import argv_for, environment_for
from kubelet.weave.leftovers import devices_of, sets_of, undoing

SETTINGS = WeaveSettings(
    node_name="n2", address="192.0.2.2", password="open sesame", peers=("192.0.2.1",)
)
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


@given(names, names, st.integers(0, 255))
def test_a_peers_name_follows_from_its_nodes_and_is_no_nodes_mac(
    name: str, other: str, octet: int
) -> None:
    mac = peer_mac(name)
    assert int(mac.split(":")[0], 16) & 0b11 == 0b10
    assert mac != node_mac(IPv4Network(f"10.244.{octet}.0/24"))
    assert (mac == peer_mac(other)) == (name == other)


@given(st.lists(st.integers(1, 200), unique=True, max_size=20))
def test_peers_have_the_routes_that_vxlan_has_and_no_forwarding_entries(numbers: list[int]) -> None:
    own = IPv4Network("10.244.0.0/24")
    peers = [
        Peer(f"n{one}", IPv4Address(f"192.0.2.{one}"), IPv4Network(f"10.244.{one}.0/24"))
        for one in numbers
    ]
    found = weave_overlay_for(reversed(peers), own)
    assert found == weave_overlay_for(peers, own)
    assert found.routes == overlay_for(peers, own).routes
    assert found.neighbours == {
        peer.pod_cidr.network_address: peer_mac(peer.name) for peer in peers
    }
    assert not found.forwarding


def test_the_router_gets_everything_by_its_command_line_but_the_password() -> None:
    argv = argv_for(SETTINGS, "/usr/local/bin/weaver", 1500, {"eth0"})
    assert f"--name={peer_mac('n2')}" in argv
    assert "--mtu=1376" in argv
    assert argv[-1] == "192.0.2.1"
    assert not [word for word in argv if "ipalloc" in word or "sesame" in word]

    found = environment_for(SETTINGS, {"PATH": "/bin"})
    assert found == {"PATH": "/bin", "CHECKPOINT_DISABLE": "1", "WEAVE_PASSWORD": "open sesame"}


@pytest.mark.parametrize(
    ("devices", "is_without"),
    [({"eth0"}, False), ({"weave", "datapath"}, False), ({"weave"}, True), ({"datapath"}, False)],
)
def test_the_fast_path_is_asked_for_unless_a_bridge_was_made_without_it(
    devices: set[str], *, is_without: bool
) -> None:
    argv = argv_for(SETTINGS, "weaver", 1500, devices)
    assert "--datapath=datapath" in argv
    assert ("--no-fastdp" in argv) == is_without


CONNECTIONS = """\
-> 192.0.2.2:6783        established encrypted   fastdp 02:ce:01:02:03:04(n2) mtu=1376
<- 192.0.2.3:41830       pending     encrypted   sleeve 02:ce:01:02:03:05(n3)
-> 192.0.2.3:6783        established encrypted   sleeve 02:ce:01:02:03:05(n3) mtu=1438
-> 192.0.2.30:6783       failed      dial tcp4 192.0.2.30:6783: connection refused, retry: 10:00
"""


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("192.0.2.2", "established"),
        ("192.0.2.3", "established"),
        (
            "192.0.2.30",
            "failed dial tcp4 192.0.2.30:6783: connection refused",
        ),
        ("192.0.2.4", "no connection"),
    ],
)
def test_a_connections_state_is_read_from_the_routers_table(address: str, state: str) -> None:
    assert state_in(CONNECTIONS, IPv4Address(address)) == state


SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:WEAVE-EXPOSE - [0:0]
-A INPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 6784 -m comment --comment "Block non-local \
access to Weave Net control port" -j DROP
-A INPUT -p tcp -m comment --comment "WEAVE is a word" -j ACCEPT
-A FORWARD -i weave -o weave -j ACCEPT
-A FORWARD -o weave -j WEAVE-EXPOSE
-A FORWARD -i weave ! -o weave -j ACCEPT
-A FORWARD -o weave -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i weave -o eth0 -j ACCEPT
-A WEAVE-EXPOSE -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:WEAVE - [0:0]
-A POSTROUTING -j WEAVE
COMMIT
*mangle
:INPUT ACCEPT [0:0]
-A INPUT -j CUBE-GUARD-IN
COMMIT
"""


def test_a_routers_rules_are_undone_and_nobody_elses() -> None:
    assert undoing(SAVED).splitlines() == [
        "*filter",
        "-F WEAVE-EXPOSE",
        "-D INPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 6784 -m comment --comment "
        '"Block non-local access to Weave Net control port" -j DROP',
        "-D FORWARD -i weave -o weave -j ACCEPT",
        "-D FORWARD -o weave -j WEAVE-EXPOSE",
        "-D FORWARD -i weave ! -o weave -j ACCEPT",
        "-D FORWARD -o weave -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-X WEAVE-EXPOSE",
        "COMMIT",
        "*nat",
        "-F WEAVE",
        "-D POSTROUTING -j WEAVE",
        "-X WEAVE",
        "COMMIT",
    ]
    assert undoing("*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n") == ""


def test_a_routers_devices_and_sets_are_known_by_their_names() -> None:
    found = devices_of(["eth0", "weave", "weave0", "vethwe-bridge", "datapath", "vethwepl1", "lo"])
    assert found == ["datapath", "vethwe-bridge", "vethwepl1", "weave"]
    assert sets_of("others\nweaver-no-masq-local\n") == ["weaver-no-masq-local"]
