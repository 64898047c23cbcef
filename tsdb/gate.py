"""How many queries run at once, and how many may wait for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tsdb.errors import Overloaded, QueryTimeout
from tsdb.limits import Limits


class QueryGate:
    """Lets `queries_at_once` in, keeps `queries_waiting` before the door, sends others away."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = asyncio.Semaphore(limits.queries_at_once)
        self.running = 0
        self.waiting = 0
        self.refused = 0

    @asynccontextmanager
    async def place(self, wait_s: float) -> AsyncIterator[None]:
        """Hold one place.

        Raises:
            Overloaded: too many are waiting already.
            QueryTimeout: no place became free in time.
        """
        if self._places.locked() and self.waiting >= self._limits.queries_waiting:
            self.refused += 1
            raise Overloaded("queries_waiting", self._limits.queries_waiting, self.waiting + 1)
        if self._places.locked():
            await self._wait(wait_s)
        else:
            # Free places are taken at once: nothing to count, and no deadline to set up.
            await self._places.acquire()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()

    async def _wait(self, wait_s: float) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise QueryTimeout("query timed out in query queue") from error
        finally:
            self.waiting -= 1
