"""What a pod network asks of whatever carries its packets to other nodes."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from kubelet.network.driver import Damage, Peer
from kubelet.network.dump import Space
from kubelet.network.facts import Here


class Carrier(Protocol):
    """Every method is idempotent; the caller has one act under way at a time.

    space: a look at the node's namespace. Whatever fails is raised as NetworkTrouble, NetlinkError
    or OSError.
    """

    @property
    def wires(self) -> tuple[str, ...]:
        """Return the devices that packets of other nodes' pods come in by, beside pods' wires."""
        ...

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the UDP ports of every node by which it carries."""
        ...

    @property
    def moved_to(self) -> IPv4Address | None:
        """Return the address that this node has now in place of its first; None: the first."""
        ...

    @property
    def here(self) -> Here:
        """Where this node stands. Raises: NetworkTrouble: it is not prepared."""
        ...

    async def prepare(self, space: Space, pod_cidr: IPv4Network) -> None:
        """Make this node carry packets of pods that have addresses of pod_cidr."""
        ...

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        """Carry to exactly these peers' pods."""
        ...

    async def told_of(self, peer: Peer, /) -> str:
        """Return what is known of the way to a peer that does not answer, and try it anew."""
        ...

    async def mend(self, space: Space) -> list[Damage]:
        """Put right what is damaged of what was prepared and reconciled; return what was found."""
        ...

    async def reset(self) -> None:
        """Remove all that this carrier made, and forget where the node stands."""
        ...
