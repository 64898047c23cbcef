"""A program's clock in a simulation: it runs on the loop's time and is wrong by its own amount."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from cubernetes.host.blocking import DEADLINE_S, Key, StillHanging
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


class AtOnce:
    """Work is done where it is asked for: the disk is memory. What is in `hanging` has no end."""

    def __init__(self) -> None:
        self.hanging: set[Key] = set()

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        if key in self.hanging:
            await asyncio.sleep(deadline_s)
            raise StillHanging(errno.ETIMEDOUT, f"no end after {deadline_s:g} s")
        await asyncio.sleep(0)
        return work()


def sim_env(seed: str, wall_error_s: float = 0.0, begin_s: float = 0.0) -> Env:
    clock = SimClock(wall_error_s, begin_s)
    return Env(clock, SeededRng(seed), NoCommands(), blocking=AtOnce())
