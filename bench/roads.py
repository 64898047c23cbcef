"""What services cost in each backend of the proxy: `sudo python -m bench.roads [COUNT ...]`.

A change: from the objects at hand to the end of the kernel's transaction. A connection: beside one
to the endpoint itself, in turns. A look: processor time where nothing has changed. Everything
happens in a network namespace of its own that ends with the program.
"""

import asyncio
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from bench.ground.report import Figures, percentiles, progress, show
from bench.proxy import a_service
from cubernetes.api.discovery.endpointslice import (
    SERVICE_LABEL,
    Endpoint,
    EndpointPort,
    EndpointSlice,
)
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.connect import ClientSettings
from cubernetes.host.env import Env
from proxy.services.backend import Backend
from proxy.services.choose import backend_of_this_node
from proxy.services.served import Facts
from proxy.settings import ProxySettings

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"))
SIZES = (100, 1_000, 10_000)
BACKENDS = ("nftables", "iptables")
PORT, ENDPOINTS = 8080, 3
CHANGES, CONNECTIONS, LOOKS = 40, 400, 50


def a_slice(number: int, turn: int = 0) -> EndpointSlice:
    """Return a service's endpoints; another turn has other ones."""
    first = IPv4Address("10.244.0.2") + number * 6 + turn % 3
    endpoints = tuple(Endpoint(addresses=(str(first + index),)) for index in range(ENDPOINTS))
    labels = {SERVICE_LABEL: f"web-{number}"}
    return EndpointSlice(
        metadata=ObjectMeta(name=f"web-{number}-1", namespace="default", labels=labels),
        endpoints=endpoints,
        ports=(EndpointPort(name="http", port=PORT),),
    )


async def figures_of(name: str, count: int) -> Figures:
    settings = ProxySettings(
        client=ClientSettings(servers=("https://127.0.0.1:1",), ca="/none"),
        backend="nftables" if name == "nftables" else "iptables",
        iptables="nft",
    )
    backend = await backend_of_this_node(settings, Env(), FACTS)
    slices = [a_slice(number) for number in range(count)]
    for number, one in enumerate(slices):
        backend.service_changed(None, a_service(number))
        backend.slice_changed(None, one)
    began_s = time.perf_counter()
    await backend.apply()
    all_s = time.perf_counter() - began_s
    progress(f"{name}, {count} services: connections")
    connections = {
        f"service_{number + 1}": overhead_us(number) for number in (0, count // 2, count - 1)
    }
    progress(f"{name}, {count} services: changes and looks")
    changes_ms = await changed_ms(backend, slices)
    restarted = await backend_of_this_node(settings, Env(), FACTS)
    for number, one in enumerate(slices):
        restarted.service_changed(None, a_service(number))
        restarted.slice_changed(None, one)
    began_s = time.perf_counter()
    assert not (await restarted.apply()).is_written
    restart_s = time.perf_counter() - began_s
    return {
        "all_s": round(all_s, 2),
        "one_endpoint_ms": percentiles(changes_ms),
        "restart_s": round(restart_s, 2),
        "look_processor_ms": round(await looked_ms(backend), 3),
        "connect_overhead_us": connections,
    }


async def changed_ms(backend: Backend, slices: list[EndpointSlice]) -> list[float]:
    """Return how long the kernel was behind, for changes of one service's endpoints."""
    spent_ms = []
    for turn in range(1, CHANGES + 1):
        number = turn * (len(slices) // CHANGES) % len(slices)
        old, slices[number] = slices[number], a_slice(number, 1 + turn % 2)
        began_s = time.perf_counter()
        backend.slice_changed(old, slices[number])
        done = await backend.apply()
        spent_ms.append((time.perf_counter() - began_s) * 1000)
        assert done.is_written
    return spent_ms


async def looked_ms(backend: Backend) -> float:
    """Return the processor time of a look at rules that nobody has changed."""
    for _ in range(3):
        await backend.check()
    began_s = time.process_time() + _children_s()
    for _ in range(LOOKS):
        assert not (await backend.check()).is_written
    return (time.process_time() + _children_s() - began_s) / LOOKS * 1000


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def overhead_us(number: int) -> Figures:
    """Return what connecting by a service takes beside connecting to its endpoint."""
    service = str(IPv4Address("10.96.0.10") + number)
    direct = str(IPv4Address("10.244.0.2") + number * 6)
    by_service: list[float] = []
    by_itself: list[float] = []
    for _ in range(CONNECTIONS):
        by_service.append(connected_us(service, 80))
        by_itself.append(connected_us(direct, PORT))
    by_service.sort()
    by_itself.sort()
    middle = CONNECTIONS // 2
    return {
        "direct": round(by_itself[middle], 1),
        "more": round(by_service[middle] - by_itself[middle], 1),
    }


def connected_us(address: str, port: int) -> float:
    with socket.socket() as client:
        # A reset at the end: no port of ours waits for a minute.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        began_s = time.perf_counter()
        client.connect((address, port))
        return (time.perf_counter() - began_s) * 1_000_000


def in_a_world(work: Callable[[], Figures]) -> Figures:
    """Do work in a new network namespace in which every pod's address is ours, and listens."""
    os.unshare(os.CLONE_NEWNET)
    for words in ("link set lo up", "route add local 10.244.0.0/16 dev lo",
                  "link add out type veth peer name far",
                  "addr add 192.0.2.1/24 dev out", "link set out up", "link set far up",
                  "route add default dev out"):  # fmt: skip
        subprocess.run(["ip", *words.split()], check=True, timeout=10)
    with socket.create_server(("0.0.0.0", PORT), backlog=1024) as server:  # noqa: S104  a namespace
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        return work()


def _accept(server: socket.socket) -> None:
    while True:
        try:
            accepted, _ = server.accept()
        except OSError:
            return
        accepted.close()


def _figures(name: str, count: int) -> Figures:
    return asyncio.run(figures_of(name, count))


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("bench.roads needs root: it writes rules in a network namespace of its own")
    sizes = tuple(int(one) for one in sys.argv[1:]) or SIZES
    figures = {}
    for count in sizes:
        for name in BACKENDS:
            progress(f"{name}, {count} services: all of them")
            figures[f"{name}_{count}"] = in_a_world(partial(_figures, name, count))
    parameters = {"endpoints": ENDPOINTS, "changes": CHANGES, "connections": CONNECTIONS}
    show("roads", parameters, figures)


if __name__ == "__main__":
    main()
