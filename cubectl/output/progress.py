"""How far a long copy is: one line on a terminal, which goes when the copy has ended."""

from collections.abc import Callable
from typing import IO, TextIO, cast

FIRST_S, EVERY_S = 1.0, 0.2
_UNITS = ("KiB", "MiB", "GiB", "TiB")


class Progress:
    """Counts bytes; nothing is told of what is short, nor where nobody looks at it."""

    def __init__(self, err: TextIO, monotonic: Callable[[], float], name: str) -> None:
        self._err, self._monotonic, self._name = err, monotonic, name
        self._is_told = err.isatty()
        self._begun_at_s = monotonic()
        self._next_at_s = self._begun_at_s + FIRST_S
        self._chars = self._bytes = 0

    def add(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        now_s = self._monotonic()
        if not self._is_told or now_s < self._next_at_s:
            return
        self._next_at_s = now_s + EVERY_S
        rate = self._bytes / (now_s - self._begun_at_s)
        self._say(f"{self._name}: {size_text(self._bytes)}, {size_text(rate)}/s")

    def end(self) -> None:
        """Take the line away."""
        if self._chars:
            self._say("")

    def _say(self, text: str) -> None:
        self._err.write("\r" + text.ljust(self._chars) + ("\r" if not text else ""))
        self._err.flush()
        self._chars = len(text)


def size_text(size_bytes: float) -> str:
    """Return a number of bytes as people read it: 12.3 MiB."""
    for unit in _UNITS[:-1]:
        size_bytes /= 1024
        if size_bytes < 1000:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} {_UNITS[-1]}"


def counted(file: IO[bytes], progress: Progress) -> IO[bytes]:
    """Return a file whose bytes are counted as a tar reads or writes them."""
    return cast(IO[bytes], _Counted(file, progress))


class _Counted:
    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress

    def read(self, size_bytes: int) -> bytes:
        piece = self._file.read(size_bytes)
        self._progress.add(len(piece))
        return piece

    def write(self, piece: bytes) -> int:
        self._progress.add(len(piece))
        return self._file.write(piece)
