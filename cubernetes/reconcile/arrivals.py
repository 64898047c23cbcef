"""Plan when new samples have come, and not only when their time has: for planners that ask.

Between two such wakes there is a pause, and as long as keys of the last one wait for a worker there
is none. Where the source cannot tell of arrivals, or is away, planners go on by their own times.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.readings import SourceTrouble

log = Log(__name__)

PAUSE_S = 0.25
RELIEF_S_MAX = 2.0
TROUBLE_PAUSE_S = 5.0
WAIT_S = 5.0
# What an answer may take beyond what the source was to wait.
MORE_S = 5.0


@runtime_checkable
class Telling(Protocol):
    """A source that tells when it has new samples."""

    async def arrived(self, after: int, wait_s: float) -> int:
        """Return the number of the newest arrival once it is another than this, or in wait_s.

        Raises:
            SourceTrouble: it could not be reached, or does not know.
        """
        ...


class Answers(Protocol):
    """What is kept of what the source has said."""

    def renew(self) -> None:
        """Ask anew from now on."""
        ...


class Follows(Protocol):
    """Keys that are planned on samples."""

    def follower_count(self) -> int: ...

    def is_behind(self) -> bool:
        """Whether such keys wait for a worker or are with one."""
        ...

    def wake_followers(self) -> None:
        """Plan them now."""
        ...


async def follow(
    source: Telling, answers: Answers, loops: Sequence[Follows], begun: asyncio.Event, env: Env
) -> None:
    """Wake those that decide on samples at each arrival, for ever; begun: when some come to be."""
    number, is_told = -1, False
    while True:
        if not any(loop.follower_count() for loop in loops):
            begun.clear()
            await begun.wait()
        try:
            async with asyncio.timeout(WAIT_S + MORE_S):
                found = await source.arrived(number, WAIT_S)
        except (SourceTrouble, TimeoutError) as error:
            if not is_told:
                log.info("no news of samples, planning by time", why=error or "no answer in time")
            is_told = True
            await env.clock.sleep(TROUBLE_PAUSE_S)
            continue
        is_told = False
        began_s = env.clock.monotonic()
        if found != number:
            number = found
            answers.renew()
            for loop in loops:
                loop.wake_followers()
        await env.clock.sleep(PAUSE_S)
        while any(loop.is_behind() for loop in loops):
            await env.clock.sleep(PAUSE_S)
        # Where many keys ask much, the source has as long to itself as it took to answer.
        took_s = env.clock.monotonic() - began_s - PAUSE_S
        await env.clock.sleep(min(max(0.0, took_s), RELIEF_S_MAX))
