"""The machine's time for programs that live for one call and have no event loop.

Importing asyncio takes longer than most of what a command line does.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall time, in UTC. For display and ages only."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds from an arbitrary start; never goes back."""
    return time.monotonic()


def sleep(span_s: float) -> None:
    """Wait for span_s seconds."""
    time.sleep(span_s)
