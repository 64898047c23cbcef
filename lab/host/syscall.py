"""The few system calls that Python lacks: mounts, the change of root, and an ext4 power cut."""

import ctypes
import os
import struct
from enum import IntFlag
from fcntl import ioctl
from pathlib import Path

# _IOR('X', 125, __u32); the kernel's fs/ext4/ext4.h.
FS_IOC_SHUTDOWN = 0x8004587D
# Go down without writing the journal: what was not synced is lost, as when the power fails.
SHUTDOWN_WITHOUT_LOG_FLUSH = 2
PIVOT_ROOT_NUMBERS = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


class Mount(IntFlag):
    """Flags of mount(2) that a node needs."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18
    SHARED = 1 << 20


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(
    source: str, target: Path, kind: str = "", flags: Mount = Mount.NONE, options: str = ""
) -> None:
    """Mount source on target.

    Raises:
        OSError: the kernel refused; the file name of the error is target.
    """
    words = (source.encode(), os.fsencode(target), kind.encode() or None)
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), str(target))


def bind(source: Path, target: Path, *, is_read_only: bool = False) -> None:
    """Show source at target as well; not the mounts below it."""
    mount(str(source), target, flags=Mount.BIND)
    if is_read_only:
        mount("", target, flags=Mount.BIND | Mount.REMOUNT | Mount.READ_ONLY)


def pivot_root(root: Path, old: Path) -> None:
    """Make root the root of this mount namespace; what was there is at old, below root."""
    number = PIVOT_ROOT_NUMBERS[os.uname().machine]
    words = (ctypes.c_long(number), os.fsencode(root), os.fsencode(old))
    _checked(_libc.syscall(*words), str(root))


def detach(target: Path) -> None:
    """Take target out of the tree now; the kernel frees it once nobody uses it."""
    lazily = 2
    _checked(_libc.umount2(os.fsencode(target), lazily), str(target))


def sync_filesystem(folder: Path) -> None:
    """Bring everything of folder's file system, and of no other, to its disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _checked(_libc.syncfs(handle), str(folder))
    finally:
        os.close(handle)


def fail_filesystem(folder: Path) -> None:
    """Stop the ext4 that holds folder as a power cut does: all that was not synced is gone."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_LOG_FLUSH))
    finally:
        os.close(handle)
