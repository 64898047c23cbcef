"""Turns at a key: one writer at a time, first come first served, and nothing kept of idle keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Line:
    """The writers of one key: which has the turn, and how many have it or wait for it."""

    __slots__ = ("count", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.count = 0


class Turns:
    """Writers that have met at a key take turns; the others never learn of it.

    The writers of this process only: those of another API server are met in the store.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def is_contended(self, key: str) -> bool:
        """Whether a writer has the turn at key."""
        return key in self._lines

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for the turn at key, and have it for the length of the block."""
        line = self._lines.setdefault(key, _Line())
        line.count += 1
        try:
            async with line.lock:
                yield
        finally:
            line.count -= 1
            if not line.count:
                del self._lines[key]
