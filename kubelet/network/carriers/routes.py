"""What every carrier of ours does: one route to each peer's range, by the device between nodes.

Every call is the same three steps: look (`look`), compare with what is wanted (`facts`), carry out
the difference (`links`). What the device is, and how it knows where a peer is, differs.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from cubernetes.host.blocking import Blocking
from cubernetes.host.log import Log
from kubelet.network import facts, overlay
from kubelet.network.carriers.settling import carry_out, mended, off
from kubelet.network.carriers.standing import Standing
from kubelet.network.driver import Damage, NetworkTrouble, Peer
from kubelet.network.dump import Link, Space
from kubelet.network.facts import Facts, Here
from kubelet.network.look import settings_at, space_at
from kubelet.network.overlay import Overlay

log = Log(__name__)


class Medium(Protocol):
    """What differs between carriers. Pure."""

    def overlay_for(self, peers: Iterable[Peer], own: IPv4Network) -> Overlay:
        """Return what the device's tables must hold."""
        ...

    def here_on(self, under: Link, space: Space, pod_cidr: IPv4Network) -> Here:
        """Return where a node stands whose address is on a card. Raises: NetworkTrouble."""
        ...


class Routes:
    """The routes of one node to its peers' ranges, in the network namespace at netns."""

    def __init__(self, medium: Medium, standing: Standing, blocking: Blocking, netns: str) -> None:
        self._medium, self._standing = medium, standing
        self._blocking, self._netns = blocking, netns
        self._here: Here | None = None
        # None: this life has not heard of its peers yet, and leaves them as they were.
        self._overlay: Overlay | None = None

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._standing.moved_to

    @property
    def here(self) -> Here:
        if self._here is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._here

    async def prepare(self, space: Space, pod_cidr: IPv4Network) -> None:
        self._here = self._here_in(space, pod_cidr)
        await self._settle(space)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        wanted = self._medium.overlay_for(peers, self.here.pod_cidr)
        before = self._overlay or Overlay()
        gone = overlay.surplus(before.routes, wanted.routes)
        new = overlay.lacking(before.routes, wanted.routes)
        self._overlay = wanted
        await self._settle(await off(self._blocking, space_at, self._netns))
        if gone or new:
            log.info("peers changed", removed=len(gone), added=len(new), all=len(wanted.routes))

    async def mend(self, space: Space) -> list[Damage]:
        found, before = [], self._standing.address
        try:
            self._here = self._here_in(space, self.here.pod_cidr)
        except NetworkTrouble as error:
            found.append(Damage(str(error), why=str(error)))
        if self._standing.address != before:
            found.append(Damage(f"this node's address, which was {before}: {self.here.address}"))
        return found + await mended("", await off(self._blocking, self._sides, space), self._netns)

    async def remove(self, device: str) -> None:
        """Remove all that is left of ours, also by a device that somebody else made."""
        left = facts.node_found(space_at(self._netns), {}, {}, device)
        await carry_out(facts.acts(left, {}), self._netns)
        self._here = self._overlay = None

    def _here_in(self, space: Space, pod_cidr: IPv4Network) -> Here:
        """Return where this node stands. Raises: NetworkTrouble, where its address is gone."""
        return self._medium.here_on(self._standing.card_in(space), space, pod_cidr)

    def _sides(self, space: Space) -> tuple[Facts, Facts]:
        """Return the node's facts, as found and as wanted."""
        here = self.here
        wanted = facts.node_wanted(here, self._overlay or Overlay())
        settings = settings_at(self._netns, facts.settings_of(wanted))
        found = facts.node_found(space, settings, wanted, here.device)
        if self._overlay is None:
            found = facts.without_peers(found, here.device)
        return found, wanted

    async def _settle(self, space: Space) -> None:
        await carry_out(facts.acts(*await off(self._blocking, self._sides, space)), self._netns)
