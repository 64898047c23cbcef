"""A clock for tests that are not simulations."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class SteppedClock:
    """Time that passes only while somebody sleeps, as much as they sleep; or as a test sets it."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    async def sleep(self, span_s: float) -> None:
        self.passed_s += span_s
        await asyncio.sleep(0)
