"""A command that runs elsewhere, at this process's console: stdin, stdout, stderr and terminal.

Imported by verbs that need it, for it is slow to import. Files are read and written on threads: a
piece is read while the one before is sent, and what came while one was written is written at once.
What is held meanwhile has a limit, so that the other side sends no faster than we write.
"""

import asyncio
import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from cubectl.connection.outlet import FOREVER_S, Outlet
from cubectl.connection.transport import ServerAddress, Unreachable
from cubernetes.client.wire import channels
from cubernetes.client.wire.channels import Channel, Misframed, Size
from cubernetes.client.wire.exitcodes import exit_code_in
from cubernetes.host.blocking import Threads
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.websocket.client import Dial, DialledWebSocket, HandshakeRefused, dialled

__all__ = ["Beside", "Console", "HandshakeRefused", "run_remotely"]

READ_BYTES = 256 * 1024
# A kubelet pings every five seconds: a stream that is silent for longer is dead.
SILENCE_S = 60.0
STDIN, STDOUT, STDERR = 0, 1, 2


class Beside(NamedTuple):
    """What is done while the command runs, at the other end of a pipe that is one of its files.

    ours: the command's end of the pipe, which is closed when the command has ended. work closes
    the other one, and raises nothing.
    """

    ours: int
    work: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Console:
    """What of this process the command is given: descriptors; a negative stdin is none.

    told: makes what is shown of what the command writes to stderr.
    """

    stdin: int = STDIN
    stdout: int = STDOUT
    is_terminal: bool = False
    beside: Beside | None = None
    told: Callable[[bytes], bytes] = bytes

    @property
    def reads(self) -> bool:
        return self.stdin >= 0


def run_remotely(place: ServerAddress, target: str, console: Console, timeout_s: float) -> int:
    """Run the command of an exec's target to its end; return its exit code.

    Raises: Unreachable, HandshakeRefused, and ApiError: what failed was not the command.
    """
    dial = Dial(place.url + target, place.tls, place.server_name, place.headers, timeout_s)
    try:
        with _raw_terminal(console):
            ending = asyncio.run(_attached(dial, console))
        return code_in(ending)
    except (Broken, Misframed) as error:
        raise Unreachable(f"{place.url}: {error}") from error


def code_in(ending: bytes) -> int:
    """Return the exit code of a command. Raises: Misframed, ApiError: the command did not fail."""
    code = exit_code_in(ending)
    if code is None:
        # What reads all the others takes long to import.
        from cubernetes.api.bodies.envelopes import error_of
        from cubernetes.client.wire import endings

        raise error_of(endings.status_in(ending))
    return code


@contextmanager
def _raw_terminal(console: Console) -> Iterator[None]:
    """Let keys go to the command as they are pressed, and put the terminal right again."""
    if not (console.is_terminal and console.reads):
        yield
        return
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


async def _attached(dial: Dial, console: Console) -> bytes:
    files = Threads()
    if console.beside is None:
        return await _run(dial, console, files)
    ours, work = console.beside
    beside = asyncio.create_task(files.run(("console", "beside"), work, deadline_s=FOREVER_S))
    try:
        return await _run(dial, console, files)
    finally:
        os.close(ours)
        await beside


async def _run(dial: Dial, console: Console, files: Threads) -> bytes:
    async with dialled(dial, channels.PROTOCOLS) as socket:
        tasks: list[asyncio.Task[None]] = []
        if console.is_terminal:
            tasks.append(asyncio.create_task(_tell_sizes(socket)))
        if console.reads:
            tasks.append(asyncio.create_task(_hand_on_stdin(socket, files, console.stdin)))
        try:
            return await _shown(socket, files, console)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _shown(socket: DialledWebSocket, files: Threads, console: Console) -> bytes:
    """Write what comes, and return how the command ended.

    Raises: Broken: the stream ended before the command had.
    """
    outlet = Outlet(files)
    try:
        status = await _told(socket, outlet, console)
    except (Broken, Misframed):
        await outlet.empty()  # what has come is shown all the same
        raise
    await outlet.empty()
    return status


async def _told(socket: DialledWebSocket, outlet: Outlet, console: Console) -> bytes:
    while (message := await socket.read(SILENCE_S)) is not None:
        frame = channels.frame_of(message)
        match frame.channel:
            case Channel.STDOUT:
                await outlet.put(console.stdout, frame.content)
            case Channel.STDERR:
                await outlet.put(STDERR, console.told(frame.content))
            case Channel.ERROR:
                return frame.content
            case _:
                raise Misframed(f"channel {frame.channel.value} is not a server's")
    raise Broken("the stream ended before the command did")


async def _hand_on_stdin(socket: DialledWebSocket, files: Threads, stdin: int) -> None:
    async def read() -> bytes:
        return await files.run(("console", "in"), partial(_read, stdin), deadline_s=FOREVER_S)

    with suppress(Broken):  # the reader of the stream tells of it
        piece = await read()
        while piece:
            sent = socket.write(channels.message_of(Channel.STDIN, piece))
            piece, _ = await asyncio.gather(read(), sent)
        await socket.write(channels.closing(Channel.STDIN))


async def _tell_sizes(socket: DialledWebSocket) -> None:
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    with suppress(Broken, OSError):  # a terminal that is gone has no size
        while True:
            changed.clear()
            width, height = os.get_terminal_size(STDIN)
            await socket.write(channels.size_message(Size(width, height)))
            await changed.wait()


def _read(file: int) -> bytes:
    try:
        return os.read(file, READ_BYTES)
    except OSError:
        return b""  # a process may be started without one
