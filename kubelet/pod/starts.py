"""Turns for starting: so many at a time, and what is nearer to running goes first.

A node starts a handful of things at once, or each of them is late. Among pods that wait, one whose
sandbox stands is a single container away from running: were all served in the order of their
coming, every sandbox of a batch would be there before the first container, and all pods ready
together, at the end.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Starts:
    """At most `at_once` turns are out at a time; containers before sandboxes, else in order."""

    def __init__(self, at_once: int) -> None:
        self._free_count = at_once
        self._containers: deque[asyncio.Future[None]] = deque()
        self._sandboxes: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def container(self) -> AsyncGenerator[None, None]:
        async with self._turn(self._containers):
            yield

    @asynccontextmanager
    async def sandbox(self) -> AsyncGenerator[None, None]:
        async with self._turn(self._sandboxes):
            yield

    @asynccontextmanager
    async def _turn(self, queue: deque[asyncio.Future[None]]) -> AsyncGenerator[None, None]:
        if self._free_count:
            self._free_count -= 1
        else:
            await self._given(queue)
        try:
            yield
        finally:
            self._give_back()

    async def _given(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled at the very moment when its turn came: the turn is another's now.
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        for queue in (self._containers, self._sandboxes):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free_count += 1
