"""The backends of the service proxy, each on wired namespaces, told of a world at a time."""

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.api.meta import Ref
from cubernetes.host.blocking import Threads
from cubernetes.host.packetfilter.iptables import LEGACY, NFT, Iptables, Tools
from cubernetes.host.packetfilter.nftsocket import NftSocket, netfilter_socket
from proxy.services.apply import ServiceRules
from proxy.services.backend import Backend, Outcome
from proxy.services.compile import OWNER
from proxy.services.iptables import IptablesBackend
from proxy.services.nftables.backend import NftablesBackend
from proxy.services.nftables.table import Table
from proxy.services.served import Facts
from tests.contract.network.wires import PODS, PORT, Wires
from tests.given import a_service, a_slice

BACKENDS = ("iptables-nft", "iptables-legacy", "nftables")

WEB, DNS, EMPTY = "10.96.0.10", "10.96.0.53", "10.96.0.99"
HTTP = ServicePort(port=80, name="http", target_port=PORT)
UDP = ServicePort(port=53, name="dns", protocol="UDP", target_port=PORT)
FOREIGN = """\
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
:SSH-GUARD - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "not ours; CUBE-like" -j SSH-GUARD
-A SSH-GUARD -s 198.51.100.0/24 -j DROP
COMMIT
"""

type World = tuple[Sequence[Service], Sequence[EndpointSlice]]


def web_on(*pods: str) -> tuple[list[Service], list[EndpointSlice]]:
    """Return a TCP and a UDP service before these pods, and a service before none."""
    addresses = [PODS[pod] for pod in pods]
    services = [
        a_service("web", ports=[HTTP], cluster_ip=WEB),
        a_service("dns", ports=[UDP], cluster_ip=DNS),
        a_service("empty", ports=[HTTP, UDP], cluster_ip=EMPTY),
    ]
    slices = [
        a_slice("web-1", service="web", addresses=addresses,
                ports=[EndpointPort(name="http", port=PORT)]),
        a_slice("dns-1", service="dns", addresses=addresses,
                ports=[EndpointPort(name="dns", protocol="UDP", port=PORT)]),
    ]  # fmt: skip
    return services, slices


def tools_of(name: str) -> Tools:
    """Return the iptables beside which a backend works, if it is not that itself."""
    return LEGACY if name.endswith("legacy") else NFT


def opener(wires: Wires) -> Callable[[], socket.socket]:
    """Return what opens sockets to the packet filter of the node."""
    return partial(wires.call, "node", netfilter_socket)


def kernel_of(wires: Wires) -> NftSocket:
    return NftSocket(opener(wires))


def table_of(wires: Wires, kernel: NftSocket | None = None) -> Table:
    return Table(kernel or kernel_of(wires), Threads())


def backend_of(name: str, wires: Wires, facts: Facts, kernel: NftSocket | None = None) -> Backend:
    """Return a new life of a backend on the node."""
    tools, table = tools_of(name), table_of(wires, kernel)
    changes = (lambda: None) if tools == LEGACY else table.generation_now
    iptables = Iptables(wires.node, tools, OWNER, changes)
    rules = ServiceRules(wires.node, iptables, str(facts.service_range))
    if name.startswith("nftables"):
        return NftablesBackend(table, wires.node, rules, facts)
    return IptablesBackend(rules, facts, table.remove)


class Proxied:
    """A node, a backend that serves it, and what it was told."""

    def __init__(
        self, name: str, wires: Wires, facts: Facts, kernel: NftSocket | None = None
    ) -> None:
        self._name, self._wires, self._facts = name, wires, facts
        self._told: dict[Ref, Service | EndpointSlice] = {}
        self.backend = backend_of(name, wires, facts, kernel)

    def begin_anew(self, name: str = "") -> None:
        """Begin another life of the backend, or of another one: it has been told nothing."""
        self._name = name or self._name
        self.backend = backend_of(self._name, self._wires, self._facts)
        self._told = {}

    def tell(self, world: World) -> None:
        """Tell the backend what changed since the last world."""
        services, slices = world
        objects: dict[Ref, Service | EndpointSlice] = {one.ref: one for one in services}
        objects |= {one.ref: one for one in slices}
        for ref in self._told.keys() | objects.keys():
            self._tell_one(self._told.get(ref), objects.get(ref))
        self._told = objects

    def _tell_one(
        self, old: Service | EndpointSlice | None, new: Service | EndpointSlice | None
    ) -> None:
        if isinstance(old or new, Service):
            assert not isinstance(old, EndpointSlice)
            assert not isinstance(new, EndpointSlice)
            self.backend.service_changed(old, new)
        else:
            assert not isinstance(old, Service)
            assert not isinstance(new, Service)
            self.backend.slice_changed(old, new)

    async def serve(self, world: World) -> Outcome:
        """Tell the backend of a world, and have the kernel follow."""
        self.tell(world)
        return await self.backend.apply()

    async def ours(self) -> str:
        """Return what the kernel holds of the proxy, by whichever backend, as text."""
        told = [await self._run("nft", "list", "tables"), *await self._saved()]
        lines = [line for line in _lines(told) if "CUBE-" in line or "cube-" in line]
        return "\n".join(line for line in lines if line not in FOREIGN)

    async def all_rules(self) -> list[str]:
        """Return every rule of the node, without comments and counters."""
        texts = [await self._run("nft", "list", "tables"), *await self._saved()]
        return [line.partition(" [")[0] for line in _lines(texts) if not line.startswith("#")]

    async def _saved(self) -> list[str]:
        return [await self._run(one.save) for one in (NFT, LEGACY)]

    async def _run(self, *argv: str) -> str:
        return (await self._wires.node.run(argv)).stdout.decode()


def _lines(texts: Iterable[str]) -> Iterable[str]:
    return (line for text in texts for line in text.splitlines())
