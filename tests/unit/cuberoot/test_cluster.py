"""What a node's manifest may say, and what a machine lacks to be one."""

from dataclasses import replace

import pytest

from cubernetes.api.errors import BadRequest, Invalid
from cuberoot.cluster import KEPT_LOGS_ANNOTATION as KEPT_LOGS
from cuberoot.cluster import kept_logs_bytes_in, node_of
from cuberoot.plan import ETCD_OLDEST, Facts, advice_for, lacks_of, ports_of

MANIFEST = b"""{
  "apiVersion": "v1", "kind": "Node",
  "metadata": {"name": "n2", "labels": {"gpu": "h200"}},
  "status": {"addresses": [{"type": "InternalIP", "address": "192.168.78.12"}]}
}"""
FIT = Facts(
    is_root=True,
    host_name="n1",
    addresses=("192.168.78.11",),
    tools={
        tool: f"/usr/sbin/{tool}"
        for tool in ("ip", "iptables-save", "iptables-restore", "mount", "conntrack", "etcd")
    },
    etcd_version=ETCD_OLDEST,
)


def test_a_manifest_gives_name_labels_and_address() -> None:
    node = node_of(MANIFEST, "another-name", "10.0.0.1")

    assert (node.metadata.name, node.address) == ("n2", "192.168.78.12")
    assert node.metadata.labels == {"gpu": "h200"}


def test_without_a_manifest_the_machine_itself_tells() -> None:
    node = node_of(None, "n1", "192.168.78.11")

    assert (node.metadata.name, node.address) == ("n1", "192.168.78.11")


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (b'{"kind": "Pod", "apiVersion": "v1"}', "kind"),
        (b'{"metadata": {"name": "n1"}, "spec": {"unschedulable": true}}', "spec"),
        (b'{"metadata": {"name": "n1", "annotations": {"a": "b"}}}', "metadata.annotations[a]"),
        (b'{"metadata": {"name": "N1!"}}', "metadata.name"),
        (b'{"metadata": {"name": "n1", "labels": {"a b": "c"}}}', "metadata.labels"),
        (b'{"metadata": {"name": "n1"}, "capacity": {"cpu": 4}}', "capacity"),
    ],
)
def test_a_manifest_that_says_what_is_not_heeded_is_refused_by_the_field(
    manifest: bytes, field: str
) -> None:
    with pytest.raises((BadRequest, Invalid)) as refusal:
        node_of(manifest, "n1", "192.168.78.11")

    assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("64Mi", 64 << 20), ("0", 0), ("1Ti", 1 << 40), ("1000", 1000)]
)
def test_a_manifest_says_what_kept_logs_may_hold(text: str, size_bytes: int) -> None:
    manifest = f'{{"metadata": {{"name": "n1", "annotations": {{"{KEPT_LOGS}": "{text}"}}}}}}'

    assert kept_logs_bytes_in(node_of(manifest.encode(), "n1", "192.168.78.11")) == size_bytes
    assert kept_logs_bytes_in(node_of(None, "n1", "192.168.78.11")) is None


@pytest.mark.parametrize("text", ["much", "-1", "2Ti", ""])
def test_what_is_no_size_of_kept_logs_is_refused_by_the_field(text: str) -> None:
    manifest = f'{{"metadata": {{"name": "n1", "annotations": {{"{KEPT_LOGS}": "{text}"}}}}}}'

    with pytest.raises(Invalid) as refusal:
        node_of(manifest.encode(), "n1", "192.168.78.11")

    assert f"metadata.annotations[{KEPT_LOGS}]" in str(refusal.value)


def test_a_machine_that_has_everything_lacks_nothing() -> None:
    assert lacks_of(FIT, "control-plane", "192.168.78.11") == []


def test_w55_everything_that_is_missing_is_told_at_once_with_how_to_get_it() -> None:
    bare = Facts(
        is_root=False,
        host_name="n1",
        addresses=("192.168.78.11",),
        tools={},
        docker_trouble="no socket",
        busy_ports=frozenset(ports_of("control-plane")),
    )
    told = [str(one) for one in lacks_of(bare, "control-plane", "10.9.9.9")]

    assert "not root: run it with sudo" in told
    assert "address 10.9.9.9: status.addresses must be one of this machine's: 192.168.78.11" in told
    assert "ip is missing: apt-get install iproute2" in told
    assert "etcd is missing: scripts/install-etcd" in told
    assert any(one.startswith("Docker does not answer (no socket)") for one in told)
    assert sum("is in use" in one for one in told) == len(ports_of("control-plane"))


def test_without_the_tool_that_tells_addresses_no_word_is_said_of_them() -> None:
    tools = {name: path for name, path in FIT.tools.items() if name != "ip"}
    mute = replace(FIT, addresses=(), tools=tools)
    told = [str(one) for one in lacks_of(mute, "worker", "")]
    assert told == ["ip is missing: apt-get install iproute2"]


def test_a_docker_that_takes_its_containers_along_is_noted_and_not_refused() -> None:
    risky = replace(FIT, is_live_restoring=False)

    assert lacks_of(risky, "worker", "192.168.78.11") == []
    assert advice_for(FIT) == []
    (advice,) = advice_for(risky)
    assert "live-restore" in str(advice)


def test_an_etcd_that_loses_watch_events_is_refused() -> None:
    old = replace(FIT, etcd_version=(3, 4, 23))

    told = [str(one) for one in lacks_of(old, "control-plane", "192.168.78.11")]
    assert told == ["etcd 3.4.23 is too old: 3.5.13 is the oldest that can be trusted: "
                    "scripts/install-etcd"]  # fmt: skip
    assert lacks_of(old, "worker", "192.168.78.11") == []
