"""Gives what is in a volume to a pod's fsGroup, as Kubernetes does: so much at a time.

Another pod may write to the volume meanwhile and put a link in the way at any moment. So folders
are opened one in the other, and each entry is opened before anything of it is changed; links get
the group themselves, and are not followed. The root comes last: where the work was cut, its group
still says that it is not done.
"""

import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Literal

type ChangePolicy = Literal["Always", "OnRootMismatch"]

GROUP_READS_AND_WRITES = 0o660
GROUP_ENTERS = 0o110
DEPTH_MAX = 256  # folders in folders: each costs a descriptor while it is walked
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeep(OSError):
    """Folders lie in folders without an end in sight."""


class Handover:
    """One volume on its way to a group. Call `go_on` until it is done; all of it may block."""

    def __init__(self, root: Path, group: int, policy: ChangePolicy = "Always") -> None:
        self._root, self._group = root.resolve(), group
        self.changed_count = 0
        self._failure: OSError | None = None
        is_kept = policy == "OnRootMismatch" and belongs_to(root, group)
        self._entries = _none() if is_kept else self._changes()

    def go_on(self, entries_max: int) -> bool:
        """Change so many entries more; return whether all is done.

        Raises: OSError: it cannot be done; said again to a caller that asks once more.
        """
        if self._failure is not None:
            raise self._failure
        for _ in range(entries_max):
            try:
                next(self._entries)
            except StopIteration:
                return True
            except OSError as error:
                # Its first caller may have given up, and then has not heard of it.
                self._failure = error
                raise
            self.changed_count += 1
        return False

    def _changes(self) -> Generator[None, None, None]:
        for folder, folders, files, at in os.fwalk(
            self._root, follow_symlinks=False, onerror=_fail
        ):
            if len(Path(folder).parts) - len(self._root.parts) >= DEPTH_MAX:
                raise TooDeep(f"more than {DEPTH_MAX} folders in each other")
            for name in (*files, *folders):
                _change(name, at, self._group)
                yield
        _change(str(self._root), None, self._group)


def belongs_to(root: Path, group: int) -> bool:
    """Whether a volume's own folder says that all below is the group's."""
    found = root.stat()
    wanted = GROUP_READS_AND_WRITES | GROUP_ENTERS | stat.S_ISGID
    return found.st_gid == group and found.st_mode & wanted == wanted


def _change(name: str, at: int | None, group: int) -> None:
    try:
        opened = os.open(name, _FLAGS if at is not None else os.O_PATH | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        return  # removed meanwhile
    try:
        found = os.fstat(opened)
        here = f"/proc/self/fd/{opened}"
        if stat.S_ISLNK(found.st_mode):
            os.chown(name, -1, group, dir_fd=at, follow_symlinks=False)
            return
        os.chown(here, -1, group)
        wanted = stat.S_IMODE(found.st_mode) | GROUP_READS_AND_WRITES
        if stat.S_ISDIR(found.st_mode):
            wanted |= GROUP_ENTERS | stat.S_ISGID
        os.chmod(here, wanted)
    finally:
        os.close(opened)


def _none() -> Generator[None, None, None]:
    yield from ()


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
