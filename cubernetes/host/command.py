"""Running other programs: argument lists, never a shell, and always with a deadline."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol

KILL_S = 2.0
OUTPUT_BYTES_MAX = 64 << 20  # of each output: far beyond what a program says that we ask
READ_BYTES = 64 << 10


@dataclass(frozen=True)
class Completed:
    """What a command left behind: its exit code (0) and its two outputs."""

    stdout: bytes
    stderr: bytes


class CommandFailed(Exception):
    """A command could not start, ran past its deadline, or ended with a code other than 0.

    code is None where the command never ended by itself. said is its stderr, or the system's word.
    """

    def __init__(
        self, argv: Sequence[str], code: int | None, said: str, stdout: bytes = b""
    ) -> None:
        ended = "did not run to its end" if code is None else f"ended with {code}"
        super().__init__(f"{argv[0]} {ended}: {said.strip()[:2000] or 'it said nothing'}")
        self.argv, self.code, self.said, self.stdout = tuple(argv), code, said, stdout


class Commands(Protocol):
    """Starts a program and waits for its end."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        """Run argv to its end.

        Raises:
            CommandFailed: it is missing, exceeded deadline_s or OUTPUT_BYTES_MAX (it is killed), or
                ended non-zero.
        """
        ...


class SystemCommands:
    """Programs of this machine, found on PATH."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        try:
            with _in_memory(stdin) as given:
                child = _Child(argv, given)
        except OSError as error:
            raise CommandFailed(argv, None, str(error)) from error
        reads = [asyncio.ensure_future(_read(one)) for one in child.outputs]
        try:
            async with asyncio.timeout(deadline_s):
                stdout, stderr = await asyncio.gather(*reads)
                await child.ended.wait()
        except TimeoutError as error:
            said = f"no end after {deadline_s} s"
            raise CommandFailed(argv, None, said) from error
        except _TooMuch as error:
            said = f"more than {OUTPUT_BYTES_MAX} bytes of output"
            raise CommandFailed(argv, None, said) from error
        finally:
            for each in reads:
                each.cancel()  # a child of the command's may hold an output yet
            # Also when the caller is cancelled: a command never outlives who asked for it.
            if not child.ended.is_set():
                await child.kill()
        if child.code:
            said = stderr.decode(errors="replace")
            raise CommandFailed(argv, child.code, said, stdout)
        return Completed(stdout, stderr)


class _Child:
    """A program that runs, begun by vfork: this process stops until it is another's program.

    The loops' own ways copy this process first, all its tables of pages: for a kubelet 15 times
    what the program's begin costs, and no other task goes on meanwhile. Raises: OSError.
    """

    def __init__(self, argv: Sequence[str], stdin: BinaryIO) -> None:
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(argv, bufsize=0, stdin=stdin, stdout=pipe, stderr=pipe)
        self.outputs = [one for one in (self._popen.stdout, self._popen.stderr) if one is not None]
        self._loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._handle = os.pidfd_open(self._popen.pid)
        except OSError:
            # Nobody could follow it: there is no room for a handle more.
            with self._popen:
                self._popen.kill()
            raise
        self._loop.add_reader(self._handle, self._bury)

    @property
    def code(self) -> int:
        """Return its exit code, less than 0 where a signal ended it, once it has ended."""
        return self._popen.returncode

    def _bury(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        self._popen.wait()
        self.ended.set()

    async def kill(self) -> None:
        """End it, unless the kernel holds it: in a call into a file system that hangs.

        Then it ends with that call, and the loop, which follows it on, buries it.
        """
        self._popen.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_S):
                await self.ended.wait()


class _TooMuch(Exception):
    """A command does not stop talking."""


async def _read(output: IO[bytes]) -> bytes:
    """Read an output to its end, and let go of it, read or not: its own children may hold it.

    Raises: _TooMuch.
    """
    loop, stream = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(stream)
    transport, _ = await loop.connect_read_pipe(lambda: protocol, output)
    said: list[bytes] = []
    length = 0
    try:
        while part := await stream.read(READ_BYTES):
            said.append(part)
            if (length := length + len(part)) > OUTPUT_BYTES_MAX:
                raise _TooMuch
    finally:
        transport.close()
    return b"".join(said)


def _in_memory(content: bytes) -> BinaryIO:
    """Return a file without a name that holds content, to be read from its beginning.

    Not a pipe: a command may end without reading its input, and nobody has to feed it.
    """
    file = os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "w+b")
    file.write(content)
    file.seek(0)
    return file
