"""Waiting for a condition: never for a time that somebody guessed."""

import inspect
from collections.abc import Awaitable, Callable

from cubernetes.host.clock import Clock

LOOK_EVERY_S = 0.01


class NeverCame(Exception):
    """What was waited for did not come before its deadline."""


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    clock: Clock,
    deadline_s: float,
    what: Callable[[], str],
) -> None:
    """Return once condition holds.

    Raises:
        NeverCame: not within deadline_s; what() completes the sentence.
    """
    end = clock.monotonic() + deadline_s
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        if clock.monotonic() >= end:
            raise NeverCame(f"waited {deadline_s:g} s in vain: {what()}")
        await clock.sleep(LOOK_EVERY_S)
