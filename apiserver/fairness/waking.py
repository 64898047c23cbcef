"""Long work in rounds, so that requests go between: watches to be woken, pieces of long lists."""

import asyncio
from collections.abc import Hashable
from typing import Protocol

from apiserver.fairness.gate import Class
from apiserver.fairness.rounds import Rounds

# What one writes, a piece of a list or some lines, takes some tenths of a millisecond with TLS; a
# request needs some rounds of the loop for its answer.
WOKEN_AT_ONCE = 1
type Whose = tuple[Class, str]

ORDER = {one: index for index, one in enumerate(Class)}


class Sleeper(Hashable, Protocol):
    def wake(self) -> None: ...


class _Turn:
    """Somebody who waits for nothing but his turn."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        if not self.came.done():
            self.came.set_result(None)


class Waking:
    """For everything of a server together, so that requests go between."""

    def __init__(self) -> None:
        self._rounds: Rounds[Sleeper] = Rounds(len(Class))
        self._is_under_way = False

    def __contains__(self, one: Sleeper) -> bool:
        return one in self._rounds

    def add(self, whose: Whose, one: Sleeper) -> None:
        """Wake somebody when it is his turn."""
        self._rounds.add(ORDER[whose[0]], whose[1], one)
        if not self._is_under_way:
            self._is_under_way = True
            asyncio.get_running_loop().call_soon(self._wake_some)

    def discard(self, one: Sleeper) -> None:
        self._rounds.discard(one)

    async def turn(self, whose: Whose) -> None:
        """Wait until it is one's turn."""
        one = _Turn()
        self.add(whose, one)
        try:
            await one.came
        finally:
            self.discard(one)

    def _wake_some(self) -> None:
        for _ in range(WOKEN_AT_ONCE):
            one = self._rounds.next()
            if one is None:
                self._is_under_way = False
                return
            one.wake()
        asyncio.get_running_loop().call_soon(self._wake_some)
