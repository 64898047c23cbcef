"""The CNI driver: pods are wired by plugins that the administrator chose; we call and remember.

A configuration that says `usePodCidr` gives out the range of each node: the addresses are then
ours, asked for by name, and our overlay carries packets between the nodes. With any other the
plugins give addresses and carry packets, and no peer concerns this driver.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from weakref import WeakValueDictionary

import msgspec

from cubernetes.host.blocking import Blocking
from cubernetes.host.cni.conflist import Conflist, for_node, wires_of
from cubernetes.host.cni.plugins import PluginFailed, Plugins
from cubernetes.host.log import Log
from kubelet.network import links
from kubelet.network.carriers.carrier import Carrier
from kubelet.network.carriers.settling import act, off
from kubelet.network.carriers.standing import Standing
from kubelet.network.cni.leases import drop_empty_leases
from kubelet.network.cni.looks import (
    Look,
    let_bridges_be_filtered,
    look_at,
    looks_of,
    names_at,
    place_of,
)
from kubelet.network.cni.others import OtherNetworks, interfaces_of
from kubelet.network.cni.records import NOWHERE, More, Record, Records
from kubelet.network.cni.telling import args_for, judged, runtime_for
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
from kubelet.network.look import news_of, space_at
from kubelet.network.namespace import OWN, netlink
from kubelet.network.overlay import WIRES
from kubelet.network.pool import AddressPool
from kubelet.network.rtnetlink import NetlinkError

RECORD = ("network", "cni records")
PARALLEL_MAX = 8
RESET_S = 100.0
MTU_BYTES = 1500  # of a device that is only taken back

log = Log(__name__)


class CniNetwork:
    """The pod network of one node, in the network namespace at netns (by default our own).

    pool: where the addresses are this node's to give. carrier: of packets to other nodes, where
    the plugins carry none. others: the networks that pods may ask for beside this one.
    """

    def __init__(  # noqa: PLR0913  its parts, each with a life of its own
        self,
        conflist: Conflist,
        plugins: Plugins,
        records: Records,
        pod_range: IPv4Network,
        standing: Standing,
        blocking: Blocking,
        *,
        pool: AddressPool | None,
        carrier: Carrier | None,
        others: OtherNetworks,
        netns: str = OWN,
    ) -> None:
        self._conflist, self._plugins, self._disk = conflist, plugins, records
        self._pod_range, self._blocking, self._netns = pod_range, blocking, netns
        self._pool, self._carrier, self._standing = pool, carrier, standing
        self._others = others
        self._bound: Conflist | None = None
        self._records: dict[str, Record] = {}
        self._wired: set[str] = set()  # in this life: no other pod is looked after
        self._checked = ""
        self._lock, self._gate = asyncio.Lock(), asyncio.Semaphore(PARALLEL_MAX)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def wires(self) -> tuple[str, ...]:
        wires = wires_of(self._conflist)
        return (WIRES, *wires) if wires and self._carrier is not None else wires

    @property
    def overlay_ports(self) -> tuple[int, ...]:
        return self._carrier.ports if self._carrier is not None else ()

    @property
    def maps_ports(self) -> bool:
        return self._conflist.can("portMappings")

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._standing.moved_to

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        async with act("prepare", self._lock):
            bound = self._conflist
            if "bridge" in bound.types:
                let_bridges_be_filtered(self._netns)
            if self._carrier is not None:
                await self._carrier.prepare(
                    await off(self._blocking, space_at, self._netns), pod_cidr
                )
                bound = for_node(bound, pod_cidr, self._carrier.here.mtu_bytes)
            load = partial(self._disk.load_records, bound)
            self._records = await self._blocking.run(RECORD, load)
            if self._pool is not None:
                await self._pool.open(pod_cidr, self._addresses())
            await self._drop_empty_leases(bound)
            for one in await self._others.known():
                try:
                    await self._drop_empty_leases(one)
                except (NetworkTrouble, OSError) as trouble:  # the node's own network needs it not
                    log.warning("empty leases stay", network=one.name, why=trouble)
            self._bound = bound
        await self._collect(bound)

    async def _drop_empty_leases(self, network: Conflist) -> None:
        """Let go of what a power cut left empty. Raises: NetworkTrouble, OSError."""
        if dropped := await self._blocking.run(RECORD, partial(drop_empty_leases, network)):
            told = ", ".join(map(str, dropped))
            log.warning("empty leases removed", network=network.name, addresses=told)

    async def reserve(self, pod_uid: str) -> IPv4Address | None:
        async with act("reserve", self._lock):
            self._prepared()
            return self._pool.chosen(pod_uid) if self._pool is not None else None

    async def recorded(self) -> None:
        if self._pool is not None:
            async with act("record addresses", nullcontext()):
                await self._pool.settled()

    async def attach(
        self, pod_uid: str, netns: str, wishes: PodWishes = NO_WISHES, /
    ) -> IPv4Address:
        async with self._turn(pod_uid, "attach"):
            bound, wish = self._prepared(), await self.reserve(pod_uid)
            place = await off(self._blocking, place_of, netns)
            if place == NOWHERE:
                raise NetworkTrouble(f"attach: there is no network namespace at {netns}")
            record = self._records.get(pod_uid)
            if record is not None and record.address and record.place == place:
                look = (await off(self._blocking, looks_of, (record,), self._netns)).get(pod_uid)
                if look is not None and look.is_whole:
                    self._wired.add(pod_uid)
                    return IPv4Address(record.address)
            if record is not None:
                await self._take_back(record)
            wanted = Record(
                uid=pod_uid,
                netns=netns,
                place=place,
                config=bound.tree,
                args=args_for(pod_uid, wishes, wish),
                runtime=runtime_for(wishes, wish),
                more=await self._others.wanted(wishes),
            )
            self._wired.add(pod_uid)
            return await self._add(wanted)

    async def detach(self, pod_uid: str) -> None:
        async with self._turn(pod_uid, "detach"):
            self._wired.discard(pod_uid)
            record = self._records.get(pod_uid)
            if record is not None:
                await self._take_back(record)
                await self._blocking.run(RECORD, partial(self._disk.remove_record, pod_uid))
                del self._records[pod_uid]
            if self._pool is not None:
                async with self._lock:
                    await self._pool.freed(pod_uid)

    def interfaces(self, pod_uid: str) -> tuple[Interface, ...]:
        record = self._records.get(pod_uid)
        return interfaces_of(record) if record is not None and record.address else ()

    async def attached(self) -> Mapping[str, IPv4Address]:
        self._prepared()
        return dict(self._pool.held if self._pool is not None else self._addresses())

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        async with act("reconcile peers", self._lock):
            self._prepared()
            if self._carrier is not None:
                await self._carrier.reconcile_peers(peers)

    async def told_of(self, peer: Peer) -> str:
        if self._carrier is None:
            return ""
        async with act("ask about a peer", self._lock):
            return await self._carrier.told_of(peer)

    def news(self) -> AbstractContextManager[News]:
        return news_of(self._netns)

    async def mend(self) -> Sequence[Damage]:
        if self._bound is None:
            return ()
        found: list[Damage] = []
        async with act("mend", self._lock):
            space = await off(self._blocking, space_at, self._netns)
            if self._carrier is not None:
                found += await self._carrier.mend(space)
            else:
                found += self._where(space)
            known = [self._records[uid] for uid in sorted(self._wired & self._records.keys())]
            whole = [one for one in known if one.address]
            looks = await off(self._blocking, looks_of, whole, self._netns)
        for one in whole:
            look = looks.get(one.uid)
            if look is not None and look.lost:
                found += await self._mended(one, ", ".join(look.lost))
        return found + await self._check_next(looks)

    def _where(self, space: Space) -> list[Damage]:
        """Follow this node's address where no carrier does; tell where it is gone."""
        try:
            self._standing.card_in(space)
        except NetworkTrouble as error:
            return [Damage(str(error), why=str(error))]
        return []

    async def reset(self) -> None:
        async with act("reset", self._lock, RESET_S):
            # Which range DEL is told is nothing to it.
            bound = self._bound or for_node(self._conflist, self._pod_range, MTU_BYTES)
            load = partial(self._disk.load_records, bound)
            known = await self._blocking.run(RECORD, load)
            failures = await asyncio.gather(*(self._forgotten(one) for one in known.values()))
            if left := [one for one in failures if one]:
                raise NetworkTrouble("; ".join(left))
            async with netlink(self._netns) as node:
                for name in sorted(await self._blocking.run(RECORD, self._disk.devices)):
                    await links.remove_device(node, name)
            if self._carrier is not None:
                await self._carrier.reset()
            if self._pool is not None:
                await self._blocking.run(RECORD, self._pool.remove_checkpoint)
            await self._blocking.run(RECORD, self._disk.remove_all)
            self._records, self._bound = {}, None
            self._wired.clear()

    async def _forgotten(self, record: Record) -> str:
        """Take a pod off and forget it; return why not."""
        async with self._gate:
            try:
                await self._take_back(record)
            except PluginFailed as error:
                return f"pod {record.uid}: {error}"
        await self._blocking.run(RECORD, partial(self._disk.remove_record, record.uid))
        return ""

    async def _add(self, wanted: Record, *, is_again: bool = False) -> IPv4Address:
        """Have the plugins wire a pod. What they are asked is on disk first, as what may be half.

        is_again: it was damaged. Raises: PluginFailed, NetworkTrouble.
        """
        looking = off(self._blocking, names_at, self._netns)
        before, *_ = await asyncio.gather(looking, self._keep(wanted), self.recorded())
        result = await self._plugins.add(wanted.conflist, wanted.attachment(wanted.netns))
        try:
            more, hosts = await self._add_more(wanted, result.hosts)
            others = {uid: one for uid, one in self._addresses().items() if uid != wanted.uid}
            asked = self._pool.held.get(wanted.uid) if self._pool is not None else None
            address = judged(result, self._pod_range, others, asked)
            look = await off(self._blocking, look_at, wanted, address, hosts, self._netns)
            look.check(address)
        except (NetworkTrouble, PluginFailed):
            await self._take_back_if_can(msgspec.structs.replace(wanted, result=result.tree))
            raise
        await self._note_devices(hosts, before | look.host_ends)
        done = msgspec.structs.replace(
            wanted,
            result=result.tree,
            address=str(address),
            marks=tuple(sorted(look.marks)),
            hosts=hosts,
            more=more,
        )
        if is_again or self._may_be_refused(wanted):
            refused = await self._refusal(done) or ""
            if refused:
                log.warning("a plugin refuses what was just made", pod=wanted.uid, why=refused)
            done = msgspec.structs.replace(done, refused=refused)
        await self._keep(done)
        return address

    def _may_be_refused(self, wanted: Record) -> bool:
        """Whether CHECK is worth its processes before a pod is told to be wired.

        It is for pods that ask for more than an interface, and for all where one was refused that
        did not.
        """
        known = self._records.values()
        return wanted.asks_more or any(one.refused and not one.asks_more for one in known)

    async def _refusal(self, record: Record) -> str | None:
        """Have the plugins check a pod; return what they say against it, none: nobody can tell.

        What cannot be checked may be whole: only a plugin's own word counts.
        """
        conflist = record.conflist
        if record.result is None or not conflist.checks or not self._conflist.checks:
            return None
        try:
            await self._plugins.check(conflist, record.attachment(record.netns), record.result)
        except (PluginFailed, OSError) as error:
            if isinstance(error, PluginFailed) and error.is_its_word:
                return str(error)
            log.warning("pod not checked", pod=record.uid, why=error)
            return None
        return ""

    async def _add_more(
        self, wanted: Record, hosts: tuple[str, ...]
    ) -> tuple[tuple[More, ...], tuple[str, ...]]:
        """Wire what the pod is to have more; return it with what was answered, and all devices.

        Raises: PluginFailed.
        """
        done: list[More] = []
        for one in wanted.more:
            result = await self._others.add(wanted, one)
            done.append(msgspec.structs.replace(one, result=result.tree))
            hosts = tuple(dict.fromkeys((*hosts, *result.hosts)))
        return tuple(done), hosts

    async def _take_back_if_can(self, record: Record) -> None:
        """Take back what can be: the caller has a failure to tell."""
        try:
            await self._take_back(record)
        except PluginFailed as error:
            log.warning("attachment not taken back", pod=record.uid, why=error)

    async def _note_devices(self, hosts: tuple[str, ...], known: set[str]) -> None:
        """Remember what the plugins made for all pods, such as a bridge: reset removes it."""
        if made := set(hosts) - known:
            await self._blocking.run(RECORD, partial(self._disk.add_devices, made))

    async def _take_back(self, record: Record) -> None:
        """Have the plugins take a pod off. Raises: PluginFailed.

        A namespace that is gone, or is another one by the same path, is not named to them.
        """
        is_there = await off(self._blocking, place_of, record.netns) == record.place
        netns = record.netns if is_there else ""
        try:
            await self._others.take_back(record, netns)
        finally:
            await self._plugins.delete(record.conflist, record.attachment(netns), record.result)

    async def _mended(self, record: Record, what: str) -> list[Damage]:
        """Have a pod taken off and wired again; tell it, and why it could not be."""
        uid = record.uid
        try:
            async with self._turn(uid, "mend"):
                # What was seen of an attachment is nothing to the one that came after it.
                if self._records.get(uid) is not record:
                    return []
                await self._take_back(record)
                more = tuple(msgspec.structs.replace(one, result=None) for one in record.more)
                asked = msgspec.structs.replace(record, result=None, more=more)
                empty = msgspec.structs.replace(asked, marks=(), refused="")
                await self._add(empty, is_again=True)
        except NetworkTrouble as error:
            return [Damage(what, uid, why=str(error))]
        return [Damage(what, uid)]

    async def _check_next(self, looks: Mapping[str, Look]) -> list[Damage]:
        """Have the plugins check one pod: at each look the next, for each check is processes.

        There are plugins that refuse what they have just made (Debian's portmap, where there are
        ip6tables). So words that CHECK said right after ADD are no damage, until it once says none.
        """
        whole = sorted(uid for uid, look in looks.items() if look.is_whole)
        if not whole or not self._conflist.checks:
            return []
        # Also one that cannot be checked has had its turn.
        self._checked = next((uid for uid in whole if uid > self._checked), whole[0])
        record = self._records.get(self._checked)
        said = await self._refusal(record) if record is not None else None
        if record is None or said is None or said == record.refused:
            return []
        if said:
            return await self._mended(record, said)
        async with self._turn(record.uid, "check"):
            if self._records.get(record.uid) is record:
                await self._keep(msgspec.structs.replace(record, refused=""))
        return []

    async def _collect(self, bound: Conflist) -> None:
        """Have plugins free what no pod of ours has; a failure keeps nothing from working."""
        if not bound.collects:
            return
        valid = [each for one in self._records.values() for each in one.attachments(bound.name)]
        try:
            await self._plugins.collect(bound, valid)
        except (PluginFailed, OSError) as error:
            log.warning("CNI plugins have not collected", why=error)

    def _addresses(self) -> dict[str, IPv4Address]:
        known = self._records.values()
        return {one.uid: IPv4Address(one.address) for one in known if one.address}

    async def _keep(self, record: Record) -> None:
        await self._blocking.run(RECORD, partial(self._disk.save_record, record))
        self._records[record.uid] = record

    def _prepared(self) -> Conflist:
        if self._bound is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._bound

    @asynccontextmanager
    async def _turn(self, uid: str, what: str) -> AsyncGenerator[None, None]:
        """Do one thing with a pod at a time, and tell failure in the kubelet's words.

        Every call of a plugin has a deadline, so that this ends.
        """
        turn = self._turns.setdefault(uid, asyncio.Lock())
        try:
            async with turn, self._gate:
                yield
        except PluginFailed as error:
            raise NetworkTrouble(str(error)) from error
        except (NetlinkError, OSError) as error:
            raise NetworkTrouble(f"{what}: {error}") from error
