"""The overlay driver: routed pods, and a VXLAN device whose tables are written, never learnt.

Each pod has a veth pair, a /32 address, and the node as its only neighbour; the node has a route
to each of its pods and, through `cube-vxlan`, one to each peer's range. No bridge, no ARP, no
flooding: the pods of one node and of two are reached alike, by routes.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.files import read_or_none, write_atomic
from cubernetes.host.log import Log
from kubelet.network import ipam, links, overlay
from kubelet.network.driver import NetworkTrouble, Peer
from kubelet.network.namespace import OWN, fd_of, netlink, set_sysctl
from kubelet.network.rtnetlink import AsyncIPRoute, NetlinkError

DEADLINE_S = 15.0
VNI = 203
PORT = 8472

log = Log(__name__)


class VxlanNetwork:
    """The pod network of one node, in the network namespace at netns (by default our own).

    One act at a time: they are short, the kernel serialises them anyway, and a half-made one is
    never seen by the next.
    """

    def __init__(
        self,
        node_address: IPv4Address,
        checkpoint: Path,
        *,
        vni: int = VNI,
        port: int = PORT,
        netns: str = OWN,
    ) -> None:
        self._node_address, self._checkpoint = node_address, checkpoint
        self._vni, self._port, self._netns = vni, port, netns
        self._addresses: ipam.Addresses | None = None
        self._mtu_bytes = 0
        self._lock = asyncio.Lock()

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        async with self._act("prepare"), netlink(self._netns) as node:
            under = await links.underlay(node, self._node_address)
            if under is None:
                raise NetworkTrouble(f"no device has this node's address {self._node_address}")
            self._mtu_bytes = under.mtu_bytes - overlay.OVERHEAD_BYTES
            set_sysctl(self._netns, "ipv4/ip_forward", "1")
            recorded = self._recorded(pod_cidr)
            self._keep(ipam.adopted(recorded, await links.pods_found(node)))
            await self._make_device(node, under, pod_cidr)
            await links.refuse_range(node, pod_cidr)

    async def reserve(self, pod_uid: str) -> IPv4Address:
        async with self._act("reserve"):
            return self._taken(pod_uid)

    async def attach(self, pod_uid: str, netns: str) -> IPv4Address:
        async with self._act("attach"):
            address = self._taken(pod_uid)
            name = overlay.host_end(pod_uid)
            async with netlink(self._netns) as node, netlink(netns) as pod:
                if not await self._is_plugged(node, pod, name, address):
                    await self._plug(node, pod, pod_uid, netns)
                await links.wire_pod(pod, address, overlay.host_mac(pod_uid))
                await links.wire_host(node, name, pod_uid, address, self._node_address)
            return address

    async def detach(self, pod_uid: str) -> None:
        async with self._act("detach"):
            async with netlink(self._netns) as node:
                await links.remove_device(node, overlay.host_end(pod_uid))
            self._keep(ipam.freed(self._prepared(), pod_uid))

    async def attached(self) -> Mapping[str, IPv4Address]:
        return dict(self._prepared().held)

    async def reconcile_peers(self, peers: Iterable[Peer]) -> None:
        wanted = overlay.overlay_for(peers, self._prepared().pod_cidr)
        async with self._act("reconcile peers"), netlink(self._netns) as node:
            device = await links.device(node, overlay.DEVICE)
            if device is None:
                raise NetworkTrouble(f"{overlay.DEVICE} is gone")
            index = device["index"]
            found = await links.overlay_found(node, index)
            gone = overlay.surplus(found.routes, wanted.routes)
            entries = overlay.surplus(found.forwarding, wanted.forwarding)
            await links.remove_peers(
                node,
                index,
                gone,
                overlay.surplus(found.neighbours, wanted.neighbours),
                [(mac, found.forwarding[mac]) for mac in entries],
            )
            new = overlay.lacking(found.routes, wanted.routes)
            await links.set_peers(
                node,
                index,
                new,
                overlay.lacking(found.neighbours, wanted.neighbours),
                overlay.lacking(found.forwarding, wanted.forwarding),
            )
        if gone or new:
            log.info("peers changed", removed=len(gone), added=len(new), all=len(wanted.routes))

    async def reset(self) -> None:
        async with self._act("reset"), netlink(self._netns) as node:
            await links.remove_device(node, overlay.DEVICE)
            for name in await links.host_ends(node):
                await links.remove_device(node, name)
            await links.refuse_range(node, None)
            self._forget()

    async def _make_device(
        self, node: AsyncIPRoute, under: links.Underlay, pod_cidr: IPv4Network
    ) -> None:
        """Make the VXLAN device be as wanted; most of what makes it up can only be set at birth."""
        mac = overlay.node_mac(pod_cidr)
        wanted = {
            "vxlan_id": self._vni,
            "vxlan_port": self._port,
            "vxlan_local": str(self._node_address),
            "vxlan_link": under.index,
            "vxlan_learning": 0,
        }
        found = await links.device(node, overlay.DEVICE)
        if found is not None:
            present = {key: found.get(("linkinfo", "data", key)) for key in wanted}
            if present != wanted or found.get("address") != mac:
                await links.remove_device(node, overlay.DEVICE)
                found = None
        if found is None:
            await node.link(
                "add",
                ifname=overlay.DEVICE,
                kind="vxlan",
                address=mac,
                mtu=self._mtu_bytes,
                **wanted,
            )
        index = await links.index_of(node, overlay.DEVICE)
        address = str(pod_cidr.network_address)
        await node.addr("replace", index=index, address=address, prefixlen=32)
        await node.link("set", index=index, mtu=self._mtu_bytes, state="up")

    async def _is_plugged(
        self, node: AsyncIPRoute, pod: AsyncIPRoute, name: str, address: IPv4Address
    ) -> bool:
        """True where the pod has this very pair, with this address and no other."""
        outer, inner = await links.device(node, name), await links.device(pod, links.POD_DEVICE)
        if outer is None or inner is None or outer.get("link") != inner["index"]:
            return False
        return await links.addresses(pod, inner["index"]) == [address]

    async def _plug(self, node: AsyncIPRoute, pod: AsyncIPRoute, pod_uid: str, netns: str) -> None:
        """Make the pair anew; what an interrupted call or an earlier sandbox left goes first."""
        name = overlay.host_end(pod_uid)
        await links.remove_device(node, name)
        await links.remove_device(pod, links.POD_DEVICE)
        with fd_of(netns) as there:
            await node.link(
                "add",
                ifname=name,
                kind="veth",
                mtu=self._mtu_bytes,
                address=overlay.host_mac(pod_uid),
                peer={
                    "ifname": links.POD_DEVICE,
                    "net_ns_fd": there,
                    "mtu": self._mtu_bytes,
                    "address": overlay.pod_mac(pod_uid),
                },
            )

    def _taken(self, pod_uid: str) -> IPv4Address:
        """Return the pod's address, recorded before it is used: nobody else is ever given it."""
        try:
            addresses, address = ipam.taken(self._prepared(), pod_uid)
        except ipam.NoAddressLeft as error:
            raise NetworkTrouble(f"no address left: {error}") from error
        self._keep(addresses)
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

    def _keep(self, addresses: ipam.Addresses) -> None:
        if addresses != self._addresses:
            write_atomic(self._checkpoint, ipam.checkpoint(addresses))
            self._addresses = addresses

    def _forget(self) -> None:
        self._checkpoint.unlink(missing_ok=True)
        self._addresses = None

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
