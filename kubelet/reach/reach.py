"""Asks every other node by its own network and by the pods', and tells what was found."""

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Protocol

from cubernetes.api.bodies.reach import PathReport, ReachReport
from cubernetes.api.coding import codec
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from kubelet.network.driver import NetworkTrouble, Peer
from kubelet.reach.ping import Pinger
from kubelet.reach.verdicts import (
    MTU_BYTES_MIN,
    NOT_ASKED,
    NodeReach,
    Way,
    between,
    blocked,
    dropping,
)

PATH = "/reach"
ECHO_COUNT, ECHO_BYTES = 3, 84
ECHO_S = 1.0
SIZE_TRY_COUNT = 2
CONNECT_S = 2.0
PARALLEL_MAX = 8
PEERS_MAX = 200

log = Log(__name__)


class PodNetwork(Protocol):
    """What is asked of the pods' network."""

    @property
    def overlay_ports(self) -> tuple[int, ...]: ...

    async def told_of(self, peer: Peer, /) -> str: ...


class Reach:
    """peers: the other nodes as known now. port: on which their kubelets listen.

    network: of the pods; where its packets have ports, each node has an address in its range.
    """

    def __init__(
        self, env: Env, peers: Callable[[], Iterable[Peer]], port: int, network: PodNetwork
    ) -> None:
        self._env, self._peers, self._port = env, peers, port
        self._network = network
        self._gate = asyncio.Semaphore(PARALLEL_MAX)

    def routes(self) -> list[Route]:
        return [("GET", PATH, self.answer)]

    async def answer(self, _request: Request) -> Response:
        report = await self.look()
        return Response(200, codec.encode(report))

    async def look(self) -> ReachReport:
        peers = list(self._peers())[:PEERS_MAX]
        rules = await self._rules()
        paths = await asyncio.gather(*(self._path(one, rules) for one in peers))
        return ReachReport(paths=tuple(paths))

    async def _path(self, peer: Peer, rules: tuple[str, ...]) -> PathReport:
        async with self._gate:
            node, pods, port = await asyncio.gather(
                self._way(peer.address),
                self._pods_way(peer),
                self._connected(peer.address),
            )
        ports, told = self._network.overlay_ports, await self._told(peer, pods)
        found = NodeReach(str(peer.address), node, pods, self._port, port, ports, rules, told)
        return PathReport(
            to=peer.name,
            address=str(peer.address),
            node_ms=_ms(node),
            pods_ms=_ms(pods),
            node_mtu=node.mtu_bytes,
            pods_mtu=pods.mtu_bytes,
            blocked=blocked(found),
        )

    async def _pods_way(self, peer: Peer) -> Way:
        """Ask the node's end of the overlay; other networks' ends are not known."""
        if not self._network.overlay_ports:
            return NOT_ASKED
        return await self._way(peer.pod_cidr.network_address)

    async def _told(self, peer: Peer, pods: Way) -> str:
        """Return what the network says of a way that does not answer."""
        if pods is NOT_ASKED or pods.rtt_s is not None:
            return ""
        try:
            return await self._network.told_of(peer)
        except NetworkTrouble as error:
            return str(error)

    async def answers(self, peer: Peer) -> bool:
        """Tell whether a peer answers: in the pods' network, or where that has no ends its own."""
        overlay = self._network.overlay_ports
        address = peer.pod_cidr.network_address if overlay else peer.address
        pinger = self._pinger(address)
        try:
            async with self._gate:
                return await pinger.round_trip_s(ECHO_BYTES, ECHO_S) is not None
        except OSError:
            return False

    async def node_mtu(self, peer: Peer) -> int:
        """Return the largest packet that gets to a peer by the nodes' own network; 0: no way.

        By what routers answer: one too large is sent first, and the kernel keeps what they say.
        """
        pinger = self._pinger(peer.address)
        try:
            async with self._gate:
                await pinger.round_trip_s(pinger.mtu_bytes(), ECHO_S)
            return pinger.mtu_bytes()
        except OSError:
            return 0

    async def blocked(self, peer: Peer) -> str:
        """Return what blocks the way to a peer; empty: nothing."""
        return (await self._path(peer, await self._rules())).blocked

    def _pinger(self, address: IPv4Address) -> Pinger:
        return Pinger(address, self._env.clock, int(self._env.rng.fraction() * 0xFFFF))

    async def _way(self, address: IPv4Address) -> Way:
        pinger = self._pinger(address)
        try:
            let_out = pinger.mtu_bytes()
            times = [await pinger.round_trip_s(ECHO_BYTES, ECHO_S) for _ in range(ECHO_COUNT)]
            best = min((one for one in times if one is not None), default=None)
            if best is None:
                return Way(let_out_bytes=let_out)
            largest = await self._largest(pinger, let_out)
            return Way(best, largest, pinger.mtu_bytes())
        except OSError as error:
            return Way(why=str(error))

    async def _largest(self, pinger: Pinger, let_out: int) -> int:
        """Return the size of the largest packet that comes back whole, by halving."""
        if await self._passes(pinger, let_out):
            return let_out
        told = pinger.mtu_bytes()
        if told < let_out and await self._passes(pinger, told):
            return told
        low, high = MTU_BYTES_MIN, let_out
        while high - low > 1:
            size = between(low, high)
            low, high = (size, high) if await self._passes(pinger, size) else (low, size)
        return low

    async def _passes(self, pinger: Pinger, packet_bytes: int) -> bool:
        for _ in range(SIZE_TRY_COUNT):
            if await pinger.round_trip_s(packet_bytes, ECHO_S) is not None:
                return True
        return False

    async def _connected(self, address: IPv4Address) -> str:
        """Return why nobody answers on the kubelet's port; empty: somebody does."""
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(str(address), self._port)
        except TimeoutError:
            return "dropped on the way"
        except ConnectionRefusedError:
            return "refused: its kubelet does not run, or a rule rejects"
        except OSError as error:
            return str(error.strerror or error)
        writer.close()
        return ""

    async def _rules(self) -> tuple[str, ...]:
        """Return the rules of this node that drop the overlay's packets, as far as can be read."""
        try:
            saved = await self._env.commands.run(["iptables-save", "-t", "filter"])
        except CommandFailed as error:
            log.warning("rules not read", why=error)
            return ()
        return dropping(saved.stdout.decode(errors="replace"), self._network.overlay_ports)


def _ms(way: Way) -> float | None:
    return None if way.rtt_s is None else round(way.rtt_s * 1000, 3)
