"""Time, as an argument: nobody else in the house asks the machine what time it is."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for display, monotonic time for every duration."""

    def now(self) -> datetime:
        """Return the wall time, in UTC. For display and timestamps only."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, span_s: float) -> None:
        """Wait for span_s seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, span_s: float) -> None:
        await asyncio.sleep(span_s)
