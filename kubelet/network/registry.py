"""The pod networks that a node's settings can name."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

from cubernetes.host.blocking import Blocking
from kubelet.network.carriers.vxlan import VxlanCarrier
from kubelet.network.driver import NetworkDriver
from kubelet.network.routed import RoutedNetwork


def _vxlan(address: IPv4Address, checkpoint: Path, blocking: Blocking) -> NetworkDriver:
    return RoutedNetwork(VxlanCarrier(address, blocking), checkpoint, blocking)


# Each is made from the node's address, the path of its checkpoint and a place for calls that may
# block. A fake needs its fabric.
NETWORKS: Mapping[str, Callable[[IPv4Address, Path, Blocking], NetworkDriver]] = {"vxlan": _vxlan}
