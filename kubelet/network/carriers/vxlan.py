"""Carries packets in VXLAN: a device whose tables are written, never learnt. No ARP."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.blocking import Blocking
from kubelet.network import links, overlay
from kubelet.network.carriers.routes import Routes
from kubelet.network.carriers.standing import Standing
from kubelet.network.driver import Damage, Peer
from kubelet.network.dump import Link, Space
from kubelet.network.facts import Here
from kubelet.network.namespace import OWN, SYSCTLS, netlink
from kubelet.network.overlay import Overlay

VNI = 203


class VxlanCarrier:
    """The overlay of one node, in the network namespace at netns (by default our own)."""

    def __init__(
        self,
        standing: Standing,
        blocking: Blocking,
        *,
        vni: int = VNI,
        port: int = overlay.PORT,
        netns: str = OWN,
        refuses_range: bool = True,
    ) -> None:
        self._standing = standing
        self._vni, self._port, self._netns = vni, port, netns
        self._refuses_range = refuses_range
        self._routes = Routes(self, standing, blocking, netns)

    @property
    def wires(self) -> tuple[str, ...]:
        return ()  # the device's name is like those of pods' wires

    @property
    def ports(self) -> tuple[int, ...]:
        return (self._port,)

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._routes.moved_to

    @property
    def here(self) -> Here:
        return self._routes.here

    async def prepare(self, space: Space, pod_cidr: IPv4Network) -> None:
        await self._routes.prepare(space, pod_cidr)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        await self._routes.reconcile_peers(peers)

    async def told_of(self, _peer: Peer) -> str:
        return ""

    async def mend(self, space: Space) -> list[Damage]:
        return await self._routes.mend(space)

    async def reset(self) -> None:
        async with netlink(self._netns) as node:
            await links.remove_device(node, overlay.DEVICE)
        await self._routes.remove(overlay.DEVICE)

    def overlay_for(self, peers: Iterable[Peer], own: IPv4Network) -> Overlay:
        return overlay.overlay_for(peers, own)

    def here_on(self, under: Link, _space: Space, pod_cidr: IPv4Network) -> Here:
        return Here(
            address=self._standing.address,
            under=under.index,
            mtu_bytes=under.mtu_bytes - overlay.OVERHEAD_BYTES,
            pod_cidr=pod_cidr,
            vni=self._vni,
            port=self._port,
            has_ipv6=(SYSCTLS / "ipv6").exists(),
            refuses_range=self._refuses_range,
        )
