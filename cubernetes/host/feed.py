"""A stream that calls its reader instead of keeping a task for him: many may follow one source.

To wake a task for each piece costs several times what the piece costs. A reader without one is
called once after each `when_more`, from whatever brought the news; one with a task iterates.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import override


class Feed(AsyncIterator[bytes], ABC):
    """Pieces for one reader, who takes them with `take` and `when_more` or by iterating."""

    @abstractmethod
    def take(self) -> bytes:
        """Return the next piece at once; b"" where there is none now.

        Raises: StopAsyncIteration: there will be none any more.
        """

    @abstractmethod
    def when_more(self, call: Callable[[], None]) -> None:
        """Call once, later, when `take` may have something new to tell. call never raises."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the stream holds. Repeatable."""

    @override
    async def __anext__(self) -> bytes:
        while not (piece := self.take()):
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.when_more(partial(_wake, woken))
            await woken
        return piece

    async def aclose(self) -> None:
        self.close()


def _wake(woken: asyncio.Future[None]) -> None:
    # The reader may have been cancelled.
    if not woken.done():
        woken.set_result(None)
