"""How fast the API server is: `python -m bench.api [get create list restart watch]`.

The real server over TLS on loopback, with a real etcd, each case on an empty cluster of its own.
The server has the first core of this machine, what asks it the last; etcd may use both. CPU is the
server's own, without etcd's. Takes about four minutes.
"""

import argparse
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import uvloop

from bench import fanout
from bench.ground.load import Answer, connections, get, load, post
from bench.ground.payload import POD_BYTES, pod
from bench.ground.processes import cpu_s, memory
from bench.ground.report import Figures, percentiles, progress, show, spread
from bench.ground.serving import Served, serving

SERVER_CORE = 0
ROUNDS = 5
GETS = 3000
CREATES = {1: 500, 16: 3000, 64: 3000}
LIST_SIZES = (1000, 10_000)
FILLERS = 64
FILLED_AT_ONCE = 5000  # so many within the deadline of a load, however many there are in all
PODS = "/api/v1/namespaces/{namespace}/pods"


async def gets(served: Served) -> Figures:
    """One pod, again and again: newest (etcd is asked for its revision), and from memory."""
    path = PODS.format(namespace="default")
    async with connections(served.port, served.tls, 1) as (wire,):
        await load([wire], [post(path, pod("one"))], 201)
    figures: dict[str, object] = {}
    for client_count in (1, 64):
        for name, query in {"newest": "", "any": "?resourceVersion=0"}.items():
            request = get(f"{path}/one{query}")
            rounds = [
                await paced(served, client_count, itertools.repeat(request, GETS), 200)
                for _ in range(ROUNDS)
            ]
            figures[f"clients_{client_count}_{name}"] = _rates(rounds)
    return figures


async def creates(served: Served) -> Figures:
    """New pods, each durable before it is answered."""
    path = PODS.format(namespace="default")
    figures: dict[str, object] = {}
    for client_count, count in CREATES.items():
        rounds: list[Round] = []
        for turn in range(ROUNDS):
            prefix = f"c{client_count}-{turn}"
            bodies = [post(path, pod(f"{prefix}-{number}")) for number in range(count)]
            rounds.append(await paced(served, client_count, bodies, 201))
        figures[f"clients_{client_count}"] = _rates(rounds)
    return figures


async def lists(served: Served) -> Figures:
    """All pods of a namespace in one answer, by one client."""
    figures: dict[str, object] = {}
    for size in LIST_SIZES:
        path = await fill(served, f"n{size}", size)
        for name, query in {"newest": "", "any": "?resourceVersion=0"}.items():
            figures[f"pods_{size}_{name}"] = await listed(served, get(path + query))
    return figures


async def restarts(served: Served) -> Figures:
    """From `kill -9` and a new start until /readyz says yes, with everything loaded."""
    await fill(served, "full", max(LIST_SIZES))
    spans_s, used_s = [], []
    for _ in range(ROUNDS):
        served.end(signal.SIGKILL)
        spans_s.append(served.start())
        used_s.append(cpu_s(served.proc))
    rss_bytes, pss_bytes = memory(served.proc)
    return {
        "pods": max(LIST_SIZES),
        "ready_s": spread(spans_s, 2),
        "server_cpu_s": spread(used_s, 2),
        "rss_mib": round(rss_bytes / 2**20, 1),
        "pss_mib": round(pss_bytes / 2**20, 1),
    }


async def fill(served: Served, namespace: str, count: int) -> str:
    """Create a namespace with pods in it; return the path of its pods."""
    path = PODS.format(namespace=namespace)
    body = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%b"}}' % namespace.encode()
    async with connections(served.port, served.tls, FILLERS) as wires:
        await load(wires[:1], [post("/api/v1/namespaces", body)], 201)
        for begin in range(0, count, FILLED_AT_ONCE):
            numbers = range(begin, min(begin + FILLED_AT_ONCE, count))
            await load(wires, (post(path, pod(f"pod-{number:05}")) for number in numbers), 201)
    return path


type Round = tuple[Sequence[Answer], float, float, float]


async def paced(served: Served, clients: int, requests: Iterable[bytes], status: int) -> Round:
    """Return the answers, how long they took, and the CPU of server and client meanwhile."""
    async with connections(served.port, served.tls, clients) as wires:
        begun, server_s, own_s = time.monotonic(), cpu_s(served.proc), time.process_time()
        answers = await load(wires, requests, status)
        span_s = time.monotonic() - begun
        return answers, span_s, cpu_s(served.proc) - server_s, time.process_time() - own_s


def _rates(rounds: Sequence[Round]) -> Figures:
    waits = [answer.total_ms for answers, *_ in rounds for answer in answers]
    return {
        "per_s": spread([len(answers) / span_s for answers, span_s, *_ in rounds]),
        "latency_ms": percentiles(waits),
        "server_cpu_us": spread([used * 1e6 / len(answers) for answers, _, used, _ in rounds]),
        # Below 1 the client was waiting, not the limit.
        "client_core_share": spread([own / span_s for _, span_s, _, own in rounds], 2),
    }


async def listed(served: Served, request: bytes) -> Figures:
    """One list, again and again, by one client."""
    answers, cpu_ms = [], []
    async with connections(served.port, served.tls, 1) as wires:
        for _ in range(ROUNDS + 2):
            begun_s = cpu_s(served.proc)
            answers += await load(wires, [request], 200)
            cpu_ms.append((cpu_s(served.proc) - begun_s) * 1000)
    return {
        "total_ms": spread([answer.total_ms for answer in answers]),
        "first_byte_ms": spread([answer.first_byte_ms for answer in answers]),
        "server_cpu_ms": spread(cpu_ms),
        "body_mb": round(answers[0].body_bytes / 1e6, 1),
    }


CASES: dict[str, Callable[[Served], Awaitable[Figures]]] = {
    "get": gets,
    "create": creates,
    "list": lists,
    "restart": restarts,
    "watch": fanout.fanouts,
}


async def measured(name: str) -> Figures:
    progress(f"api {name}")
    with serving(SERVER_CORE) as served:
        return await CASES[name](served)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="all, where none is named")
    names = parser.parse_args().cases or list(CASES)
    client_core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {client_core})
    figures = {name: uvloop.run(measured(name)) for name in names}
    parameters = {
        "pod_bytes": POD_BYTES,
        "rounds": ROUNDS,
        "tls": True,
        "server_core": SERVER_CORE,
        "client_core": client_core,
    }
    show("api", parameters, figures)


if __name__ == "__main__":
    main()
