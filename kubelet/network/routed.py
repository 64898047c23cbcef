"""The routed driver: a wire and a route to each pod; a carrier takes packets to other nodes.

Each pod has a veth pair, a /32 address, and the node as its only neighbour; the node has a route
to each of its pods. No bridge, no ARP, no flooding: the pods of one node and of two are reached
alike, by routes.

Every call is the same three steps: look (`look`), compare with what is wanted (`facts`), carry out
the difference (`links`). `mend` does so for everything that earlier calls made.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.blocking import Blocking
from kubelet.network import facts, links, overlay
from kubelet.network.carriers.carrier import Carrier
from kubelet.network.carriers.settling import act, carry_out, mended, off
from kubelet.network.driver import (
    NO_WISHES,
    Damage,
    Interface,
    NetworkTrouble,
    News,
    Peer,
    PodWishes,
)
from kubelet.network.dump import Space
from kubelet.network.facts import Facts
from kubelet.network.look import news_of, same_namespace, settings_at, space_at
from kubelet.network.namespace import OWN, netlink
from kubelet.network.pool import AddressPool


@dataclass(frozen=True, slots=True)
class Wired:
    """A pod that is attached: its address, and a handle that keeps its namespace the same one."""

    address: IPv4Address
    handle: int

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.handle}"


class RoutedNetwork:
    """The pod network of one node, in the network namespace at netns (by default our own).

    One act at a time: they are short, the kernel serialises them anyway, and a half-made one is
    never seen by the next.
    """

    def __init__(
        self, carrier: Carrier, checkpoint: Path, blocking: Blocking, *, netns: str = OWN
    ) -> None:
        self._carrier, self._pool = carrier, AddressPool(checkpoint, blocking)
        self._blocking, self._netns = blocking, netns
        self._wired: dict[str, Wired] = {}
        self._lock = asyncio.Lock()

    @property
    def wires(self) -> tuple[str, ...]:
        return (overlay.WIRES, *self._carrier.wires)

    @property
    def overlay_ports(self) -> tuple[int, ...]:
        return self._carrier.ports

    @property
    def maps_ports(self) -> bool:
        return False

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._carrier.moved_to

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        async with act("prepare", self._lock):
            space = await off(self._blocking, space_at, self._netns)
            await self._carrier.prepare(space, pod_cidr)
            await self._pool.open(pod_cidr, facts.pods_found(space))

    async def reserve(self, pod_uid: str) -> IPv4Address:
        if (held := self._pool.held.get(pod_uid)) is not None:
            return held  # a look at all pods' wires holds up nobody who only asks
        async with act("reserve", self._lock):
            return self._pool.chosen(pod_uid)

    async def recorded(self) -> None:
        async with act("record addresses", nullcontext()):
            await self._pool.settled()

    async def attach(
        self, pod_uid: str, netns: str, wishes: PodWishes = NO_WISHES, /
    ) -> IPv4Address:
        if wishes.networks:
            named = ", ".join(one.network for one in wishes.networks)
            raise NetworkTrouble(
                f"no further networks ({named}): this cluster's is not of the kind cni"
            )
        async with act("attach", self._lock):
            address = await self._pool.taken(pod_uid)
            before = self._wired.get(pod_uid)
            is_other = before is None or before.address != address
            if is_other or not same_namespace(self._wired[pod_uid].handle, netns):
                handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
                self._let_go(pod_uid)
                self._wired[pod_uid] = Wired(address, handle)
            await self._settle_pod(pod_uid)
            return address

    async def detach(self, pod_uid: str) -> None:
        async with act("detach", self._lock):
            self._let_go(pod_uid)
            async with netlink(self._netns) as node:
                await links.remove_device(node, overlay.host_end(pod_uid))
            await self._pool.freed(pod_uid)

    def interfaces(self, _pod_uid: str) -> tuple[Interface, ...]:
        return ()

    async def attached(self) -> Mapping[str, IPv4Address]:
        return dict(self._pool.held)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        async with act("reconcile peers", self._lock):
            await self._carrier.reconcile_peers(peers)

    async def told_of(self, peer: Peer) -> str:
        async with act("ask about a peer", self._lock):
            return await self._carrier.told_of(peer)

    def news(self) -> AbstractContextManager[News]:
        return news_of(self._netns)

    async def mend(self) -> Sequence[Damage]:
        async with act("mend", self._lock):
            if not self._pool.is_open:
                return ()
            space = await off(self._blocking, space_at, self._netns)
            found = await self._carrier.mend(space)
            for uid, sides in await off(self._blocking, self._all_pods_facts, space):
                found += await mended(uid, sides, self._netns, self._wired[uid].handle)
            return found

    async def reset(self) -> None:
        async with act("reset", self._lock):
            async with netlink(self._netns) as node:
                for name in facts.host_ends(space_at(self._netns)):
                    await links.remove_device(node, name)
            await self._carrier.reset()
            self._forget()

    def _pod_facts(self, uid: str, space: Space) -> tuple[Facts, Facts]:
        """Return a pod's facts, as found and as wanted."""
        wired = self._wired[uid]
        wanted = facts.pod_wanted(uid, wired.address, self._carrier.here)
        settings = settings_at(self._netns, facts.settings_of(wanted))
        pod = space_at(wired.path, is_pod=True)
        return facts.pod_found(uid, space, pod, settings, wanted), wanted

    def _all_pods_facts(self, space: Space) -> list[tuple[str, tuple[Facts, Facts]]]:
        return [(uid, self._pod_facts(uid, space)) for uid in sorted(self._wired)]

    async def _settle_pod(self, uid: str) -> None:
        space = await off(self._blocking, space_at, self._netns)
        acts = facts.acts(*await off(self._blocking, self._pod_facts, uid, space))
        await carry_out(acts, self._netns, self._wired[uid].handle)

    def _let_go(self, uid: str) -> None:
        wired = self._wired.pop(uid, None)
        if wired is not None:
            os.close(wired.handle)

    def _forget(self) -> None:
        for uid in sorted(self._wired):
            self._let_go(uid)
        self._pool.remove_checkpoint()
