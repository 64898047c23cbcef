"""What a running process has used, as the kernel counts it."""

import os
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024


class Memory(NamedTuple):
    """rss counts pages shared with others in full, pss counts each only by its share."""

    rss_bytes: int
    pss_bytes: int


def cpu_s(process: Path) -> float:
    """Return the CPU time of a process (its /proc folder), all its threads, in seconds.

    Raises: OSError: it has ended.
    """
    # schedstat counts nanoseconds where stat counts ticks of 10 ms, but knows one thread only.
    spans_ns = [
        int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir()
    ]
    return sum(spans_ns) / 1e9


def cpu_with_children_s(process: Path) -> float:
    """Return the CPU time of a process and of its children that have ended, in seconds.

    Counted in ticks of 10 ms.

    Raises: OSError: it has ended.
    """
    # What follows the name, which may hold anything, begins with field 3; times are 14 to 17.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_S


def memory(process: Path) -> Memory:
    """Return what a process (its /proc folder) holds of memory.

    Raises: OSError: it has ended.
    """
    lines = (process / "smaps_rollup").read_text().splitlines()
    found = {line.split()[0]: line.split()[1] for line in lines[1:]}
    return Memory(int(found["Rss:"]) * KIB, int(found["Pss:"]) * KIB)
