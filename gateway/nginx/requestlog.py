"""nginx's log of requests: a file that is forgotten as it is read. Every call may block.

Workers append to it what they have gathered for a second, which costs next to nothing; a datagram
for each request cost a tenth of it. What was counted becomes a hole: the file has room for what
nobody has counted yet, and where that begins is known to a reader that begins anew. It is in memory
of a fixed size: while nobody reads for long, nginx drops its lines and serves on.
"""

import ctypes
import os
import stat
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Read at once; far more than a line.
PART_BYTES = 1 << 18
# Holes are of whole pages.
PAGE_BYTES = 4096
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


class RequestLog:
    """The file of one nginx, of that one to the end: the next one has another.

    A take whose caller has given up is harmless: the next one returns the same lines.
    """

    def __init__(self) -> None:
        self._file = -1
        # Where what nobody has counted begins, and what the last take returned ends.
        self._at = self._taken_to = 0
        # Up to where it is a hole.
        self._hole_to = 0
        self._close: Callable[[], object] = _nothing

    def take(self, path: Path | None) -> list[bytes] | None:
        """Return the next lines, without their ends; none where there are no more yet.

        They are returned again until they were counted, and then forgotten by the next take.

        path: where the file of now is; None while no nginx runs. Returns None where the file that
        was read is that of an nginx that has ended, and has no more: the next is another one's.
        Raises: OSError.
        """
        if self._file < 0 and not self._is_opened(path):
            return None
        self._forget()
        # Looked at before it is read: what came last is read as well.
        is_over = not self._is_at(path)
        if lines := self._read():
            return lines
        if is_over:
            self._close()
            self._file = -1
            return None
        return []

    def counted(self) -> None:
        """Note that all the lines of the last take were counted; it has ended."""
        self._at = self._taken_to

    def _is_opened(self, path: Path | None) -> bool:
        if path is None:
            return False
        try:
            file = _opened(path)
        except FileNotFoundError:
            return False
        # Not before the last call has ended: its number would be another file's.
        self._close = weakref.finalize(self, os.close, file)
        self._file, self._at = file, _begin_of(file)
        self._taken_to = self._hole_to = self._at
        return True

    def _forget(self) -> None:
        if self._hole_to < self._at:
            begin = self._hole_to - self._hole_to % PAGE_BYTES
            _punch(self._file, begin, self._at - begin)
            self._hole_to = self._at

    def _read(self) -> list[bytes]:
        self._taken_to = self._at
        while True:
            part = os.pread(self._file, PART_BYTES, self._at)
            size_bytes = part.rfind(b"\n") + 1
            if not size_bytes and len(part) < PART_BYTES:
                return []
            # What has no end in so many bytes is no line.
            size_bytes = size_bytes or PART_BYTES
            self._taken_to = self._at + size_bytes
            if lines := part[:size_bytes].lstrip(b"\0").splitlines():
                return lines
            # What is left of a hole; nobody has to count it.
            self._at = self._taken_to

    def _is_at(self, path: Path | None) -> bool:
        with suppress(OSError):
            return path is not None and os.path.samestat(path.lstat(), os.fstat(self._file))
        return False


def _nothing() -> None:
    """Nothing is open yet."""


def _opened(path: Path) -> int:
    """Open what a container has there, and nothing that it points to. Raises: OSError."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"no plain file: {path}")
    return file


def _begin_of(file: int) -> int:
    """Return where what nobody has read begins, or somewhat before, among zeros."""
    # Before it is searched: what is written meanwhile comes after.
    size_bytes = os.fstat(file).st_size
    try:
        return os.lseek(file, 0, os.SEEK_DATA)
    except OSError:
        return size_bytes  # a hole, to its end


def _punch(file: int, begin: int, size_bytes: int) -> None:
    told = _libc.fallocate(
        file, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_long(begin), ctypes.c_long(size_bytes)
    )
    if told:
        raise OSError(ctypes.get_errno(), "what was read of nginx's log cannot be forgotten")
