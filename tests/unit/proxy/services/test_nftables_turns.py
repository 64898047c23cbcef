"""Turns of the nftables backend: other work of the program goes on beside them."""

import asyncio
import threading
from collections.abc import Sequence
from ipaddress import IPv4Network

from cubernetes.host.blocking import Threads
from cubernetes.host.packetfilter.nfnetlink import Message
from cubernetes.host.packetfilter.nftables import TableState
from proxy.services.backend import Outcome
from proxy.services.nftables import backend as under_test
from proxy.services.nftables.backend import NftablesBackend
from proxy.services.nftables.table import Table
from proxy.services.served import Facts
from tests.given import a_service, a_slice
from tests.unit.proxy.papertable import PaperTable

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), "n1")
SERVICES = 400


class PaperKernel:
    """A kernel's one table; it notes on which thread it was asked."""

    def __init__(self) -> None:
        self.paper = PaperTable()
        self.threads: set[int] = set()

    def read(self, _table: str, _sets: Sequence[str]) -> TableState | None:
        self.threads.add(threading.get_ident())
        return self.paper.held()

    def transact(self, messages: Sequence[Message]) -> None:
        self.paper.transact(messages)

    def others_generation(self) -> int:
        return 1


class NothingBeside:
    """Rules in iptables that are as they should be."""

    async def apply(self, _wanted: object) -> Outcome:
        return Outcome(False, 0, 0)

    check = apply


def a_backend(kernel: PaperKernel) -> NftablesBackend:
    table = Table(kernel, Threads())  # type: ignore[arg-type]  # as much of a kernel as is asked
    return NftablesBackend(table, None, NothingBeside(), FACTS)  # type: ignore[arg-type]


def tell(backend: NftablesBackend, count: int) -> None:
    for index in range(count):
        name = f"s{index}"
        address = f"10.96.{index // 250}.{index % 250 + 1}"
        backend.service_changed(None, a_service(name, cluster_ip=address))
        backend.slice_changed(None, a_slice(name, service=name, addresses=("10.244.1.2",)))


async def turns_beside(work: asyncio.Task[object]) -> int:
    """Return how often other work had its turn until this one was done."""
    count = 0
    while not work.done():
        await asyncio.sleep(0)
        count += 1
    await work
    return count


async def test_the_first_turn_of_many_services_lets_others_have_theirs() -> None:
    """All services were compiled in one go: nothing else went on for seconds at 10,000."""
    kernel = PaperKernel()
    backend = a_backend(kernel)
    tell(backend, SERVICES)

    compiling = asyncio.create_task(backend._compile())
    assert await turns_beside(compiling) >= SERVICES // under_test.SERVICES_AT_ONCE
    done = await backend.apply()
    assert done.is_written
    assert threading.get_ident() not in kernel.threads


async def test_a_service_that_changes_while_others_are_compiled_is_compiled_again() -> None:
    kernel, other = PaperKernel(), PaperKernel()
    backend, fresh = a_backend(kernel), a_backend(other)
    tell(backend, SERVICES)
    applying = asyncio.create_task(backend.apply())
    # It has its turn once some are compiled: the first, of which there are others now, among them.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    old = a_slice("s0", service="s0", addresses=("10.244.1.2",))
    new = a_slice("s0", service="s0", addresses=("10.244.1.3",))
    backend.slice_changed(old, new)
    await applying
    await backend.apply()

    tell(fresh, SERVICES)
    fresh.slice_changed(old, new)
    await fresh.apply()
    assert kernel.paper.held() == other.paper.held()
