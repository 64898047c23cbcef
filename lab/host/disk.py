"""Disks of nodes: sparse ext4 images, filled up and freed on demand."""

import os
from pathlib import Path

from cubernetes.host.command import Commands

# Where a full disk is made: on the disk's root file system, which holds everything in a node.
FILLER = "var/lib/lab-filler"
MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1")


async def make_disk(image: Path, size_bytes: int, commands: Commands) -> None:
    """Make an empty disk unless there is one: a node keeps its disk over every reboot."""
    unfinished = image.with_suffix(".new")
    if _begin(image, unfinished, size_bytes):
        await commands.run([*MKFS, str(unfinished)])
        unfinished.rename(image)


def _begin(image: Path, unfinished: Path, size_bytes: int) -> bool:
    if image.exists():
        return False
    unfinished.unlink(missing_ok=True)
    with unfinished.open("wb") as file:
        file.truncate(size_bytes)
    return True


def fill(root: Path) -> int:
    """Take every free block of the disk below root; return how many bytes that was.

    Blocks are reserved, not written: the sparse image does not grow.
    """
    taken_bytes = 0
    handle = os.open(root / FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        # What is free in one moment is less than what is free in the next: take until refused.
        step_bytes = os.fstatvfs(handle).f_bavail * os.fstatvfs(handle).f_frsize
        while step_bytes >= 4096:
            try:
                os.posix_fallocate(handle, taken_bytes, step_bytes)
            except OSError:
                step_bytes //= 2
            else:
                taken_bytes += step_bytes
    finally:
        os.close(handle)
    return taken_bytes


def free(root: Path) -> None:
    """Give back what fill took."""
    (root / FILLER).unlink(missing_ok=True)
