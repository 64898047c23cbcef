"""That samples have come: who decides on them waits for it instead of asking ever again."""

import asyncio

from tsdb.errors import Overloaded

WAITING_MAX = 64


class Arrivals:
    """Counts scrapes that were appended, and wakes those who wait for the next."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._next = asyncio.Event()
        self._is_open = True
        self.number, self.waiting = 0, 0

    def note(self) -> None:
        """A target's answer is there to be read."""
        self.number += 1
        self._wake()

    def close(self) -> None:
        """Let all go: from now on nobody waits."""
        self._is_open = False
        self._wake()

    async def after(self, number: int, wait_s: float) -> int:
        """Return the count as soon as it is another than this one, or after a time.

        Raises: Overloaded: too many wait already.
        """
        if self.waiting >= self._waiting_max:
            raise Overloaded("arrivals_waiting", self._waiting_max, self.waiting)
        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                while self._is_open and self.number == number:
                    await self._next.wait()
        except TimeoutError:
            return self.number
        finally:
            self.waiting -= 1
        return self.number

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()
