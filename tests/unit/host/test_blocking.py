"""Calls that may block: whoever waits goes on at its deadline, and nobody else is behind it."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path

import pytest

from cubernetes.host import blocking
from cubernetes.host.blocking import StillHanging, Threads

SOON_S = 0.02
LONG_S = 60.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a call that hangs waits for; open at the latest when the test ends."""
    one = threading.Event()
    yield one
    one.set()


async def test_work_is_done_off_the_loop_and_its_result_or_error_is_the_callers() -> None:
    threads = Threads()
    assert await threads.run(("file", "a"), threading.get_ident) != threading.get_ident()
    with pytest.raises(FileNotFoundError):
        await threads.run(("file", "a"), lambda: os.stat("/no/such/file"))
    # A file system may say so itself; that is its answer, and no call of ours that hangs.
    with pytest.raises(TimeoutError):
        await threads.run(("file", "a"), lambda: fail(TimeoutError(errno.ETIMEDOUT, "soft mount")))


def fail(error: Exception) -> None:
    raise error


async def test_what_hangs_takes_its_own_key_and_no_other(gate: threading.Event) -> None:
    threads = Threads()
    with pytest.raises(StillHanging, match="no end after"):
        await threads.run(("volume", "hung"), gate.wait, deadline_s=SOON_S)

    assert await threads.run(("volume", "other"), lambda: 1, deadline_s=LONG_S) == 1
    for _ in range(5):
        with pytest.raises(StillHanging, match="earlier call"):
            await threads.run(("volume", "hung"), lambda: 2, deadline_s=SOON_S)
    assert threads.late == (("volume", "hung"),)
    assert sum(one.name == "volume hung" for one in threading.enumerate()) == 1

    gate.set()
    assert await threads.run(("volume", "hung"), lambda: 3, deadline_s=LONG_S) == 3
    assert not threads.late


async def test_calls_of_one_key_follow_each_other() -> None:
    threads, story = Threads(), list[str]()

    def work(name: str) -> None:
        story.extend([f"{name} begins", f"{name} ends"])

    names = [str(number) for number in range(20)]
    await asyncio.gather(
        *(threads.run(("file", "a"), lambda name=name: work(name)) for name in names)  # type: ignore[misc]
    )
    assert story == [f"{name} {act}" for name in names for act in ("begins", "ends")]


async def test_a_thread_whose_call_went_well_serves_the_next_and_one_that_failed_does_not() -> None:
    threads = Threads()
    first = await threads.run(("file", "a"), threading.current_thread)
    assert await threads.run(("file", "b"), threading.current_thread) is first

    def fails() -> None:
        seen.append(threading.current_thread())
        raise OSError("it stays in another namespace")

    seen: list[threading.Thread] = []
    with pytest.raises(OSError, match="another namespace"):
        await threads.run(("file", "c"), fails)
    assert seen == [first]
    assert await threads.run(("file", "d"), threading.current_thread) is not first
    first.join(LONG_S)
    assert not first.is_alive()


async def test_a_thread_that_waits_in_vain_ends_and_the_next_call_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocking, "SPARE_S", SOON_S)
    threads = Threads()
    first = await threads.run(("file", "a"), threading.current_thread)
    first.join(LONG_S)
    assert not first.is_alive()
    assert await threads.run(("file", "a"), threading.current_thread) is not first


async def test_a_thread_that_waits_keeps_nothing_of_what_it_has_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Result:
        """What can be watched."""

    monkeypatch.setattr(blocking, "SPARE_S", 2 * LONG_S)
    threads, gone = Threads(), threading.Event()
    watched = weakref.ref(await threads.run(("file", "a"), Result), lambda _: gone.set())
    assert gone.wait(LONG_S)
    assert watched() is None
    threads.spare[0].end()


async def test_few_threads_wait_for_work_after_many_calls_at_once() -> None:
    threads, count = Threads(), 3 * blocking.SPARE_MAX
    together = threading.Barrier(count)

    def work() -> threading.Thread:
        together.wait(LONG_S)
        return threading.current_thread()

    calls = (threads.run(("file", str(number)), work, deadline_s=LONG_S) for number in range(count))
    assert len(set(await asyncio.gather(*calls))) == count
    assert len(threads.spare) == blocking.SPARE_MAX


async def test_a_caller_that_is_cancelled_leaves_its_call_and_the_next_one_waits_for_it(
    gate: threading.Event,
) -> None:
    threads = Threads()
    waiting = asyncio.ensure_future(threads.run(("file", "a"), gate.wait, deadline_s=LONG_S))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert threads.late == (("file", "a"),)
    gate.set()
    await threads.run(("file", "a"), lambda: None, deadline_s=LONG_S)
    assert not threads.late


async def test_calls_that_hang_are_bounded_by_kind_and_leave_other_kinds_alone(
    gate: threading.Event,
) -> None:
    threads = Threads(threads_max=3)
    for number in range(3):
        with pytest.raises(StillHanging, match="no end after"):
            await threads.run(("volume", str(number)), gate.wait, deadline_s=SOON_S)

    with pytest.raises(StillHanging, match="3 calls of its kind"):
        await threads.run(("volume", "4"), lambda: None, deadline_s=LONG_S)
    assert await threads.run(("checkpoint", "pods"), lambda: 5, deadline_s=LONG_S) == 5


def test_a_program_ends_while_a_call_of_it_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    program = (
        "import asyncio, sys, uvloop\n"
        "from cubernetes.host.blocking import StillHanging, Threads\n"
        "async def main():\n"
        "    try:\n"
        # Nobody will ever write there: the kernel keeps whoever opens it to read.
        "        await Threads().run(('a', 'b'), lambda: open(sys.argv[1]), deadline_s=0.05)\n"
        "    except StillHanging:\n"
        "        print('hangs')\n"
        "uvloop.run(main())\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "fifo")]
    ended = subprocess.run(argv, capture_output=True, check=True, timeout=LONG_S)
    assert ended.stdout == b"hangs\n"


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what it is given to do."""

    def __init__(self) -> None:
        super().__init__()
        self.done_count = 0

    def call_soon[*Args](
        self,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self.done_count += 1
        return super().call_soon(callback, *args, context=context)


def work_of(count: int) -> int:
    """Return how much the loop has to do for so many calls of one key that come at once."""

    async def ask() -> None:
        threads = Threads()
        calls = (threads.run(("proc", "all"), lambda: 1, deadline_s=LONG_S) for _ in range(count))
        assert await asyncio.gather(*calls) == [1] * count

    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(ask())
    return loop.done_count


def test_many_calls_of_one_key_do_not_wake_each_other_at_every_end() -> None:
    assert work_of(100) < 6 * work_of(25)
