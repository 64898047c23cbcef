"""What the kubelet asks of a pod network, in the kubelet's words."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple, Protocol


class NetworkTrouble(Exception):
    """The network could not do it; the text says what and why. Worth another try."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: where its host is, and which pod addresses live there.

    mtu_bytes: the largest packet that gets there whole by the nodes' own network; 0: not known.
    """

    name: str
    address: IPv4Address
    pod_cidr: IPv4Network
    mtu_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that was not as it should be, and was put right unless why says what forbade it.

    pod_uid: the pod that it was the network of; empty where it was the node's.
    """

    what: str
    pod_uid: str = ""
    why: str = ""


class PortWish(NamedTuple):
    """A port of the node that leads to one of the pod; host_ip empty: at every address."""

    host_ip: str
    host_port: int
    protocol: str  # tcp, udp
    port: int


class NetworkWish(NamedTuple):
    """A further interface of a pod, in a network by its name; ips, mac: as they should be."""

    network: str
    device: str
    ips: tuple[str, ...] = ()
    mac: str = ""


class Interface(NamedTuple):
    """An interface that a pod has, with the network's name."""

    network: str
    device: str
    addresses: tuple[str, ...]
    mac: str = ""
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class PodWishes:
    """What a network may know of a pod beside its uid. 0 bits a second is no limit."""

    namespace: str = ""
    name: str = ""
    sandbox_id: str = ""
    ports: tuple[PortWish, ...] = ()
    ingress_bits_s: int = 0
    egress_bits_s: int = 0
    networks: tuple[NetworkWish, ...] = ()


NO_WISHES = PodWishes()


class News(Protocol):
    """Set whenever something may have happened to the network, by whomever."""

    async def wait(self) -> object: ...

    def clear(self) -> None: ...


class NetworkDriver(Protocol):
    """Every method is idempotent: the kubelet repeats it after a crash."""

    @property
    def wires(self) -> tuple[str, ...]:
        """Return the devices that pods' packets come in by, as iptables' patterns.

        None where that is not known: then no rule can tell a pod's packet by its way in.
        """
        ...

    @property
    def overlay_ports(self) -> tuple[int, ...]:
        """Return the UDP ports by which nodes carry pods' packets to each other.

        None where plugins see to that. Where there are some, each node has the first address of
        its range, and answers at it.
        """
        ...

    @property
    def maps_ports(self) -> bool:
        """Return whether attach leads the ports of the node that a pod wishes."""
        ...

    @property
    def moved_to(self) -> IPv4Address | None:
        """Return the address that this node has now in place of its first; None: the first."""
        ...

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        """Make this node ready to carry pods with addresses from pod_cidr."""
        ...

    async def reserve(self, pod_uid: str) -> IPv4Address | None:
        """Return the address that the pod will have, before there is a namespace to give it to.

        None: the plugins that give addresses tell none before attach. Nobody may have it before it
        is recorded.

        Raises: NetworkTrouble, with "no address left" where the node's range is used up.
        """
        ...

    async def recorded(self) -> None:
        """Return once each address that was reserved before is on disk, as attach does as well.

        Raises: NetworkTrouble.
        """
        ...

    async def attach(
        self, pod_uid: str, netns: str, wishes: PodWishes = NO_WISHES, /
    ) -> IPv4Address:
        """Give the pod's network namespace (a path) its interface, address and routes.

        A pod that is attached keeps its address, also over a restart of the kubelet.

        Raises: NetworkTrouble, with "no address left" where the node's range is used up.
        """
        ...

    async def detach(self, pod_uid: str) -> None:
        """Take the pod's interface away and free its address; absent is nothing."""
        ...

    def interfaces(self, pod_uid: str) -> tuple[Interface, ...]:
        """Return what a pod has that was given further interfaces; none: it has one."""
        ...

    async def attached(self) -> Mapping[str, IPv4Address]:
        """Return the address of every pod uid that holds one, wired or only reserved."""
        ...

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        """Make routes to exactly these peers' pods exist; only what differs is touched."""
        ...

    async def told_of(self, peer: Peer, /) -> str:
        """Return what the network itself says of a peer that does not answer; it tries it anew.

        Empty where it has nothing to say.
        """
        ...

    def news(self) -> AbstractContextManager[News]:
        """Listen to what happens to the network until the block ends."""
        ...

    async def mend(self) -> Sequence[Damage]:
        """Look at all that was prepared, attached and reconciled; put right what is damaged.

        What lives on goes on: only what is damaged is touched. Returns what was found.
        """
        ...

    async def reset(self) -> None:
        """Remove everything this driver ever made on this node."""
        ...
