"""Every effect of the store on its folder, in one small place that a test can make fail."""

import os
from collections.abc import Sequence
from pathlib import Path


class Disk:
    """The machine's file system. Each method raises OSError where the system does."""

    def create(self, path: Path) -> int:
        """Return a descriptor for appending to a new file."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def write(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        """Append; return how many bytes were written, which may be fewer than asked."""
        return os.writev(descriptor, pieces)

    def cut(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it, for ourselves alone, whatever the umask is.

        Their names are synced: what is synced inside a folder is lost with the folder's own name.
        """
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.sync_folder(folder.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder survive a power cut."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(disk: Disk, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
    """Write every byte of the pieces; return their length.

    Raises:
        OSError: the disk is full or failing; some of the bytes may have been written.
    """
    total = sum(map(len, pieces))
    written = disk.write(descriptor, pieces)
    while written < total:
        rest = memoryview(b"".join(pieces))[written:]
        written += disk.write(descriptor, [rest])
    return total
