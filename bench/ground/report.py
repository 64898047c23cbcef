"""What every bench prints: one JSON object of the same form, and how figures are summed up.

{"bench": ..., "machine": {...}, "commit": ..., "load_average": [...], "parameters": {...},
"figures": {...}}. Times are in the unit that their name ends with.
"""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIT_DEADLINE_S = 10

type Figures = Mapping[str, object]


def show(bench: str, parameters: Figures, figures: Figures) -> None:
    """Print one bench's result."""
    told = {
        "bench": bench,
        "machine": machine(),
        "commit": commit(),
        # Of the last 1, 5 and 15 minutes: what the bench itself was, and what ran beside it.
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "parameters": parameters,
        "figures": figures,
    }
    print(json.dumps(told, indent=2))


def progress(sentence: str) -> None:
    """Tell on stderr what is being measured: some benches take minutes."""
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def machine() -> Figures:
    """Return where the figures were taken."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit that was measured, with + where files differ from it."""
    argv = ["git", "describe", "--always", "--abbrev=9", "--exclude=*", "--dirty=+"]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=GIT_DEADLINE_S
    )
    return done.stdout.strip()


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Return the least, the middle and the most of several runs."""
    return {
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
    }


def percentiles(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return p50, p99 and the most of many single observations."""
    ordered = sorted(values)
    return {
        "p50": round(_rank(ordered, 0.5), digits),
        "p99": round(_rank(ordered, 0.99), digits),
        "max": round(ordered[-1], digits),
    }


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return b of the curve y = a * x ** b that is nearest to the points: 1 is linear growth.

    The slope of the least squares in logarithms; points above 0, and with more than one x.
    """
    logs = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def _rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
