"""Waiting for a condition, never for a time: what was missing last is what a failure tells."""

from collections.abc import Awaitable, Callable

from cubernetes.host.clock import Clock

LOOK_S = 0.05


class NotYet(Exception):
    """A condition did not come true in time; `missing` is what the last look found wanting."""

    def __init__(self, what: str, deadline_s: float, missing: str) -> None:
        super().__init__(f"{what}: not within {deadline_s:g} s: {missing}")
        self.what, self.deadline_s, self.missing = what, deadline_s, missing


async def until(
    what: str, look: Callable[[], Awaitable[str]], deadline_s: float, clock: Clock
) -> None:
    """Look until nothing is missing (the empty text).

    Raises: NotYet.
    """
    end_at = clock.monotonic() + deadline_s
    while missing := await look():
        if clock.monotonic() > end_at:
            raise NotYet(what, deadline_s, missing)
        await clock.sleep(LOOK_S)
