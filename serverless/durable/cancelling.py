"""Calls that somebody has cancelled: none is begun, and what runs is interrupted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serverless.durable.records import Call


class Withdrawn(Exception):
    """Somebody has cancelled the call, which is as it was by then."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.id)
        self.call = call


class Cancelling:
    """Which calls are cancelled and have not ended; of each call one piece of work at a time."""

    def __init__(self) -> None:
        self._marked: set[str] = set()
        self._scopes: dict[str, asyncio.Timeout] = {}

    def mark(self, call: str) -> None:
        """A call that is under way is not wanted any more; forget it when it has ended."""
        if call in self._marked:
            return
        self._marked.add(call)
        scope = self._scopes.get(call)
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    def forget(self, call: str) -> None:
        self._marked.discard(call)

    @asynccontextmanager
    async def interruptible(self, call: Call) -> AsyncIterator[None]:
        """What is done within ends when the call is cancelled. Raises: Withdrawn."""
        if call.id in self._marked:
            raise Withdrawn(call)
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes[call.id] = scope
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Withdrawn(call) from error
        finally:
            self._scopes.pop(call.id, None)
