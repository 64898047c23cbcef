"""Commands: argument lists, a deadline, and an end for everything that is started."""

import asyncio
import errno
import mmap
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from cubernetes.host.command import CommandFailed, SystemCommands

HELD_BYTES = 512 << 20
COUNT, ROUNDS = 10, 3


async def test_a_command_is_given_its_input_and_gives_its_output() -> None:
    done = await SystemCommands().run(["cat"], stdin=b"x" * 300_000)

    assert len(done.stdout) == 300_000


async def test_a_command_that_fails_says_its_code_and_its_words() -> None:
    with pytest.raises(CommandFailed) as failure:
        await SystemCommands().run(["sh", "-c", "echo out; echo why >&2; exit 3"])

    assert (failure.value.code, failure.value.said, failure.value.stdout) == (3, "why\n", b"out\n")


async def test_a_command_that_is_missing_is_told_by_its_name() -> None:
    with pytest.raises(CommandFailed, match="no-such-command"):
        await SystemCommands().run(["no-such-command"])


async def test_a_command_past_its_deadline_is_killed() -> None:
    with pytest.raises(CommandFailed, match="no end after"):
        await SystemCommands().run(["sleep", "60"], deadline_s=0.05)


async def test_a_command_that_does_not_stop_talking_is_killed() -> None:
    with pytest.raises(CommandFailed, match="more than 67108864 bytes of output"):
        await SystemCommands().run(["yes"])


async def test_nothing_in_an_argument_is_read_by_a_shell() -> None:
    done = await SystemCommands().run(["echo", "$(id)", ";", "rm -rf /"])

    assert done.stdout == b"$(id) ; rm -rf /\n"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize(
    ("argv", "deadline_s"),
    [
        (["yes"], 60.0),
        (["sleep", "60"], 0.05),
        # Its child holds its outputs, and outlives it by far.
        (["sh", "-c", "sleep 3 & echo $!"], 0.5),
    ],
)
def test_whatever_becomes_of_a_command_its_outputs_are_let_go(
    argv: list[str], deadline_s: float, run: Callable[[Coroutine[Any, Any, int]], int]
) -> None:
    async def open_after() -> int:
        # A loop opens what it needs for children with its first one.
        await SystemCommands().run(["true"])
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(CommandFailed):
            await SystemCommands().run(argv, deadline_s=deadline_s)
        # The loop closes in its next turns.
        for _ in range(3):
            await asyncio.sleep(0)
        return len(os.listdir("/proc/self/fd")) - before

    assert run(open_after()) <= 0


def test_a_command_may_end_without_reading_its_input_also_on_uvloop() -> None:
    async def many() -> int:
        commands = SystemCommands()
        runs = (commands.run(["true"], stdin=b"unread" * 1000) for _ in range(20))
        return len(await asyncio.gather(*runs))

    assert uvloop.run(many()) == 20


def test_a_command_is_begun_without_a_copy_of_this_process() -> None:
    """A fork copies what this process holds, page by page: the more it holds, the longer."""

    async def seconds() -> float:
        commands, begun_s = SystemCommands(), time.process_time()
        for _ in range(COUNT):
            await commands.run(["true"])
        return time.process_time() - begun_s

    little_s = min(uvloop.run(seconds()) for _ in range(ROUNDS))
    held = bytearray(HELD_BYTES)
    held[:: mmap.PAGESIZE] = b"x" * len(held[:: mmap.PAGESIZE])
    much_s = min(uvloop.run(seconds()) for _ in range(ROUNDS))

    assert much_s < 3 * little_s


async def test_a_command_that_nobody_could_follow_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids: list[int] = []

    def refuses(pid: int) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuses)
    with pytest.raises(CommandFailed, match="Too many open files"):
        await SystemCommands().run(["sleep", "60"])
    (pid,) = pids
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  it does not wait
