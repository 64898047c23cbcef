"""Looks at pods that plugins have wired: where their namespaces are, and whether all is there."""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from kubelet.network.cni.marks import DEVICE, host_ends, marks_of
from kubelet.network.cni.records import NOWHERE, Record
from kubelet.network.driver import NetworkTrouble
from kubelet.network.dump import Space
from kubelet.network.look import space_at
from kubelet.network.namespace import inside, set_sysctl

BRIDGES = "bridge/bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a pod. lost: what was there when its plugins had answered, and is not now.

    host_ends: the node's ends of its pairs. found: the addresses of its interface.
    """

    marks: frozenset[str]
    lost: tuple[str, ...]
    host_ends: frozenset[str]
    found: tuple[IPv4Address, ...]

    @property
    def is_whole(self) -> bool:
        return not self.lost

    def check(self, address: IPv4Address) -> None:
        """Raises: NetworkTrouble: the interface has not the address that the plugins told."""
        if address not in self.found:
            has = ", ".join(map(str, self.found)) or "none"
            raise NetworkTrouble(f"CNI: {DEVICE} was told to have {address}, but it has {has}")


def look_at(record: Record, address: IPv4Address, hosts: tuple[str, ...], netns: str) -> Look:
    """Look at a pod that is to have this address. Raises: OSError, where its namespace is gone."""
    return _look(record, address, hosts, space_at(netns))


def looks_of(records: Iterable[Record], netns: str) -> dict[str, Look]:
    """Look at pods, by uid; one whose namespace is gone is left out: its sandbox has ended."""
    node, looks = space_at(netns), {}
    for one in records:
        if place_of(one.netns) == one.place:
            with suppress(OSError):
                looks[one.uid] = _look(one, IPv4Address(one.address), one.hosts, node)
    return looks


def _look(record: Record, address: IPv4Address, hosts: tuple[str, ...], node: Space) -> Look:
    pod = space_at(record.netns, is_pod=True)
    marks = frozenset(marks_of(node, pod, address, hosts, record.devices))
    lost = tuple(one for one in record.marks if one not in marks) if record.marks else (DEVICE,)
    inner = pod.links.get(DEVICE)
    found = pod.addresses_of.get(inner.index, ()) if inner is not None else ()
    return Look(marks, lost, frozenset(host_ends(node, pod)), tuple(one.ip for one in found))


def names_at(path: str) -> set[str]:
    """Return the names of the devices of a namespace."""
    with inside(path):
        return {name for _, name in socket.if_nameindex()}


def place_of(path: str) -> tuple[int, int]:
    """Return which namespace is at a path; NOWHERE: none."""
    try:
        found = os.stat(path)
    except OSError:
        return NOWHERE
    return found.st_dev, found.st_ino


def let_bridges_be_filtered(netns: str) -> None:
    """Have packets between pods of one bridge pass the rules of services.

    Raises: NetworkTrouble: the kernel cannot.
    """
    try:
        set_sysctl(netns, BRIDGES, "1")
    except FileNotFoundError as error:
        raise NetworkTrouble(
            "the CNI plugin bridge needs the kernel's br_netfilter (modprobe br_netfilter): "
            "without it no pod reaches a service by a pod of its own node"
        ) from error
