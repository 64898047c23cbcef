"""Carries packets in VXLAN: a device whose tables are written, never learnt. No ARP, no flooding.

The node has one route to each peer's range, through `cube-vxlan`. Every call is the same three
steps: look (`look`), compare with what is wanted (`facts`), carry out the difference (`links`).
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.blocking import Blocking
from cubernetes.host.log import Log
from kubelet.network import facts, links, overlay
from kubelet.network.carriers.settling import carry_out, mended, off
from kubelet.network.driver import Damage, NetworkTrouble, Peer
from kubelet.network.dump import Space
from kubelet.network.facts import Facts, Here
from kubelet.network.look import settings_at, space_at
from kubelet.network.namespace import OWN, SYSCTLS, netlink

VNI = 203

log = Log(__name__)


class VxlanCarrier:
    """The overlay of one node, in the network namespace at netns (by default our own)."""

    def __init__(
        self,
        node_address: IPv4Address,
        blocking: Blocking,
        *,
        vni: int = VNI,
        port: int = overlay.PORT,
        netns: str = OWN,
        refuses_range: bool = True,
    ) -> None:
        self._node_address, self._blocking = node_address, blocking
        self._vni, self._port, self._netns = vni, port, netns
        self._refuses_range = refuses_range
        self._here: Here | None = None
        # None: this life has not heard of its peers yet, and leaves them as they were.
        self._overlay: overlay.Overlay | None = None

    @property
    def here(self) -> Here:
        if self._here is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._here

    async def prepare(self, space: Space, pod_cidr: IPv4Network) -> None:
        self._here = self._standing(space, pod_cidr)
        await self._settle(space)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        wanted = overlay.overlay_for(peers, self.here.pod_cidr)
        before = self._overlay or overlay.Overlay()
        gone = overlay.surplus(before.routes, wanted.routes)
        new = overlay.lacking(before.routes, wanted.routes)
        self._overlay = wanted
        await self._settle(await off(self._blocking, space_at, self._netns))
        if gone or new:
            log.info("peers changed", removed=len(gone), added=len(new), all=len(wanted.routes))

    async def mend(self, space: Space) -> list[Damage]:
        found = []
        try:
            self._here = self._standing(space, self.here.pod_cidr)
        except NetworkTrouble as error:
            found.append(Damage(str(error), why=str(error)))
        return found + await mended("", await off(self._blocking, self._sides, space), self._netns)

    async def reset(self) -> None:
        async with netlink(self._netns) as node:
            await links.remove_device(node, overlay.DEVICE)
        left = facts.node_found(space_at(self._netns), {}, {})
        await carry_out(facts.acts(left, {}), self._netns)
        self._here = self._overlay = None

    def _standing(self, space: Space, pod_cidr: IPv4Network) -> Here:
        """Return where this node stands. Raises: NetworkTrouble, where its address is gone."""
        under = facts.card_of(space, self._node_address)
        if under is None:
            others = ", ".join(str(one) for one in facts.cards_addresses(space)) or "none"
            raise NetworkTrouble(
                f"no device has this node's address {self._node_address} (others: {others}). "
                "Give it back; or, where it changed for good, run `cuberoot reset` here and join "
                "again by the new one"
            )
        return Here(
            address=self._node_address,
            under=under.index,
            mtu_bytes=under.mtu_bytes - overlay.OVERHEAD_BYTES,
            pod_cidr=pod_cidr,
            vni=self._vni,
            port=self._port,
            has_ipv6=(SYSCTLS / "ipv6").exists(),
            refuses_range=self._refuses_range,
        )

    def _sides(self, space: Space) -> tuple[Facts, Facts]:
        """Return the node's facts, as found and as wanted."""
        wanted = facts.node_wanted(self.here, self._overlay or overlay.Overlay())
        settings = settings_at(self._netns, facts.settings_of(wanted))
        found = facts.node_found(space, settings, wanted)
        return (found if self._overlay is not None else facts.without_peers(found)), wanted

    async def _settle(self, space: Space) -> None:
        await carry_out(facts.acts(*await off(self._blocking, self._sides, space)), self._netns)
