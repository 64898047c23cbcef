"""What queues have used: GPU-seconds of which half is forgotten each hour. Pure.

Use is a function of what is stored and of the times at which jobs had their GPUs. It adds up: from
one moment to a third it is the same whether it was stored in between or not, so that a program that
was begun anew counts as if it had never ended.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

HALF_LIFE_S = 3600.0
# What one GPU that is held for ever comes to: the integral of the decay, in GPU-seconds.
LASTING_S = HALF_LIFE_S / 0.6931471805599453


class Span(NamedTuple):
    """From when to when a job has had so many GPUs; until is None where it has them still."""

    gpus: int
    since: datetime
    until: datetime | None = None


def decay(span_s: float) -> float:
    """Return which part of a use is left after a time."""
    return float(0.5 ** (max(0.0, span_s) / HALF_LIFE_S))


def usage(stored: float, stored_at: datetime | None, spans: Iterable[Span], now: datetime) -> float:
    """Return what has been used as of now, in GPU-seconds that decay."""
    total = stored * decay((now - stored_at).total_seconds()) if stored_at is not None else 0.0
    for gpus, since, until in spans:
        begin = since if stored_at is None else max(since, stored_at)
        end = now if until is None else min(until, now)
        if begin < end:
            old_s, young_s = (now - begin).total_seconds(), (now - end).total_seconds()
            total += gpus * LASTING_S * (decay(young_s) - decay(old_s))
    return total
