"""The overlay driver: routed pods, and a VXLAN device whose tables are written, never learnt.

Each pod has a veth pair, a /32 address, and the node as its only neighbour; the node has a route
to each of its pods and, through `cube-vxlan`, one to each peer's range. No bridge, no ARP, no
flooding: the pods of one node and of two are reached alike, by routes.

Every call is the same three steps: look (`look`), compare with what is wanted (`facts`), carry out
the difference (`links`). `mend` does so for everything that earlier calls made.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.blocking import Blocking, Threads
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.log import Log
from kubelet.network import facts, ipam, links, overlay
from kubelet.network.driver import Damage, NetworkTrouble, News, Peer
from kubelet.network.dump import Space
from kubelet.network.facts import Facts, Here
from kubelet.network.look import news_of, same_namespace, settings_at, space_at
from kubelet.network.namespace import OWN, SYSCTLS, netlink
from kubelet.network.rtnetlink import NetlinkError

DEADLINE_S = 15.0
VNI = 203
LOOK, RECORD = ("network", "look"), ("network", "record")

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Wired:
    """A pod that is attached: its address, and a handle that keeps its namespace the same one."""

    address: IPv4Address
    handle: int

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.handle}"


class VxlanNetwork:
    """The pod network of one node, in the network namespace at netns (by default our own).

    One act at a time: they are short, the kernel serialises them anyway, and a half-made one is
    never seen by the next.
    """

    def __init__(
        self,
        node_address: IPv4Address,
        checkpoint: Path,
        blocking: Blocking | None = None,
        *,
        vni: int = VNI,
        port: int = overlay.PORT,
        netns: str = OWN,
    ) -> None:
        self._node_address, self._checkpoint = node_address, checkpoint
        self._vni, self._port, self._netns = vni, port, netns
        self._addresses: ipam.Addresses | None = None
        self._here: Here | None = None
        # None: this life has not heard of its peers yet, and leaves them as they were.
        self._overlay: overlay.Overlay | None = None
        self._wired: dict[str, Wired] = {}
        self._lock = asyncio.Lock()
        self._blocking = blocking or Threads()

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        async with self._act("prepare"):
            space = await self._off(space_at, self._netns)
            here = self._standing(space, pod_cidr)
            recorded = await self._blocking.run(RECORD, partial(self._recorded, pod_cidr))
            await self._keep(ipam.adopted(recorded, facts.pods_found(space)))
            self._here = here
            await self._settle_node(space)

    async def reserve(self, pod_uid: str) -> IPv4Address:
        async with self._act("reserve"):
            return await self._taken(pod_uid)

    async def attach(self, pod_uid: str, netns: str) -> IPv4Address:
        async with self._act("attach"):
            address = await self._taken(pod_uid)
            before = self._wired.get(pod_uid)
            if before is None or not same_namespace(before.handle, netns):
                handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
                self._let_go(pod_uid)
                self._wired[pod_uid] = Wired(address, handle)
            await self._settle_pod(pod_uid)
            return address

    async def detach(self, pod_uid: str) -> None:
        async with self._act("detach"):
            self._let_go(pod_uid)
            async with netlink(self._netns) as node:
                await links.remove_device(node, overlay.host_end(pod_uid))
            await self._keep(ipam.freed(self._prepared(), pod_uid))

    async def attached(self) -> Mapping[str, IPv4Address]:
        return dict(self._prepared().held)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        wanted = overlay.overlay_for(peers, self._prepared().pod_cidr)
        async with self._act("reconcile peers"):
            before = self._overlay or overlay.Overlay()
            gone = overlay.surplus(before.routes, wanted.routes)
            new = overlay.lacking(before.routes, wanted.routes)
            self._overlay = wanted
            await self._settle_node(await self._off(space_at, self._netns))
        if gone or new:
            log.info("peers changed", removed=len(gone), added=len(new), all=len(wanted.routes))

    def news(self) -> AbstractContextManager[News]:
        return news_of(self._netns)

    async def mend(self) -> Sequence[Damage]:
        found: list[Damage] = []
        async with self._act("mend"):
            here = self._here
            if here is None:
                return found
            space = await self._off(space_at, self._netns)
            try:
                self._here = self._standing(space, here.pod_cidr)
            except NetworkTrouble as error:
                found.append(Damage(str(error), why=str(error)))
            found += await self._mended("", await self._off(self._node_facts, space))
            for uid, sides in await self._off(self._all_pods_facts, space):
                found += await self._mended(uid, sides)
        return found

    async def reset(self) -> None:
        async with self._act("reset"), netlink(self._netns) as node:
            await links.remove_device(node, overlay.DEVICE)
            for name in facts.host_ends(space_at(self._netns)):
                await links.remove_device(node, name)
            reach = links.Reach(self._netns, node)
            for act in facts.acts(facts.node_found(space_at(self._netns), {}, {}), {}):
                await links.carry_out(act, reach)
            self._forget()

    async def _off[**P, T](self, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Look in a thread: a hundred pods must not hold up the loop."""
        return await self._blocking.run(LOOK, partial(look, *args, **kwargs))

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
        )

    def _node_facts(self, space: Space) -> tuple[Facts, Facts]:
        """Return the node's facts, as found and as wanted."""
        wanted = facts.node_wanted(self._stands(), self._overlay or overlay.Overlay())
        settings = settings_at(self._netns, facts.settings_of(wanted))
        found = facts.node_found(space, settings, wanted)
        return (found if self._overlay is not None else facts.without_peers(found)), wanted

    def _pod_facts(self, uid: str, space: Space) -> tuple[Facts, Facts]:
        """Return a pod's facts, as found and as wanted."""
        wired = self._wired[uid]
        wanted = facts.pod_wanted(uid, wired.address, self._stands())
        settings = settings_at(self._netns, facts.settings_of(wanted))
        pod = space_at(wired.path, is_pod=True)
        return facts.pod_found(uid, space, pod, settings, wanted), wanted

    def _all_pods_facts(self, space: Space) -> list[tuple[str, tuple[Facts, Facts]]]:
        return [(uid, self._pod_facts(uid, space)) for uid in sorted(self._wired)]

    async def _settle_node(self, space: Space) -> None:
        await self._carry_out("", facts.acts(*await self._off(self._node_facts, space)))

    async def _settle_pod(self, uid: str) -> None:
        space = await self._off(space_at, self._netns)
        await self._carry_out(uid, facts.acts(*await self._off(self._pod_facts, uid, space)))

    async def _mended(self, uid: str, sides: tuple[Facts, Facts]) -> list[Damage]:
        """Carry out the difference; tell it, and why it is still there where it is."""
        acts = facts.acts(*sides)
        if not acts:
            return []
        try:
            await self._carry_out(uid, acts)
        except (NetlinkError, OSError) as error:
            return [Damage(facts.told(acts), uid, why=str(error))]
        return [Damage(facts.told(acts), uid)]

    async def _carry_out(self, uid: str, acts: Sequence[facts.Act]) -> None:
        """Carry out every act that can be; raise the first failure when all were tried."""
        if not acts:
            return
        failures: list[NetlinkError | OSError] = []
        async with self._reach(uid) as reach:
            for act in acts:
                try:
                    await links.carry_out(act, reach)
                except (NetlinkError, OSError) as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    @asynccontextmanager
    async def _reach(self, uid: str) -> AsyncGenerator[links.Reach, None]:
        async with netlink(self._netns) as node:
            if not uid:
                yield links.Reach(self._netns, node)
                return
            wired = self._wired[uid]
            async with netlink(wired.path) as pod:
                yield links.Reach(self._netns, node, pod, wired.handle)

    def _let_go(self, uid: str) -> None:
        wired = self._wired.pop(uid, None)
        if wired is not None:
            os.close(wired.handle)

    def _stands(self) -> Here:
        if self._here is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._here

    async def _taken(self, pod_uid: str) -> IPv4Address:
        """Return the pod's address, recorded before it is used: nobody else is ever given it."""
        try:
            addresses, address = ipam.taken(self._prepared(), pod_uid)
        except ipam.NoAddressLeft as error:
            raise NetworkTrouble(f"no address left: {error}") from error
        await self._keep(addresses)
        return address

    def _prepared(self) -> ipam.Addresses:
        if self._addresses is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._addresses

    def _recorded(self, pod_cidr: IPv4Network) -> ipam.Addresses:
        """Return the checkpoint, or an empty one: the interfaces that exist tell the rest."""
        content = read_or_none(self._checkpoint)
        if content is None:
            return ipam.Addresses(pod_cidr)
        try:
            found = ipam.from_checkpoint(content)
        except ipam.CheckpointInvalid as error:
            log.warning("address checkpoint unreadable, rebuilding", error=error)
            return ipam.Addresses(pod_cidr)
        if found.pod_cidr == pod_cidr:
            return found
        log.warning("pod range changed", before=found.pod_cidr, now=pod_cidr)
        return ipam.Addresses(pod_cidr)

    async def _keep(self, addresses: ipam.Addresses) -> None:
        if addresses != self._addresses:
            content = ipam.checkpoint(addresses)
            await self._blocking.run(RECORD, partial(write_atomic, self._checkpoint, content))
            self._addresses = addresses

    def _forget(self) -> None:
        for uid in sorted(self._wired):
            self._let_go(uid)
        self._checkpoint.unlink(missing_ok=True)
        self._addresses = self._here = self._overlay = None

    @asynccontextmanager
    async def _act(self, what: str) -> AsyncGenerator[None, None]:
        """Do one thing at a time, within the deadline, and tell failure in the kubelet's words."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._lock:
                yield
        except TimeoutError as error:
            raise NetworkTrouble(f"{what}: no end after {DEADLINE_S:.0f} s") from error
        except (NetlinkError, OSError) as error:
            raise NetworkTrouble(f"{what}: {error}") from error
