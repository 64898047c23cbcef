"""A program's clock in a simulation: it runs on the loop's time and is wrong by its own amount."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


class SimClock:
    """Wall time is off by wall_error_s; monotonic time begins at another number everywhere."""

    def __init__(self, wall_error_s: float = 0.0, begin_s: float = 0.0) -> None:
        self._wall_error_s = wall_error_s
        self._begin_s = begin_s

    def now(self) -> datetime:
        elapsed_s = asyncio.get_running_loop().time()
        return BEGIN + timedelta(seconds=elapsed_s + self._wall_error_s)

    def monotonic(self) -> float:
        return self._begin_s + asyncio.get_running_loop().time()

    async def sleep(self, span_s: float) -> None:
        await asyncio.sleep(span_s)


class NoCommands:
    """There are no programs on a simulated machine."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        raise CommandFailed(argv, None, "no programs in a simulation")


def sim_env(seed: str, wall_error_s: float = 0.0, begin_s: float = 0.0) -> Env:
    return Env(SimClock(wall_error_s, begin_s), SeededRng(seed), NoCommands())
