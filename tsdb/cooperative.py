"""Long work in short slices: one thread serves everybody, so that nobody may keep it for long."""

import asyncio

from cubernetes.host.clock import Clock
from tsdb.steps import Steps

# How long one query or one piece of upkeep may hold the thread before others run.
SLICE_S = 0.004


async def run_in_slices[T](steps: Steps[T], clock: Clock, slice_s: float = SLICE_S) -> T:
    """Run a generator to its end and return its value, letting others run between slices.

    A cancelled caller ends the work at the next slice: the generator is closed.
    """
    began_s = clock.monotonic()
    try:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            if clock.monotonic() - began_s >= slice_s:
                await asyncio.sleep(0)
                began_s = clock.monotonic()
    finally:
        steps.close()
