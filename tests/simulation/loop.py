"""An event loop on virtual time whose every choice comes from a seed.

What is ready runs in an order drawn from the seed; when nothing is ready, time jumps to the next
timer. So an hour of a cluster's life takes seconds, and the same seed lives the same life again.
Nothing here touches sockets, threads or signals: who asks for them gets NotImplementedError.
"""

import asyncio
import gc
import heapq
import random
import sys
from asyncio import events
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from typing import Any
from weakref import WeakSet

STEPS_IN_ONE_MOMENT_MAX = 200_000


class Deadlock(Exception):
    """Everybody waits, and nothing will ever happen."""


class TimeLimit(Exception):
    """The run has lived longer than it was given."""


class Livelock(Exception):
    """Work goes on and on, and time does not pass."""


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set follows from its number, not from its address in memory.

    asyncio keeps tasks in sets, and walks through them when a group is cancelled.
    """

    def __init__(self, coro: Any, loop: "SimLoop", name: str | None, context: Any) -> None:
        self.number = loop.next_number()
        super().__init__(coro, loop=loop, name=name or f"task-{self.number}", context=context)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):
    """As SimTask."""

    def __init__(self, loop: "SimLoop") -> None:
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.AbstractEventLoop):
    """is_shuffled False keeps asyncio's own order: callbacks run as they were registered."""

    def __init__(self, seed: str, *, is_shuffled: bool = True) -> None:
        self._random = random.Random(f"{seed}:schedule")
        self._is_shuffled = is_shuffled
        self._now_s = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._number_count = 0
        self._generators: WeakSet[AsyncGenerator[Any, Any]] = WeakSet()
        self._is_running = False
        self._is_closed = False
        self.step_count = 0
        # Grows from every choice and its time: two runs with one trace did the same.
        self.trace = 0
        # What nobody caught: exceptions in callbacks and in tasks that nobody awaits.
        self.mishaps: list[str] = []

    def next_number(self) -> int:
        self._number_count += 1
        return self._number_count

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    def create_future(self) -> asyncio.Future[Any]:
        return SimFuture(self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        return SimTask(coro, self, name, context)

    def call_soon[*Ts](
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later[*Ts](
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at[*Ts](
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is passed over when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.mishaps.append(f"{context['message']}: {error!r}")

    # Running

    def run[T](self, main: Coroutine[Any, Any, T], *, limit_s: float) -> T:
        """Run main to its end and return its result; cancel and await whatever it leaves behind.

        Raises: Deadlock, TimeLimit, Livelock, and what main raises.
        """
        hooks = sys.get_asyncgen_hooks()
        was_collecting = gc.isenabled()
        # When garbage is found depends on the whole process: a generator that only the collector
        # closes would make a run depend on the runs before it.
        gc.disable()
        sys.set_asyncgen_hooks(self._generators.add, self._generator_dropped)
        events._set_running_loop(self)
        self._is_running = True
        try:
            task: asyncio.Task[T] = self.create_task(main)
            self._finish(task, limit_s)
            return task.result()
        finally:
            self._wind_up()
            self._is_running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            if was_collecting:
                gc.enable()

    def _finish(self, task: asyncio.Task[Any], limit_s: float) -> None:
        moment_s, steps_before = -1.0, 0
        while not task.done():
            if not self._ready:
                self._advance(limit_s)
            if self._now_s > moment_s:
                moment_s, steps_before = self._now_s, self.step_count
            elif self.step_count - steps_before > STEPS_IN_ONE_MOMENT_MAX:
                raise Livelock(f"{STEPS_IN_ONE_MOMENT_MAX} steps at {moment_s:.3f} s")
            self._step()

    def _step(self) -> None:
        ready = self._ready
        count, index = len(ready), 0
        if count > 1 and self._is_shuffled:
            index = int(self._random.random() * count)
            ready[index], ready[-1] = ready[-1], ready[index]
            handle = ready.pop()
        else:
            handle = ready.pop(0)
        if handle.cancelled():
            return
        self.step_count += 1
        self.trace = (self.trace * 1_000_003 + index * 31 + count) & 0xFFFF_FFFF_FFFF
        handle._run()

    def _advance(self, limit_s: float) -> None:
        """Let time jump to the next timer that still counts."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"at {self._now_s:.3f} s everybody waits for somebody else")
        self._now_s = max(self._now_s, timers[0][0])
        if self._now_s > limit_s:
            raise TimeLimit(f"not done after {limit_s} s")
        self.trace = (self.trace * 1_000_003 + int(self._now_s * 1e6)) & 0xFFFF_FFFF_FFFF
        while timers and timers[0][0] <= self._now_s:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def _wind_up(self) -> None:
        """End every task and generator, so that nothing warns or wakes up in a later run."""
        for _ in range(10):
            tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not tasks:
                break
            for task in sorted(tasks, key=hash):
                task.cancel()
            self._drain()
        for generator in list(self._generators):
            self.create_task(generator.aclose())
        self._drain()

    def _drain(self) -> None:
        """Run what is ready, and timers as they come, for a while: clean-up may take time."""
        for _ in range(STEPS_IN_ONE_MOMENT_MAX):
            if not self._ready:
                if not asyncio.all_tasks(self):
                    return
                try:
                    self._advance(self._now_s + 60.0)
                except (Deadlock, TimeLimit):
                    return
            if self._ready:
                self._step()

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close a generator that was not closed by who took it."""
        self._generators.discard(generator)
        if self._is_running:
            self.create_task(generator.aclose())


def sim_loop(seed: str, *, is_shuffled: bool = True) -> SimLoop:
    # What we leave out of a loop is left out on purpose: mypy calls the class abstract.
    return SimLoop(seed, is_shuffled=is_shuffled)  # type: ignore[abstract]


def run_simulated[T](main: Coroutine[Any, Any, T], seed: str = "0", limit_s: float = 3600.0) -> T:
    """Run main on virtual time and return its result; what nobody caught is an error.

    Raises: what SimLoop.run raises, AssertionError.
    """
    loop = sim_loop(seed)
    try:
        result = loop.run(main, limit_s=limit_s)
        assert not loop.mishaps, loop.mishaps
        return result
    finally:
        loop.close()
