"""How often roads are asked for, as the gateway's Lease tells it. Pure.

The busiest roads of the last seconds are told. The Lease is written anew for each report, and read
by all who follow Leases: it says little.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

# Roads in a report, and bytes of it: longer ones leave roads out, the busiest last.
ROADS_MAX = 64
REPORT_BYTES_MAX = 16 << 10


class Tally(NamedTuple):
    """What a road has been asked for so far: requests, those that ended with 5xx, their seconds."""

    requests: int = 0
    failed_count: int = 0
    spent_s: float = 0.0


type Road = tuple[str, str, str]


def rates_between(before: Mapping[Road, Tally], after: Mapping[Road, Tally], span_s: float) -> str:
    """Return the report of a span as JSON; empty where nobody asked for anything.

    A list for each road: host, path, service, requests and failures a second, milliseconds each.
    """
    rows = []
    for road, now in after.items():
        then = before.get(road, Tally())
        count = now.requests - then.requests
        if count > 0:
            failed = (now.failed_count - then.failed_count) / span_s
            each_ms = 1000 * (now.spent_s - then.spent_s) / count
            rate = _short(count / span_s)
            rows.append((*road, rate, _short(failed), _short(each_ms)))
    rows.sort(key=lambda row: (-row[3], row))
    return _fitting(rows[:ROADS_MAX])


def _fitting(rows: Iterable[tuple[str, str, str, float, float, float]]) -> str:
    """Return as many rows as fit into a report."""
    parts: list[bytes] = []
    left = REPORT_BYTES_MAX
    for row in rows:
        part = msgspec.json.encode(row)
        left -= len(part) + 1
        if left < 0:
            break
        parts.append(part)
    return f"[{b','.join(parts).decode()}]" if parts else ""


def _short(value: float) -> float:
    """Return three significant digits of a figure: what more it has nobody reads."""
    return float(f"{value:.3g}")
