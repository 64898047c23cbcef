"""How long a change of services takes to reach the kernel: `sudo python -m bench.proxy`.

Everything happens in a network namespace of its own that ends with the program. Times are from the
objects at hand to the end of iptables-restore; `compile` is the share that is ours.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from bench.ground.report import Figures, show, spread
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.discovery.endpointslice import (
    SERVICE_LABEL,
    Endpoint,
    EndpointPort,
    EndpointSlice,
)
from cubernetes.api.meta import ObjectMeta
from cubernetes.host.command import SystemCommands
from cubernetes.host.packetfilter.iptables import LEGACY, NFT, Iptables, Tools
from cubernetes.host.packetfilter.ruleset import FoundRules, restore_text
from proxy.services.compile import OWNER, Compiler
from proxy.services.served import Facts

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"))
SIZES = (10, 100, 1000)
ENDPOINTS = 3
ROUNDS = 9


def a_service(number: int) -> Service:
    address = str(IPv4Address("10.96.0.10") + number)
    ports = (ServicePort(name="http", port=80, target_port=8080),)
    meta = ObjectMeta(name=f"web-{number}", namespace="default")
    return Service(metadata=meta, spec=ServiceSpec(cluster_ip=address, ports=ports))


def a_slice(number: int, turn: int = 0) -> EndpointSlice:
    """Return a service's endpoints; another turn has other ones."""
    first = IPv4Address("10.244.0.2") + number * 8 + turn
    endpoints = tuple(Endpoint(addresses=(str(first + index),)) for index in range(ENDPOINTS))
    labels = {SERVICE_LABEL: f"web-{number}"}
    return EndpointSlice(
        metadata=ObjectMeta(name=f"web-{number}-1", namespace="default", labels=labels),
        endpoints=endpoints,
        ports=(EndpointPort(name="http", port=8080),),
    )


class Run:
    """One size, one kind of iptables, from an empty table."""

    def __init__(self, count: int, tools: Tools) -> None:
        self._compiler = Compiler(FACTS)
        self._iptables = Iptables(SystemCommands(), tools, OWNER)
        self._services = [a_service(number) for number in range(count)]
        self._slices = [a_slice(number) for number in range(count)]

    async def applied_ms(self, services: Sequence[Service] | None = None) -> float:
        began_s = time.perf_counter()
        wanted = self._compiler.compile(services or self._services, self._slices)
        applied = await self._iptables.apply(wanted)
        assert applied.is_written
        return (time.perf_counter() - began_s) * 1000

    def compiled_ms(self) -> float:
        """Return what compiling and comparing cost when one service of all changed."""
        before = self._compiler.compile(self._services, self._slices)
        self._slices[0] = a_slice(0, turn=9)
        began_s = time.perf_counter()
        restore_text(FoundRules(before), self._compiler.compile(self._services, self._slices))
        return (time.perf_counter() - began_s) * 1000

    async def figures(self) -> Figures:
        first_ms = await self.applied_ms()
        middle = len(self._services) // 2
        endpoint_ms, service_ms = [], []
        for turn in range(1, ROUNDS + 1):
            self._slices[middle] = a_slice(middle, turn)
            endpoint_ms.append(await self.applied_ms())
            fewer = self._services[:middle] + self._services[middle + 1 :]
            await self.applied_ms(fewer)
            service_ms.append(await self.applied_ms())
        began_s = time.perf_counter()
        check = await self._iptables.check(self._compiler.compile(self._services, self._slices))
        assert not check.is_written
        check_ms = (time.perf_counter() - began_s) * 1000
        await self._iptables.reset()
        return {
            "all_ms": round(first_ms, 1),
            "one_endpoint_ms": spread(endpoint_ms),
            "one_service_ms": spread(service_ms),
            "compile_one_ms": round(self.compiled_ms(), 2),
            "check_ms": round(check_ms, 1),
        }


async def figures() -> Figures:
    return {
        tools.name: {f"services_{count}": await Run(count, tools).figures() for count in SIZES}
        for tools in (NFT, LEGACY)
    }


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("bench.proxy needs root: it writes rules in a network namespace of its own")
    os.unshare(os.CLONE_NEWNET)
    show("proxy", {"endpoints": ENDPOINTS, "rounds": ROUNDS}, asyncio.run(figures()))


if __name__ == "__main__":
    main()
