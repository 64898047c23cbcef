"""Running other programs: argument lists, never a shell, and always with a deadline."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

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
        pipe = asyncio.subprocess.PIPE
        try:
            with _in_memory(stdin) as given:
                child = await asyncio.create_subprocess_exec(
                    *argv, stdin=given, stdout=pipe, stderr=pipe
                )
        except OSError as error:
            raise CommandFailed(argv, None, str(error)) from error
        try:
            async with asyncio.timeout(deadline_s):
                stdout, stderr = await asyncio.gather(_read(child.stdout), _read(child.stderr))
                await child.wait()
        except TimeoutError as error:
            said = f"no end after {deadline_s} s"
            raise CommandFailed(argv, None, said) from error
        except _TooMuch as error:
            said = f"more than {OUTPUT_BYTES_MAX} bytes of output"
            raise CommandFailed(argv, None, said) from error
        finally:
            # Also when the caller is cancelled: a command never outlives who asked for it.
            if child.returncode is None:
                await _kill(child)
            _close(child)
        if child.returncode:
            said = stderr.decode(errors="replace")
            raise CommandFailed(argv, child.returncode, said, stdout)
        return Completed(stdout, stderr)


class _TooMuch(Exception):
    """A command does not stop talking."""


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Read an output to its end. Raises: _TooMuch."""
    said: list[bytes] = []
    length = 0
    while stream is not None and (part := await stream.read(READ_BYTES)):
        said.append(part)
        if (length := length + len(part)) > OUTPUT_BYTES_MAX:
            raise _TooMuch
    return b"".join(said)


async def _kill(child: asyncio.subprocess.Process) -> None:
    """End a command, unless the kernel holds it: in a call into a file system that hangs.

    Then it ends with that call, and the loop, which follows it on, buries it.
    """
    child.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_S):
            await child.wait()


def _close(child: asyncio.subprocess.Process) -> None:
    """Let go of a command's outputs: one that is not read to its end stays open for ever.

    So it is where too much came, and where the command's own children hold it.
    """
    child._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way


def _in_memory(content: bytes) -> BinaryIO:
    """Return a file without a name that holds content, to be read from its beginning.

    Not a pipe: a command may end without reading its input, and nobody has to feed it.
    """
    file = os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "w+b")
    file.write(content)
    file.seek(0)
    return file
