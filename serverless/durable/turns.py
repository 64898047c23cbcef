"""How many calls of topics a function runs at a time: the others wait in their topics."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serverless.board.key import FunctionKey


class Turns:
    """Turns of each function, first come first served."""

    def __init__(self) -> None:
        self._running: dict[FunctionKey, int] = {}
        self._waiting: dict[FunctionKey, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, function: FunctionKey, limit: int) -> AsyncIterator[None]:
        """Hold one of a function's turns; limit: how many there are now."""
        waiting = self._waiting.setdefault(function, deque())
        while self._running.get(function, 0) >= limit:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append(woken)
            try:
                await woken
            finally:
                if woken in waiting:
                    waiting.remove(woken)
        self._running[function] = self._running.get(function, 0) + 1
        try:
            yield
        finally:
            self._running[function] -= 1
            self._wake(function)

    def _wake(self, function: FunctionKey) -> None:
        waiting = self._waiting[function]
        while waiting:
            woken = waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                return
        if not self._running[function]:
            del self._running[function]
            del self._waiting[function]
