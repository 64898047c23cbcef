"""Calls that may block (files, /proc, other file systems): on threads, by key, with a deadline.

A call into a file system that does not answer can be ended by nobody. So it is left where it is:
its caller goes on at the deadline, its key stays taken until the call ends, and no other key is
behind it. A key has one thread at a time, so that what hangs costs one thread however often it is
tried again. The threads are daemons, which a program that ends does not wait for. One whose call
went well serves the next for a while: to begin a thread stops the loop until that runs.
"""

import asyncio
import errno
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

from cubernetes.host.log import Log

log = Log(__name__)

DEADLINE_S = 10.0
THREADS_MAX = 512  # of one kind of work; other kinds have their own
SPARE_MAX = 8  # threads that wait for more work
SPARE_S = 5.0  # for so long

type Key = tuple[str, str]
"""What kind of work, and whose: `("volume", "<pod uid>/<name>")`."""


class StillHanging(OSError):
    """A call had no end by its deadline, or no turn because the one before it has none."""


class Blocking(Protocol):
    """Keeps calls that may block off the event loop."""

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        """Return what work returns; the calls of one key follow each other.

        work must be harmless when it ends late, after its caller has given up.

        Raises:
            StillHanging: there was no end by deadline_s. The work goes on.
        """
        ...


@dataclass(slots=True)
class _Call:
    """One piece of work on its thread. is_late: nobody waits for it any more."""

    key: Key
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_late: bool = False


class _Thread:
    """A thread that does one piece of work after another, until it has waited in vain."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_over = False

    def begin(self) -> None:
        """Raises: RuntimeError, where no thread is to be had."""
        threading.Thread(target=self._run, name="blocking", daemon=True).start()

    def do(self, name: str, work: Callable[[], None]) -> bool:
        """Have work done under a name for those who look; False: this thread has ended."""

        def named() -> None:
            threading.current_thread().name = name
            work()

        with self._lock:
            if not self._is_over:
                self._work.put(named)
            return not self._is_over

    def end(self) -> None:
        """End behind the work that it was given."""

        def last() -> None:
            self._is_over = True

        self._work.put(last)

    def _run(self) -> None:
        while not self._is_over:
            try:
                work = self._work.get(timeout=SPARE_S)
            except queue.Empty:
                with self._lock:
                    self._is_over = self._work.empty()
            else:
                work()
                del work  # a thread that waits keeps nothing of what it has done


class Threads:
    """A thread for each call, and a call for each key."""

    def __init__(self, threads_max: int = THREADS_MAX) -> None:
        self._threads_max = threads_max
        self._calls: dict[Key, _Call] = {}
        # A key's turns are there as long as somebody waits for one.
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self.spare: list[_Thread] = []  # without work

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        loop = asyncio.get_running_loop()
        end_at = loop.time() + deadline_s
        results: list[T] = []
        errors: list[BaseException] = []
        # The next caller waits for the call before it, all others for their turn: an end wakes one.
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout_at(end_at), turn:
                while (before := self._calls.get(key)) is not None:
                    await before.ended.wait()
                call = self._begun(key, lambda: results.append(work()), errors)
        except TimeoutError as error:
            raise _hanging(f"an earlier call has no end after {deadline_s:g} s") from error
        try:
            is_ended = await _is_ended(call, end_at - loop.time())
        finally:
            call.is_late = not call.ended.is_set()
        if not is_ended:
            log.warning("a call hangs", kind=key[0], of=key[1], deadline_s=deadline_s)
            raise _hanging(f"no end after {deadline_s:g} s")
        if errors:
            raise errors[0]
        return results[0]

    @property
    def late(self) -> tuple[Key, ...]:
        """Return the keys of calls that have outlived who waited for them."""
        return tuple(sorted(key for key, call in self._calls.items() if call.is_late))

    def _begun(self, key: Key, work: Callable[[], None], errors: list[BaseException]) -> _Call:
        kind_count = sum(kind == key[0] for kind, _ in self._calls)
        if kind_count >= self._threads_max:
            raise _hanging(f"{kind_count} calls of its kind have no end")
        call, loop = _Call(key), asyncio.get_running_loop()

        def carry_out() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  it is raised where the caller is
                errors.append(error)
            # The loop may have ended meanwhile: then nobody is there to be told.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, call, thread, not errors)

        name = f"{key[0]} {key[1]}"
        while self.spare:
            thread = self.spare.pop()
            if thread.do(name, carry_out):
                break
        else:
            thread = _Thread()
            try:
                thread.begin()
            except RuntimeError as error:  # no thread is to be had
                raise OSError(errno.EAGAIN, str(error)) from error
            thread.do(name, carry_out)
        self._calls[key] = call
        return call

    def _end(self, call: _Call, thread: _Thread, is_well: bool) -> None:
        # What failed may have left its thread in another namespace: it does no other work.
        if is_well and len(self.spare) < SPARE_MAX:
            self.spare.append(thread)
        else:
            thread.end()
        del self._calls[call.key]
        call.ended.set()
        if call.is_late:
            log.info("a call that hung has ended", kind=call.key[0], of=call.key[1])


async def _is_ended(call: _Call, pause_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await call.ended.wait()
    return call.ended.is_set()


def _hanging(sentence: str) -> StillHanging:
    return StillHanging(errno.ETIMEDOUT, sentence)
