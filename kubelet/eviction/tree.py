"""What a folder holds of its disk: walked here, on a thread of its caller's."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from kubelet.eviction.storage import Held

BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own are
# A walk beyond so many entries ends, and tells what it has found so far: that much is held.
ENTRIES_MAX = 1_000_000


class Walk(NamedTuple):
    """is_whole: nothing was left out."""

    held: Held
    is_whole: bool = True


def walk(folder: str, entries_max: int = ENTRIES_MAX) -> Walk:
    """Return what is below a folder, without what is mounted there; it may change meanwhile.

    A file by several names counts once, a hole in one takes no room. A folder that is not there
    holds nothing.
    """
    try:
        device = os.lstat(folder).st_dev
    except FileNotFoundError:
        return Walk(Held())
    byte_count = inode_count = 0
    linked: set[int] = set()
    for found in _below(folder, device):
        if inode_count >= entries_max:
            return Walk(Held(byte_count, inode_count), is_whole=False)
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if found.st_ino in linked:
                continue
            linked.add(found.st_ino)
        byte_count += found.st_blocks * BLOCK_BYTES
        inode_count += 1
    return Walk(Held(byte_count, inode_count))


def _below(folder: str, device: int) -> Iterator[os.stat_result]:
    left = [folder]
    while left:
        # What goes away while it is walked holds nothing any more.
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(left.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != device:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    yield found
