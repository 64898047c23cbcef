"""Further interfaces of a pod, by the annotation that Multus made known. Pure.

Its forms: `name[@interface]`, with commas between, or a list of objects in JSON
(https://github.com/k8snetworkplumbingwg/multi-net-spec).
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Interface

import msgspec

from cubernetes.api.core.pod import Pod
from kubelet.network.driver import Interface, NetworkTrouble, NetworkWish

NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
WISHES_MAX = 8
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
DEVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
TAKEN = ("eth0", "lo")


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    interface: str = ""
    ips: tuple[str, ...] = ()
    mac: str = ""


def networks_of(pod: Pod) -> tuple[NetworkWish, ...]:
    """Return the further networks that a pod asks for, in their order.

    Raises: NetworkTrouble: what is wrong in the annotation.
    """
    text = pod.metadata.annotations.get(NETWORKS, "").strip()
    if not text:
        return ()
    asked = _from_json(text) if text.startswith("[") else [_from_word(one) for one in _words(text)]
    if len(asked) > WISHES_MAX:
        raise _trouble(f"asks for {len(asked)} networks, and a pod has {WISHES_MAX} at most")
    named = [one.interface for one in asked if one.interface]
    devices = iter(_free(named))
    wishes = tuple(_checked(one, one.interface or next(devices)) for one in asked)
    if len({one.device for one in wishes}) < len(wishes):
        raise _trouble(f"names an interface twice: {', '.join(named)}")
    return wishes


def _words(text: str) -> list[str]:
    return [one.strip() for one in text.split(",")]


def _from_word(word: str) -> _Wish:
    name, _, device = word.partition("@")
    return _Wish(name, device)


def _from_json(text: str) -> list[_Wish]:
    try:
        return msgspec.json.decode(text.encode(), type=list[_Wish])
    except msgspec.DecodeError as error:
        raise _trouble(f"{error}; known are name, interface, ips and mac") from error


def _free(named: list[str]) -> Iterator[str]:
    return (one for at in range(1, 2 * WISHES_MAX + 1) if (one := f"net{at}") not in named)


def _checked(one: _Wish, device: str) -> NetworkWish:
    if "/" in one.name:
        raise _trouble(f"{one.name[:80]!r}: networks are files of nodes, and have no namespaces")
    if NAME.fullmatch(one.name) is None:
        raise _trouble(f"{one.name[:80]!r} is no name of a network")
    if DEVICE.fullmatch(device) is None or device in TAKEN:
        raise _trouble(f"{device[:40]!r} is no name for a further interface, such as net1")
    if one.mac and MAC.fullmatch(one.mac) is None:
        raise _trouble(f"{one.mac[:40]!r} is no MAC such as 02:00:00:00:00:01")
    for text in one.ips:
        try:
            IPv4Interface(text)
        except ValueError as error:
            raise _trouble(f"{text[:40]!r} is no address such as 192.0.2.7/24") from error
    return NetworkWish(one.name, device, one.ips, one.mac)


def _trouble(why: str) -> NetworkTrouble:
    return NetworkTrouble(f"metadata.annotations[{NETWORKS}]: {why}")


def status_text(interfaces: tuple[Interface, ...]) -> str:
    """Return the annotation that tells what a pod has; empty: one interface, of which it tells."""
    if not interfaces:
        return ""
    told = [
        {
            "name": one.network,
            "interface": one.device,
            "ips": list(one.addresses),
            **({"mac": one.mac} if one.mac else {}),
            **({"default": True} if one.is_default else {}),
            "dns": {},
        }
        for one in interfaces
    ]
    return msgspec.json.encode(told).decode()
