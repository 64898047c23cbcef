"""A disk that forgets at a power cut what was not synced, as a real one may.

What a file holds is safe after its own sync; that a name leads to it, or no longer does, after the
sync of its folder. So a file may be there without its content, and content without its name.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tsdb.storage.disk import Disk

type Names = dict[str, int | None]


class PowerCut(BaseException):
    """The machine stopped here: nothing that comes behind is carried out."""


class ForgetfulDisk(Disk):
    """Works on a real folder, and knows which of it is safe. Goes dark after some calls."""

    def __init__(self, root: Path, calls_left: int = 10**9) -> None:
        self._root = root
        self.calls_left = calls_left
        self._content: dict[int, bytes] = {}
        self._names: dict[Path, Names] = {}

    def _spend(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise PowerCut

    def create(self, path: Path) -> int:
        self._spend()
        descriptor = super().create(path)
        # The number of a file that was removed is given again.
        self._content.pop(os.fstat(descriptor).st_ino, None)
        return descriptor

    def write(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        self._spend()
        return super().write(descriptor, pieces)

    def cut(self, descriptor: int, length: int) -> None:
        self._spend()
        super().cut(descriptor, length)

    def sync(self, descriptor: int) -> None:
        self._spend()
        path = Path(f"/proc/self/fd/{descriptor}")
        self._content[os.fstat(descriptor).st_ino] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        self._spend()
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._spend()
        super().link(source, target)

    def remove(self, path: Path) -> None:
        self._spend()
        super().remove(path)

    def sync_folder(self, path: Path) -> None:
        self._spend()
        self._names[path] = _names_in(path)

    def after_power_cut(self, target: Path, *, names_stay: bool) -> None:
        """Write to a new folder what is left: of names either the synced, or all there were.

        names_stay: the folders reached the disk by themselves, the content of files did not.
        """
        target.mkdir()
        names = _names_in(self._root) if names_stay else self._names.get(self._root, {})
        self._rebuild(self._root, names, target, names_stay=names_stay)

    def _rebuild(self, source: Path, names: Names, target: Path, *, names_stay: bool) -> None:
        for name, file in names.items():
            if file is not None:
                (target / name).write_bytes(self._content.get(file, b""))
                continue
            inner = source / name
            found = _names_in(inner) if names_stay else self._names.get(inner, {})
            (target / name).mkdir()
            self._rebuild(inner, found, target / name, names_stay=names_stay)


def _names_in(folder: Path) -> Names:
    """Return what is in a folder: the number of each file, None for a folder."""
    return {entry.name: None if entry.is_dir() else entry.inode() for entry in os.scandir(folder)}
