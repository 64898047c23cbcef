"""The other nodes: how their pods are reached, and where this node stands among them, kept."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from cubernetes.api.core.node import Node, is_address, is_network
from cubernetes.client.informer import Informer
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.ruleset import RuleSet
from cubernetes.host.timing.waiting import wait_until
from kubelet.checkpoint import Checkpoint, NetworkState
from kubelet.network import guard
from kubelet.network.driver import NetworkDriver, NetworkTrouble, Peer
from kubelet.settings import KubeletSettings

log = Log(__name__)

NODE_FILE = ("checkpoint", "node")
RETRY_S = 5.0


class Guard(Protocol):
    """Keeps the packet filter rules that say what pods and strangers may send."""

    def want(self, rules: RuleSet) -> None: ...

    async def run(self) -> None: ...


class Peers:
    """Follows the other nodes' addresses and ranges."""

    def __init__(
        self,
        settings: KubeletSettings,
        env: Env,
        network: NetworkDriver,
        packet_guard: Guard,
        checkpoint: Checkpoint,
        nodes: Informer[Node],
    ) -> None:
        self._settings, self._env, self._network = settings, env, network
        self._guard, self._checkpoint, self._nodes = packet_guard, checkpoint, nodes
        self._changed = asyncio.Event()
        self._mtus: Mapping[str, int] = {}

    def want_mtus(self, mtus: Mapping[str, int]) -> None:
        """Take what was found of the ways to other nodes, in bytes by their names."""
        self._mtus = mtus
        self._changed.set()

    def wake(self) -> None:
        """A Node has changed."""
        self._changed.set()

    async def keep(self, network_ready: asyncio.Event) -> None:
        """Connect whenever the other nodes have changed; what fails is tried again soon."""
        await network_ready.wait()
        await self._nodes.synced.wait()
        known: tuple[Peer, ...] | None = None
        while True:
            self._changed.clear()
            peers = peers_of(self._nodes.cache.list(), self._settings.node_name)
            peers = tuple(replace(one, mtu_bytes=self._mtus.get(one.name, 0)) for one in peers)
            try:
                if peers != known:
                    await self.connect(peers)
                    log.info("peers reconciled", count=len(peers))
                    known = peers if await self._save(peers) else None
            except NetworkTrouble as error:
                log.warning("peers not reconciled", why=error)
                known = None
            pause_s = RETRY_S if known is None else self._settings.relist_s * 6
            await wait_until(self._changed, pause_s)

    async def connect(self, peers: tuple[Peer, ...]) -> None:
        """Let pods reach these nodes' pods, and nobody else send in their name.

        Raises: NetworkTrouble.
        """
        await self._network.reconcile_peers(peers)
        pod_range = IPv4Network(self._settings.pod_range)
        settings = self._settings
        bounds = guard.Bounds(
            pod_range,
            self._network.overlay_ports,
            settings.closed_ports,
            settings.dns_servers,
            self._network.wires,
        )
        self._guard.want(guard.rules_for(bounds, peers))

    async def _save(self, peers: tuple[Peer, ...]) -> bool:
        """Keep where this node stands; False: the disk took nothing."""
        node = self._nodes.cache.get(self._settings.node_name)
        if node is None or not node.spec.pod_cidr:
            return True
        kept = tuple((one.name, str(one.address), str(one.pod_cidr)) for one in peers)
        around = NetworkState(pod_cidr=node.spec.pod_cidr, peers=kept)
        save = partial(self._checkpoint.save_surroundings, around)
        try:
            await self._env.blocking.run(NODE_FILE, save)
        except OSError as error:
            log.warning("checkpoint not saved", why=error)
            return False
        return True


def peers_kept(around: NetworkState) -> tuple[Peer, ...]:
    return tuple(
        Peer(name, IPv4Address(address), IPv4Network(pod_cidr))
        for name, address, pod_cidr in around.peers
    )


def peers_of(nodes: Iterable[Node], own_name: str) -> tuple[Peer, ...]:
    """Return the other nodes that have an address and a range, in the order of their names."""
    return tuple(
        Peer(one.metadata.name, IPv4Address(one.address), IPv4Network(one.spec.pod_cidr))
        for one in sorted(nodes, key=lambda one: one.metadata.name)
        if one.metadata.name != own_name
        and is_address(one.address)
        and is_network(one.spec.pod_cidr)
    )
