"""Carries packets by a Weave router's bridge: it forwards frames, and every table is ours.

Pods are routed as ever: one route to each peer's range by the bridge, with a neighbour that is
written and never asked for, since a bridge's MAC is its peer's name. Which peers there are is told
by Node objects; the router is told their addresses. Its allocator, its names and its policies are
not used.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.blocking import Blocking
from cubernetes.host.log import Log
from kubelet.network import overlay
from kubelet.network.carriers.routes import Routes
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.weaveapi import ESTABLISHED, WeaveRouter
from kubelet.network.driver import Damage, NetworkTrouble, Peer
from kubelet.network.dump import Link, Space
from kubelet.network.facts import Here
from kubelet.network.namespace import OWN, SYSCTLS
from kubelet.network.overlay import BRIDGE, Overlay, peer_mac

log = Log(__name__)


class WeaveCarrier:
    """One node's part of a Weave network, in the network namespace at netns (by default our own).

    The router is a program of its own, which makes the bridge.
    """

    def __init__(
        self,
        node_name: str,
        standing: Standing,
        blocking: Blocking,
        *,
        netns: str = OWN,
    ) -> None:
        self._standing, self._mac = standing, peer_mac(node_name)
        self._router = WeaveRouter(netns)
        self._routes = Routes(self, standing, blocking, netns)
        self._targets: list[str] | None = None  # None: nobody has told of peers yet

    @property
    def wires(self) -> tuple[str, ...]:
        return (BRIDGE,)

    @property
    def ports(self) -> tuple[int, ...]:
        return overlay.WEAVE_PORTS

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._routes.moved_to

    @property
    def here(self) -> Here:
        return self._routes.here

    async def prepare(self, space: Space, pod_cidr: IPv4Network) -> None:
        await self._router.targets()
        await self._routes.prepare(space, pod_cidr)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        known = overlay.reachable(peers, self.here.pod_cidr)
        await self._routes.reconcile_peers(known)
        self._targets = sorted(str(one.address) for one in known)
        await self._aim()

    async def told_of(self, peer: Peer) -> str:
        state = await self._router.connection(peer.address)
        if state.startswith(ESTABLISHED):
            return ""
        # It waits for longer after each failure, up to some minutes: told again, it tries at once.
        await self._router.connect(self._targets or ())
        return f"Weave: {state}"

    async def mend(self, space: Space) -> list[Damage]:
        found = await self._routes.mend(space)
        try:
            if self._targets is not None and await self._aim():
                found.append(Damage("the addresses that the Weave router connects to"))
        except NetworkTrouble as error:
            found.append(Damage("the Weave router", why=str(error)))
        return found

    async def reset(self) -> None:
        await self._routes.remove(BRIDGE)
        self._targets = None

    def overlay_for(self, peers: Iterable[Peer], own: IPv4Network) -> Overlay:
        return overlay.weave_overlay_for(peers, own)

    def here_on(self, under: Link, space: Space, pod_cidr: IPv4Network) -> Here:
        bridge = space.links.get(BRIDGE)
        if bridge is None:
            raise NetworkTrouble(f"the Weave router has made no bridge {BRIDGE} yet")
        if bridge.mac != self._mac:
            raise NetworkTrouble(
                f"the bridge {BRIDGE} is of another Weave router: its name is {bridge.mac}, not "
                f"{self._mac}. End that one, or `cuberoot start` begins ours again"
            )
        if not bridge.is_up:
            raise NetworkTrouble(f"the Weave router's bridge {BRIDGE} is down")
        return Here(
            address=self._standing.address,
            under=under.index,
            mtu_bytes=min(bridge.mtu_bytes, under.mtu_bytes - overlay.WEAVE_OVERHEAD_BYTES),
            pod_cidr=pod_cidr,
            vni=0,
            port=0,
            has_ipv6=(SYSCTLS / "ipv6").exists(),
            device=BRIDGE,
        )

    async def _aim(self) -> bool:
        """Have the router connect to the peers; tell whether it did not."""
        wanted = self._targets or []
        if await self._router.targets() == wanted:
            return False
        await self._router.connect(wanted)
        log.info("the Weave router connects to other nodes", count=len(wanted))
        return True
