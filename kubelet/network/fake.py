"""A pod network without packets: addresses and peers, kept as the real one keeps them.

`FakeFabric` is the node's kernel: it outlives the driver, as interfaces outlive a kubelet.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.env import Env
from kubelet.network import ipam
from kubelet.network.driver import (
    NO_WISHES,
    Damage,
    Interface,
    NetworkTrouble,
    News,
    Peer,
    PodWishes,
)
from kubelet.network.overlay import PORT, WIRES, Overlay, overlay_for

CALL_S = 0.01


class FakeFabric:
    """What a node remembers of its pod network while kubelets come and go."""

    def __init__(self) -> None:
        self.addresses: ipam.Addresses | None = None
        self.older: ipam.Addresses | None = None  # what the disk says, while it says less
        self.record_s = 0.0  # how long that disk takes
        self.record_trouble = ""  # where given, it takes nothing
        self.namespaces: dict[str, str] = {}  # pod uid -> the namespace that has its interface
        self.overlay = Overlay()
        self.interfaces: dict[str, tuple[Interface, ...]] = {}  # of pods that have several
        self.trouble = ""  # where given, every call fails with it
        self.cut: set[str] = set()  # pods whose interface somebody took away
        self.beyond_repair: set[str] = set()  # pods that cannot be given another one
        self.moved_to: IPv4Address | None = None  # where the node's address has changed
        self.lost = ""  # where given, why the node itself cannot carry pods
        self.news = asyncio.Event()

    def reboot(self) -> None:
        """Lose every interface and keep what is on disk."""
        self.namespaces.clear()
        self.overlay = Overlay()

    def cut_off(self, pod_uid: str, *, for_good: bool = False) -> None:
        """Take a pod's interface away, behind the driver's back."""
        self.cut.add(pod_uid)
        if for_good:
            self.beyond_repair.add(pod_uid)
        self.news.set()


class FakeNetwork:
    """A driver's handle on a fabric."""

    def __init__(self, env: Env, fabric: FakeFabric) -> None:
        self._clock, self._fabric = env.clock, fabric
        self._is_prepared = False
        self._overlay = Overlay()
        self._attached: set[str] = set()  # in this life: no other pod is looked after

    @property
    def wires(self) -> tuple[str, ...]:
        return (WIRES,)

    @property
    def overlay_ports(self) -> tuple[int, ...]:
        return (PORT,)

    @property
    def maps_ports(self) -> bool:
        return False

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._fabric.moved_to

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        await self._asked()
        if not self._is_prepared and self._fabric.older is not None:
            self._fabric.addresses, self._fabric.older = self._fabric.older, None
        found = self._fabric.addresses
        if found is None or found.pod_cidr != pod_cidr:
            self._fabric.addresses = ipam.Addresses(pod_cidr)
        self._is_prepared = True

    async def attach(
        self, pod_uid: str, netns: str, _wishes: PodWishes = NO_WISHES, /
    ) -> IPv4Address:
        address = await self.reserve(pod_uid)
        self._fabric.older = None
        self._fabric.namespaces[pod_uid] = netns
        self._fabric.cut -= {pod_uid}
        self._attached.add(pod_uid)
        return address

    async def reserve(self, pod_uid: str) -> IPv4Address:
        await self._asked()
        before = self._prepared()
        try:
            self._fabric.addresses, address = ipam.taken(before, pod_uid)
        except ipam.NoAddressLeft as error:
            raise NetworkTrouble(f"no address left: {error}") from error
        if self._fabric.older is None and self._fabric.addresses != before:
            self._fabric.older = before
        return address

    async def recorded(self) -> None:
        await self._asked()
        if self._fabric.older is not None:
            await self._clock.sleep(self._fabric.record_s)
            if self._fabric.record_trouble:
                raise NetworkTrouble(self._fabric.record_trouble)
            self._fabric.older = None

    async def detach(self, pod_uid: str) -> None:
        await self._asked()
        self._fabric.older = None
        self._fabric.addresses = ipam.freed(self._prepared(), pod_uid)
        self._fabric.namespaces.pop(pod_uid, None)

    def interfaces(self, pod_uid: str) -> tuple[Interface, ...]:
        return self._fabric.interfaces.get(pod_uid, ())

    async def attached(self) -> Mapping[str, IPv4Address]:
        return dict(self._prepared().held)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        await self._asked()
        self._overlay = self._fabric.overlay = overlay_for(peers, self._prepared().pod_cidr)

    async def told_of(self, _peer: Peer) -> str:
        await self._asked()
        return ""

    def news(self) -> AbstractContextManager[News]:
        return nullcontext(self._fabric.news)

    async def mend(self) -> Sequence[Damage]:
        await self._asked()
        if not self._is_prepared:
            return ()
        found = []
        if self._fabric.overlay != self._overlay:
            self._fabric.overlay = self._overlay
            found.append(Damage("the overlay"))
        if self._fabric.lost:
            found.append(Damage("the node's address", why=self._fabric.lost))
        known = self._attached & self._fabric.namespaces.keys()
        for uid in sorted(self._fabric.cut & known):
            is_lost = uid in self._fabric.beyond_repair
            found.append(Damage("the pair", uid, why="it may not be made" if is_lost else ""))
        self._fabric.cut -= known - self._fabric.beyond_repair
        return found

    async def reset(self) -> None:
        await self._asked()
        self._fabric.addresses = self._fabric.older = None
        self._fabric.reboot()
        self._is_prepared = False

    def _prepared(self) -> ipam.Addresses:
        if self._fabric.addresses is None or not self._is_prepared:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._fabric.addresses

    async def _asked(self) -> None:
        await self._clock.sleep(CALL_S)
        if self._fabric.trouble:
            raise NetworkTrouble(self._fabric.trouble)
