"""Waiting for an event, and no longer than a while."""

import asyncio
from typing import Protocol


class Waitable(Protocol):
    """An asyncio.Event, or what is set as one is."""

    async def wait(self) -> object: ...


async def wait_until(event: Waitable, pause_s: float | None) -> None:
    """Return when the event is set, or after pause_s; None: only then."""
    try:
        async with asyncio.timeout(pause_s):
            await event.wait()
    except TimeoutError:
        return
