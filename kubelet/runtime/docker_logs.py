"""Reads the files of Docker's `local` log driver: from the last lines on, and across rotations.

Docker's own reader loses lines and repeats others when a file is rotated under it, and cuts lines
beyond 16 KiB (docs/decisions/0022). Files are only read here: Docker writes and rotates them.
"""

import errno
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cubernetes.host.blocking import Blocking
from cubernetes.host.clock import Clock
from kubelet.runtime.docker_records import (
    LENGTH_BYTES,
    RECORD_BYTES_MAX,
    Backwards,
    LogText,
    Records,
    last_record,
)
from kubelet.runtime.driver import LogOptions

FILE = "container.log"
FILES_MAX = 16  # of one container; more than any setting of ours makes
# Oldest first.
NAMES = (*(f"{FILE}.{back}" for back in range(FILES_MAX, 0, -1)), FILE)
READ_BYTES = 128 << 10
BACK_BYTES = 256 << 10
POLL_S = 0.2
LOOK_TRIES_MAX = 8
# A second name for a file there cannot be: on another disk, or where links are not allowed.
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class _File:
    fd: int
    inode: int


class LocalLog:
    """One container's log, oldest file first. Every method may block: call them on a thread.

    Raises: OSError: a file cannot be read.
    """

    def __init__(self, folder: Path, options: LogOptions) -> None:
        self.folder, self._options = folder, options
        self._files: list[_File] = []
        self._at = 0  # in the first of the files, which is being read
        self._records = Records()
        self._text = self._text_without(0)
        self._is_at_work = self._is_closed = False

    def open(self) -> None:
        """Find the files, and where to begin."""
        with self._working():
            self._open()

    def read(self) -> bytes | None:
        """Return some of the text, perhaps nothing of it; None where no more is there now."""
        with self._working():
            return self._read()

    def rest(self) -> bytes:
        """Return what stands without its end."""
        return self._text.rest()

    def close(self) -> None:
        """Close the files; where a call is still at work on its thread, it does so at its end."""
        self._is_closed = True
        if not self._is_at_work:
            self._close_files()

    @contextmanager
    def _working(self) -> Generator[None, None, None]:
        # Said before it is asked, here and in `close`: one of the two sees the other.
        self._is_at_work = True
        try:
            if self._is_closed:
                raise OSError(f"{self.folder}: its reader has gone")
            yield
        finally:
            self._is_at_work = False
            if self._is_closed:
                self._close_files()

    def _close_files(self) -> None:
        with suppress(IndexError):
            while True:
                os.close(self._files.pop().fd)

    def _open(self) -> None:
        self._files = self._found()
        options = self._options
        wanted = Backwards(options.tail_count, options.since_ns, options.stream)
        first, self._at = self._beginning(wanted)
        for one in self._files[:first]:
            os.close(one.fd)
        del self._files[:first]
        self._text = self._text_without(wanted.surplus_count)

    def _text_without(self, surplus_count: int) -> LogText:
        options = self._options
        return LogText(
            timestamps=options.timestamps,
            since_ns=options.since_ns,
            surplus_count=surplus_count,
            source=options.stream,
        )

    def _read(self) -> bytes | None:
        if not self._files:
            self._files = self._found()
            if not self._files:
                return None
        data = os.pread(self._files[0].fd, READ_BYTES, self._at)
        if data:
            self._at += len(data)
            return b"".join(self._text.take(one) for one in self._records.feed(data))
        return b"" if self._goes_on() else None

    def _goes_on(self) -> bool:
        """Step to the next file where the first was rotated away, and is read to its end.

        Docker renames a file before it writes to the next: what a look shows to be old gets
        nothing more, but may have got something between the read and the look.
        """
        if len(self._files) > 1:
            os.close(self._files.pop(0).fd)
            self._at, self._records = 0, Records()
            return True
        current = self._files[0]
        if self._inode(FILE) == current.inode:
            return False
        fresh = self._found()
        inodes = [one.inode for one in fresh]
        # Where ours is not among them any more, all of them are newer.
        known = inodes.index(current.inode) + 1 if current.inode in inodes else 0
        for one in fresh[:known]:
            os.close(one.fd)
        self._files += fresh[known:]
        return len(self._files) > 1

    def _found(self) -> list[_File]:
        """Open every file there is, oldest first, as of one moment between two rotations."""
        for _ in range(LOOK_TRIES_MAX):
            found = {name: one for name in NAMES if (one := self._opened(name)) is not None}
            if all(self._inode(name) == _inode_of(found.get(name)) for name in NAMES):
                return list(found.values())
            for one in found.values():
                os.close(one.fd)
        raise OSError(f"{self.folder}: the files are rotated faster than they are found")

    def _opened(self, name: str) -> _File | None:
        try:
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return _File(fd, os.fstat(fd).st_ino)

    def _inode(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_ino
        except FileNotFoundError:
            return None

    def _beginning(self, wanted: Backwards) -> tuple[int, int]:
        """Return the file and the place in it from which on the log is read."""
        if self._options.tail_count is None and not self._options.since_ns:
            return 0, 0
        for index in range(len(self._files) - 1, -1, -1):
            begin = _needed_from(self._files[index].fd, wanted)
            if begin is not None:
                return index, begin
        return 0, 0


def _inode_of(one: _File | None) -> int | None:
    return None if one is None else one.inode


def _needed_from(fd: int, wanted: Backwards) -> int | None:
    """Return where in a file the first needed record begins; None: all of it is needed."""
    at = os.fstat(fd).st_size
    while at > 0:
        begin = max(0, at - BACK_BYTES)
        data = os.pread(fd, at - begin, begin)
        end = len(data)
        while end and (begin == 0 or end > RECORD_BYTES_MAX + 2 * LENGTH_BYTES):
            found = last_record(data, end)
            if found is None:
                end -= 1  # a record that was begun when the disk was full, or is being written
                continue
            if not wanted.needs(found[0]):
                return begin + end
            end -= found[1]
        at = begin + end
    return None


def keep_files(source: Path, folder: Path) -> None:
    """Give the files of a log a second name in a folder; where that cannot be, copy them.

    A container that wrote nothing has no files, and leaves no folder.

    Raises: OSError: none is kept in part.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in NAMES:
        target = folder / name
        target.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            try:
                os.link(source / name, target)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
                _copy(source / name, target)
    if not any(folder.iterdir()):
        folder.rmdir()


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError:
        target.unlink(missing_ok=True)
        raise


class LogReading:
    """One reader of a log. A disk that hangs costs it one thread, and its end."""

    def __init__(self, log: LocalLog, blocking: Blocking, clock: Clock) -> None:
        self._log, self._clock = log, clock
        # Each reader is for itself: readers of one log must not wait for one thread.
        self._run = partial(blocking.run, ("log", f"{log.folder}#{id(log)}"))

    async def pieces(
        self, is_over: Callable[[], Awaitable[bool]], *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the text, with follow until is_over.

        Raises: OSError.
        """
        try:
            await self._run(self._log.open)
            has_ended = not follow
            while True:
                text = await self._run(self._log.read)
                if text:
                    yield text
                elif text is None:
                    if has_ended:
                        break
                    has_ended = await is_over()
                    if not has_ended:
                        await self._clock.sleep(POLL_S)
            if rest := self._log.rest():
                yield rest
        finally:
            self._log.close()


def bytes_beside(logs: Path | None, files: Sequence[Path]) -> int:
    """Return the size of a container's logs and of such files; what goes meanwhile is none."""
    size = 0
    with suppress(FileNotFoundError):
        for log_file in logs.iterdir() if logs is not None else ():
            size += log_file.stat().st_size
    for file in files:
        with suppress(FileNotFoundError):
            size += file.lstat().st_size
    return size
