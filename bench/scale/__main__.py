"""How the API server grows with what it holds: `python -m bench.scale [--sizes 1000 10000 50000]`.

For each number of pods a cluster of its own, over TLS, with a real etcd: the server's memory above
that of an empty one, a whole list, a create among so many, a change told to 100 watchers, and the
start after `kill -9`. CPU is the server's own. `growth` has for each the exponent with which it
grows: 1 is linear. Takes about five minutes.
"""

import argparse
import os
import signal
from collections.abc import Mapping, Sequence

import uvloop

from bench.api import PODS, Round, fill, listed, paced
from bench.fanout import fanouts
from bench.ground.load import get, post
from bench.ground.payload import POD_BYTES, pod
from bench.ground.processes import cpu_s, memory
from bench.ground.report import exponent, progress, show, spread
from bench.ground.serving import Served, serving

SERVER_CORE = 0
SIZES = (1000, 10_000, 50_000)
ROUNDS = 3
CREATORS = 16
CREATES = 500
WATCHERS = 100


async def sized(served: Served, size: int) -> dict[str, float]:
    """Return the figures of a server that holds so many pods."""
    empty_bytes = memory(served.proc).pss_bytes
    path = await fill(served, "full", size)
    held_bytes = memory(served.proc).pss_bytes - empty_bytes
    lists = await listed(served, get(path))
    watched = (await fanouts(served, [WATCHERS]))[f"watchers_{WATCHERS}"]
    creates = [await _created(served, f"more-{turn}") for turn in range(ROUNDS)]
    return {
        "memory_bytes_per_pod": round(held_bytes / size),
        "memory_mib": round(held_bytes / 2**20, 1),
        "list_ms": _value(lists, "total_ms", "median"),
        "list_cpu_ms": _value(lists, "server_cpu_ms", "median"),
        "create_cpu_us": spread([used * 1e6 / len(done) for done, _, used, _ in creates])["median"],
        "event_cpu_us": _value(watched, "server_cpu_us_per_event"),
        **_restarted(served),
    }


async def _created(served: Served, prefix: str) -> Round:
    """Create some pods more, in a namespace where there are few."""
    path = PODS.format(namespace="default")
    bodies = (post(path, pod(f"{prefix}-{number}")) for number in range(CREATES))
    return await paced(served, CREATORS, bodies, 201)


def _restarted(served: Served) -> dict[str, float]:
    spans_s, used_s = [], []
    for _ in range(ROUNDS):
        served.end(signal.SIGKILL)
        spans_s.append(served.start())
        used_s.append(cpu_s(served.proc))
    return {
        "start_s": spread(spans_s, 2)["median"],
        "start_cpu_s": spread(used_s, 2)["median"],
        "memory_after_start_mib": round(memory(served.proc).pss_bytes / 2**20, 1),
    }


def _value(figures: object, *names: str) -> float:
    """Return one of another bench's figures."""
    for name in names:
        assert isinstance(figures, Mapping)
        figures = figures[name]
    assert isinstance(figures, float)
    return figures


def growth(by_size: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Return for each figure the exponent with which it grows from the least size to the most."""
    names: Sequence[str] = list(next(iter(by_size.values())))
    return {
        name: round(exponent([(size, told[name]) for size, told in by_size.items()]), 2)
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    sizes = parser.parse_args().sizes
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    by_size: dict[int, dict[str, float]] = {}
    for size in sizes:
        progress(f"scale, {size} pods")
        with serving(SERVER_CORE) as served:
            by_size[size] = uvloop.run(sized(served, size))
    figures: dict[str, object] = {f"pods_{size}": told for size, told in by_size.items()}
    if len(by_size) > 1:
        figures["growth"] = growth(by_size)
    show("scale", {"pod_bytes": POD_BYTES, "rounds": ROUNDS, "tls": True}, figures)


if __name__ == "__main__":
    main()
