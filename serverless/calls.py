"""Calls that wait and run: the board, with what wakes those that wait."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from cubernetes.host.clock import Clock
from serverless.board.board import Board, QueueFull, Seat, Waiting
from serverless.board.key import FunctionKey
from serverless.instances import NotTaken

# A call that instances refuse again and again is not given out faster than this.
REFUSED_PAUSE_S = 0.02


class NoFunction(Exception):
    """There is no such function, or it has gone while the call waited."""


class NoInstance(Exception):
    """No instance came in time."""


class Unloadable(Exception):
    """The function's code cannot be loaded; the text is its traceback."""


class Calls:
    """The calls of all functions; `changed` is called where a function needs more instances."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self.board = Board()
        self._clock, self._changed = clock, changed
        self._woken: dict[Waiting, asyncio.Future[None]] = {}
        # Functions of which no revision can be loaded, and why.
        self._unloadable: dict[FunctionKey, str] = {}

    async def run[T](
        self, function: FunctionKey, work: Callable[[Seat], Awaitable[T]], wait_s_max: float
    ) -> T:
        """Run work at a seat of the function, once there is one that takes it.

        Raises: NoFunction, QueueFull, NoInstance, Unloadable, and what work raises.
        """
        if function in self._unloadable:
            raise Unloadable(self._unloadable[function])
        deadline_s = self._clock.monotonic() + wait_s_max
        try:
            call = self.board.arrive(function, self._clock.monotonic())
        except KeyError as error:
            raise NoFunction(f"there is no function {function}") from error
        if self.board.is_short(function):
            self._changed()
        try:
            while True:
                seat = call.granted or await self._granted(call, deadline_s)
                try:
                    return await work(seat)
                except NotTaken:
                    self._wake(self.board.refuse(call, self._clock.monotonic()))
                    self._changed()
                    await self._clock.sleep(REFUSED_PAUSE_S)
        finally:
            now_s = self._clock.monotonic()
            self.board.withdraw(call, now_s)
            self._wake(self.board.end(call, now_s))

    async def _granted(self, call: Waiting, deadline_s: float) -> Seat:
        """Wait for a seat. Raises: NoInstance, NoFunction, Unloadable."""
        woken = self._woken[call] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic())):
                await woken
        except TimeoutError as error:
            raise NoInstance from error
        finally:
            del self._woken[call]
        if call.granted is None:
            raise NoInstance
        return call.granted

    def seat(self, function: FunctionKey, seats: Mapping[str, Seat]) -> None:
        """These are the instances that take the function's calls now."""
        self._unloadable.pop(function, None)
        self._wake(self.board.seat(function, seats))

    def close(self, function: FunctionKey) -> None:
        """The function has gone: calls that wait for it end."""
        self._unloadable.pop(function, None)
        self._end(self.board.close(function), NoFunction(f"function {function} has been deleted"))

    def refuse(self, function: FunctionKey, story: str) -> None:
        """No revision of the function can be loaded: calls end until another `seat`."""
        self._unloadable[function] = story
        self._end(self.board.waiting(function), Unloadable(story))

    def _wake(self, granted: Iterable[Waiting]) -> None:
        for call in granted:
            woken = self._woken.get(call)
            if woken is not None and not woken.done():
                woken.set_result(None)

    def _end(self, calls: Iterable[Waiting], error: Exception) -> None:
        for call in calls:
            woken = self._woken.get(call)
            if woken is not None and not woken.done():
                woken.set_exception(error)


__all__ = ["Calls", "NoFunction", "NoInstance", "QueueFull", "Unloadable"]
