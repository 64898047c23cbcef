"""How soon a change is seen by everyone who watches, and whether by everyone, once, in order.

The watchers are a process of their own (`python -m bench.watchers`), this one writes: a pod whose
annotation says when, by the clock that both share. The time is from before the write is sent until
the event is read, etcd included.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import msgspec

from bench.ground.load import connections, patch, post
from bench.ground.payload import pod
from bench.ground.processes import cpu_s
from bench.ground.report import ROOT, Figures, progress
from bench.ground.serving import Served
from bench.watchers import Order, Seen

WATCHER_COUNTS = (1, 100, 500, 1000)
CHANGES = 60
# Each change is alone, with room for the slowest watcher before the next.
PAUSE_S = 0.15
OPEN_DEADLINE_S = 60.0
PATH = "/api/v1/namespaces/default/pods"


async def fanouts(served: Served, counts: Sequence[int] = WATCHER_COUNTS) -> Figures:
    async with connections(served.port, served.tls, 1) as wires:
        answer = await wires[0].ask(post(PATH, pod("watched")))
    assert answer.status == 201, answer
    return {f"watchers_{count}": await _fanout(served, count) for count in counts}


async def _fanout(served: Served, watcher_count: int) -> Figures:
    progress(f"api watch, {watcher_count} watchers")
    order = Order(served.port, served.folder, f"{PATH}?watch=1", watcher_count, CHANGES)
    watching = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.watchers",
        msgspec.json.encode(order).decode(),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            assert await watching.stdout.readline() == b"watching\n"
        begun_s = cpu_s(served.proc)
        await _write(served)
        async with asyncio.timeout(OPEN_DEADLINE_S):
            seen = msgspec.json.decode(await watching.stdout.readline(), type=Seen)
        used_us = (cpu_s(served.proc) - begun_s) * 1e6
    finally:
        if watching.returncode is None:
            watching.kill()
        await watching.wait()
    expected = watcher_count * CHANGES
    return {
        "latency_ms": seen.latency_ms,
        "lost": expected - seen.event_count,
        "reordered": seen.reordered_count,
        "server_cpu_us_per_event": round(used_us / expected, 1),
    }


async def _write(served: Served) -> None:
    async with connections(served.port, served.tls, 1) as wires:
        for number in range(CHANGES):
            await asyncio.sleep(PAUSE_S)
            change = b'{"metadata":{"annotations":{"sent":"%d %d"}}}' % (
                number,
                time.monotonic_ns(),
            )
            answer = await wires[0].ask(patch(f"{PATH}/watched", change))
            assert answer.status == 200, answer
