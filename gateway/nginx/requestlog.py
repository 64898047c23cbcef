"""nginx's log of requests: a file that is forgotten as it is read. Every call may block.

Workers append to it what they have gathered for a second, which costs next to nothing; a datagram
for each request cost a tenth of it. What was read becomes a hole: the file has room for what nobody
has read yet, and where it begins is known to a reader that begins anew. It is in memory of a fixed
size: while nobody reads for long, nginx drops its lines and serves on.
"""

import ctypes
import os
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
    """The file of one nginx, of that one to the end: the next one has another."""

    def __init__(self) -> None:
        self._file = -1
        self._at = 0
        self._close: Callable[[], object] = _nothing

    def take(self, path: Path | None) -> list[bytes] | None:
        """Return the next lines, without their ends; none where there are no more yet.

        path: where the file of now is; None while no nginx runs. Returns None where the file that
        was read is that of an nginx that has ended, and has no more: the next is another one's.
        Raises: OSError.
        """
        if self._file < 0:
            if path is None or not path.exists():
                return None
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            # Not before the last call has ended: its number would be another file's.
            self._close = weakref.finalize(self, os.close, self._file)
            self._at = _begin_of(self._file)
        # Looked at before it is read: what came last is read as well.
        is_over = not self._is_at(path)
        if lines := self._read():
            return lines
        if is_over:
            self._close()
            self._file = -1
            return None
        return []

    def _read(self) -> list[bytes]:
        part = os.pread(self._file, PART_BYTES, self._at)
        size_bytes = part.rfind(b"\n") + 1
        if not size_bytes and len(part) < PART_BYTES:
            return []
        # What has no end in so many bytes is no line.
        size_bytes = size_bytes or PART_BYTES
        begin = self._at - self._at % PAGE_BYTES
        self._at += size_bytes
        _punch(self._file, begin, self._at - begin)
        return part[:size_bytes].lstrip(b"\0").splitlines()

    def _is_at(self, path: Path | None) -> bool:
        with suppress(OSError):
            return path is not None and os.path.samestat(path.stat(), os.fstat(self._file))
        return False


def _nothing() -> None:
    """Nothing is open yet."""


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
