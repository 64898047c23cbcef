"""What the kubelet asks of a pod network, in the kubelet's words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol


class NetworkTrouble(Exception):
    """The network could not do it; the text says what and why. Worth another try."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: where its host is, and which pod addresses live there."""

    name: str
    address: IPv4Address
    pod_cidr: IPv4Network


class NetworkDriver(Protocol):
    """Every method is idempotent: the kubelet repeats it after a crash."""

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        """Make this node ready to carry pods with addresses from pod_cidr."""
        ...

    async def reserve(self, pod_uid: str) -> IPv4Address:
        """Return the address that the pod will have, before there is a namespace to give it to.

        Raises: NetworkTrouble, with "no address left" where the node's range is used up.
        """
        ...

    async def attach(self, pod_uid: str, netns: str) -> IPv4Address:
        """Give the pod's network namespace (a path) its interface, address and routes.

        A pod that is attached keeps its address, also over a restart of the kubelet.

        Raises: NetworkTrouble, with "no address left" where the node's range is used up.
        """
        ...

    async def detach(self, pod_uid: str) -> None:
        """Take the pod's interface away and free its address; absent is nothing."""
        ...

    async def attached(self) -> Mapping[str, IPv4Address]:
        """Return the address of every pod uid that holds one, wired or only reserved."""
        ...

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        """Make routes to exactly these peers' pods exist; only what differs is touched."""
        ...

    async def reset(self) -> None:
        """Remove everything this driver ever made on this node."""
        ...
