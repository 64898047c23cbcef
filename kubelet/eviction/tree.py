"""What a folder holds of its disk: walked here, on a thread of its caller's.

Folders are opened by their names in the folder above, never by a path: a path has a greatest
length, and a pod may nest its folders deeper than that, and move them while they are walked.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cubernetes.host.timing import moment
from kubelet.eviction.storage import Held

BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own are
# A walk beyond so many entries, or so long, ends, and tells what it has found so far: that much is
# held.
ENTRIES_MAX = 1_000_000
WALK_MAX_S = 25.0
OPEN_MAX = 16  # folders that one walk keeps open; to those further down it comes back by ".."
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What goes away while it is walked holds nothing any more.
_GONE = (FileNotFoundError, NotADirectoryError)


class Walk(NamedTuple):
    """is_whole: nothing was left out."""

    held: Held
    is_whole: bool = True


def walk(
    folder: str,
    entries_max: int = ENTRIES_MAX,
    limit_s: float = WALK_MAX_S,
    now_s: Callable[[], float] = moment.monotonic,
) -> Walk:
    """Return what is below a folder, without what is mounted there; it may change meanwhile.

    A file by several names counts once, a hole in one takes no room. A folder that is not there
    holds nothing; one that cannot be read is left out, and told of by is_whole.
    """
    try:
        root = os.open(folder, _FLAGS)
    except _GONE:
        return Walk(Held())
    end_at = now_s() + limit_s
    byte_count = inode_count = 0
    linked: set[int] = set()
    below = _Below(root)
    try:
        for found in below.entries():
            if inode_count >= entries_max or now_s() > end_at:
                return Walk(Held(byte_count, inode_count), is_whole=False)
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if found.st_ino in linked:
                    continue
                linked.add(found.st_ino)
            byte_count += found.st_blocks * BLOCK_BYTES
            inode_count += 1
    finally:
        below.close()
    return Walk(Held(byte_count, inode_count), below.is_whole)


@dataclass(slots=True)
class _Folder:
    """A folder on the way down. fd: -1 while it is closed. left: folders in it to be walked."""

    fd: int
    inode: int
    left: list[str] = field(default_factory=list)


class _Below:
    """The way from a folder down to where a walk is."""

    def __init__(self, root: int) -> None:
        found = os.fstat(root)
        self._device = found.st_dev
        self._way = [_Folder(root, found.st_ino)]
        self.is_whole = True

    def entries(self) -> Iterator[os.stat_result]:
        """Walk to the end; what stands in a folder comes before what is further down."""
        yield from self._listed(self._way[0])
        while self._way:
            here = self._way[-1]
            if not here.left:
                self._up()
            elif self._is_down(here, here.left.pop()):
                yield from self._listed(self._way[-1])

    def close(self) -> None:
        for one in self._way:
            if one.fd >= 0:
                os.close(one.fd)
        self._way.clear()

    def _listed(self, folder: _Folder) -> Iterator[os.stat_result]:
        try:
            with os.scandir(folder.fd) as entries:
                for entry in entries:
                    found = self._stat(entry)
                    if found is None or found.st_dev != self._device:
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        folder.left.append(entry.name)
                    yield found
        except OSError:
            self.is_whole = False

    def _stat(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            return entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError:
            self.is_whole = False
            return None

    def _is_down(self, here: _Folder, name: str) -> bool:
        """Go down into a folder; False where that cannot be."""
        fd = self._opened(name, here.fd)
        if fd is None:
            return False
        found = os.fstat(fd)
        if found.st_dev != self._device:
            os.close(fd)
            return False
        if len(self._way) >= OPEN_MAX:
            os.close(here.fd)
            here.fd = -1
        self._way.append(_Folder(fd, found.st_ino))
        return True

    def _up(self) -> None:
        """Go up to the next folder in which something is left; past those that were moved."""
        below = self._way.pop()
        if self._way and self._way[-1].fd < 0:
            above = self._way[-1]
            fd = self._opened("..", below.fd)
            if fd is not None and self._is(fd, above):
                above.fd = fd
            elif fd is not None:
                os.close(fd)
        os.close(below.fd)
        while self._way and self._way[-1].fd < 0:
            self._way.pop()
            self.is_whole = False

    def _is(self, fd: int, folder: _Folder) -> bool:
        found = os.fstat(fd)
        return (found.st_dev, found.st_ino) == (self._device, folder.inode)

    def _opened(self, name: str, above: int) -> int | None:
        try:
            return os.open(name, _FLAGS, dir_fd=above)
        except _GONE:
            return None
        except OSError:
            self.is_whole = False
            return None
