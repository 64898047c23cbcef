"""CNI configurations and what plugins print: laws, and the words of every refusal."""

import json
from contextlib import suppress
from ipaddress import IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.cni.conflist import (
    Conflist,
    ConflistInvalid,
    conflist_in,
    conflist_of,
    for_node,
    request_for,
    wires_of,
)
from cubernetes.host.cni.results import NotAResult, error_in, result_of, versions_in

IPAM = {"type": "host-local", "ranges": [[{"subnet": "usePodCidr"}]]}
BRIDGE = {"type": "bridge", "ipam": IPAM}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True, "bandwidth": False}}


def text_of(**changes: object) -> str:
    tree: dict[str, object] = {"cniVersion": "1.0.0", "name": "pods", "plugins": [BRIDGE, PORTMAP]}
    return json.dumps({key: value for key, value in (tree | changes).items() if value is not None})


def a_conflist(**changes: object) -> Conflist:
    return conflist_of(text_of(**changes))


def test_a_chain_is_read_with_its_programs_and_what_it_can_be_told() -> None:
    found = a_conflist()
    assert found.types == ("bridge", "portmap")
    assert found.programs == ("bridge", "portmap", "host-local")
    assert found.is_by_node
    assert (found.can("portMappings"), found.can("bandwidth"), found.can("ips")) == (1, 0, 0)


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_what_is_kept_on_disk_is_read_as_it_was(version: str) -> None:
    for flags in ({}, {"disableCheck": True}, {"disableCheck": "true", "disableGC": True}):
        found = a_conflist(cniVersion=version, **flags)
        assert conflist_in(json.loads(json.dumps(found.tree))) == found
        assert found.checks is ("disableCheck" not in flags)
        assert found.collects is (version == "1.1.0" and "disableGC" not in flags)


@given(st.integers(0, 255), st.integers(1000, 9000))
def test_a_nodes_configuration_has_its_range_everywhere_and_is_legal(third: int, mtu: int) -> None:
    cidr = IPv4Network(f"10.244.{third}.0/24")
    bound = for_node(a_conflist(), cidr, mtu)
    assert "usePodCidr" not in json.dumps(bound.tree)
    assert bound.plugins[0]["ipam"] == {"type": "host-local", "ranges": [[{"subnet": str(cidr)}]]}
    assert bound.plugins[0]["mtu"] == mtu
    assert "mtu" not in bound.plugins[1]
    assert for_node(bound, IPv4Network("10.9.0.0/24"), 1) == bound


def test_an_mtu_that_somebody_has_written_stays() -> None:
    bound = for_node(a_conflist(plugins=[BRIDGE | {"mtu": 1200}]), IPv4Network("10.0.0.0/24"), 1450)
    assert bound.plugins[0]["mtu"] == 1200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cniVersion": "0.2.0"}, "cniVersion: must be one of 0.4.0, 1.0.0, 1.1.0, not '0.2.0'"),
        ({"cniVersion": None}, "cniVersion: must be one of"),
        ({"name": "-x"}, "name: must begin with a letter or digit"),
        ({"name": "a" * 64}, "at most 63 characters"),
        ({"plugins": []}, "plugins: must be a list of 1 to 16 plugins"),
        ({"plugins": [BRIDGE] * 17}, "plugins: must be a list of 1 to 16 plugins"),
        ({"plugins": ["bridge"]}, "plugins[0]: must be an object"),
        ({"plugins": [BRIDGE, {"type": "../../bin/sh"}]}, "plugins[1].type: must be the name"),
        ({"plugins": [{"type": "x", "ipam": {"type": 7}}]}, "plugins[0].ipam.type: must be"),
        ({"plugins": [{"type": "x", "capabilities": {"a": 1}}]}, "plugins[0].capabilities: must"),
        (
            {
                "plugins": [
                    {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/8"}}
                ]
            },
            'plugins[0].ipam: every node would give out the same addresses: write "usePodCidr"',
        ),
    ],
)
def test_a_wrong_configuration_names_the_field_and_the_form(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConflistInvalid) as caught:
        a_conflist(**changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"name": }'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ConflistInvalid, match="is no JSON object"):
        conflist_of(text)


def test_one_plugins_configuration_is_told_how_to_be_a_list() -> None:
    with pytest.raises(ConflistInvalid, match="this is one plugin's configuration"):
        conflist_of(json.dumps({"cniVersion": "1.0.0", "name": "x"} | BRIDGE))


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConflistInvalid) as caught:
        a_conflist(cniVersion="2", name="", plugins=[{}, {"type": ""}])
    assert len(caught.value.problems) == 4


def test_a_plugin_is_told_what_it_declares_and_nothing_else() -> None:
    runtime = {"portMappings": [1], "bandwidth": {}, "ips": ["10.0.0.2"]}
    chain = a_conflist()
    first, second = (request_for(chain, one, runtime, {"ips": []}) for one in chain.plugins)
    assert "runtimeConfig" not in first
    assert second["runtimeConfig"] == {"portMappings": [1]}
    assert second["prevResult"] == {"ips": []}
    assert (second["cniVersion"], second["name"], second["type"]) == ("1.0.0", "pods", "portmap")
    assert "prevResult" not in request_for(chain, chain.plugins[0], runtime)


@pytest.mark.parametrize(
    ("plugin", "wires"),
    [
        ({"type": "bridge"}, ("cni0",)),
        ({"type": "bridge", "bridge": "br-pods"}, ("br-pods",)),
        ({"type": "ptp"}, ("veth+",)),
        ({"type": "macvlan"}, ()),
    ],
)
def test_the_wires_of_known_plugins_are_known(
    plugin: dict[str, object], wires: tuple[str, ...]
) -> None:
    assert wires_of(a_conflist(plugins=[plugin])) == wires


def test_a_result_of_each_version_tells_addresses_and_the_nodes_devices() -> None:
    for version, more in (("0.4.0", {"version": "4", "interface": 1}), ("1.0.0", {"interface": 1})):
        ips = [{"address": "10.244.1.2/24"} | more, {"address": "fd00::2/64"} | more]
        interfaces = [{"name": "cni0"}, {"name": "eth0", "sandbox": "/proc/7/ns/net"}]
        tree = {"cniVersion": version, "ips": ips, "interfaces": interfaces, "dns": {}}
        found = result_of(json.dumps(tree).encode())
        assert found.addresses == (IPv4Interface("10.244.1.2/24"),)
        assert found.hosts == ("cni0",)
        assert found.tree == tree


@given(st.binary(max_size=200))
def test_whatever_is_printed_is_a_result_or_told(printed: bytes) -> None:
    for read in (result_of, versions_in):
        with suppress(NotAResult):
            read(printed)
    assert isinstance(error_in(printed), str)


def test_an_error_has_its_code_and_details_and_is_cut() -> None:
    assert error_in(b'{"code": 7, "msg": "no", "details": "why"}') == "no; why (code 7)"
    assert error_in(b'{"code": 7, "msg": "no"}') == "no (code 7)"
    assert error_in(b'{"ips": []}') == ""
    assert len(error_in(json.dumps({"code": 1, "msg": "x" * 9999}).encode())) == 1000
