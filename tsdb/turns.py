"""Long work in short turns: one thread serves everybody, so nobody may keep it for long."""

import asyncio

from cubernetes.host.clock import Clock
from tsdb.steps import Steps

# How long one query or one piece of upkeep may hold the thread before others get their turn.
TURN_S = 0.004


async def in_turns[T](steps: Steps[T], clock: Clock, turn_s: float = TURN_S) -> T:
    """Run a generator to its end and return its value, letting others run between turns.

    A cancelled caller ends the work at the next turn: the generator is closed.
    """
    began_s = clock.monotonic()
    try:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            if clock.monotonic() - began_s >= turn_s:
                await asyncio.sleep(0)
                began_s = clock.monotonic()
    finally:
        steps.close()
