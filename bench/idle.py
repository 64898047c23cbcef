"""What every program uses while nothing happens: `sudo python -m bench.idle`.

On a lab of three real nodes without pods. Memory is RSS and PSS at the end; CPU is the share of one
core over a while, commands that a program ran included. Takes about two minutes.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.ground.labcluster import cluster_up
from bench.ground.processes import cpu_with_children_s, memory
from bench.ground.report import Figures, progress, show
from cuberoot.registry import programs_for
from tests.e2e.cluster import Cluster

# What a start leaves to do is done by then: first syncs, retries, leases.
SETTLE_S = 20.0
SPAN_S = 30.0
MIB = 2**20
ON_FIRST = tuple(one.name for one in programs_for("control-plane"))
ON_OTHERS = tuple(one.name for one in programs_for("worker"))


class Use(NamedTuple):
    """What one process held at the end, and used in between."""

    rss_mib: float
    pss_mib: float
    cpu_percent: float


async def uses_of(cluster: Cluster) -> Mapping[tuple[str, str], Use]:
    """Return what each program used, by node and program."""
    processes = {
        (node, program): await _process(cluster, node, program)
        for node in cluster.names
        for program in (ON_FIRST if node == "n1" else ON_OTHERS)
    }
    progress(f"idle for {SETTLE_S + SPAN_S:.0f} s")
    await asyncio.sleep(SETTLE_S)
    before_s = {place: cpu_with_children_s(proc) for place, proc in processes.items()}
    await asyncio.sleep(SPAN_S)
    return {place: _use(proc, before_s[place]) for place, proc in processes.items()}


async def _process(cluster: Cluster, node: str, program: str) -> Path:
    """Return a program's /proc folder, which this machine reaches through the node's root."""
    return cluster.lab.node(node).root / "proc" / str(await cluster.pid_of(node, program))


def _use(process: Path, before_s: float) -> Use:
    share = (cpu_with_children_s(process) - before_s) / SPAN_S
    held = memory(process)
    return Use(
        round(held.rss_bytes / MIB, 1), round(held.pss_bytes / MIB, 1), round(share * 100, 2)
    )


def told(uses: Mapping[tuple[str, str], Use]) -> Figures:
    plane = [use for (_, program), use in uses.items() if program not in ON_OTHERS]
    return {
        **{f"{node}/{program}": use._asdict() for (node, program), use in uses.items()},
        "control plane with etcd": {
            field: round(sum(getattr(use, field) for use in plane), 2) for field in Use._fields
        },
    }


async def figures() -> Figures:
    async with cluster_up() as cluster:
        return told(await uses_of(cluster))


def main() -> None:
    show("idle", {"nodes": 3, "pods": 0, "span_s": SPAN_S}, asyncio.run(figures()))


if __name__ == "__main__":
    main()
