"""A part of a volume, opened so that no symbolic link leads out of it.

Containers write to volumes and may put a link in the way of a path at any moment. So a path is
walked one part at a time, each opened in the folder that is open already; a link is read and walked
like any other path, and one that would lead above the volume is refused. What is bound in the end
is what is open, not what its name means by then. All of it may block, and belongs on a thread.
"""

import errno
import os
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path

LINKS_MAX = 40  # as the kernel counts them in one path
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Escape(OSError):
    """A path leads out of the volume."""


def opened_beneath(root: Path, path: str, *, is_made: bool) -> int:
    """Return a descriptor (O_PATH) of a file or folder below root; the caller closes it.

    is_made: what is missing is made, as a folder with the permission bits of root.

    Raises:
        Escape: a link, or the path itself, leads out of root.
        OSError
    """
    walk = _Walk(root, path, is_made=is_made)
    try:
        return walk.to_its_end()
    finally:
        walk.close()


class _Walk:
    """The folders from root down to where the walk is, each open."""

    def __init__(self, root: Path, path: str, *, is_made: bool) -> None:
        self._parts = deque(path.split("/"))
        self._is_made, self._link_count = is_made, 0
        self._open = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._mode = stat.S_IMODE(os.fstat(self._open[0]).st_mode)

    def to_its_end(self) -> int:
        """Walk to the end; return its descriptor."""
        while self._parts:
            part = self._parts.popleft()
            if part == "..":
                self._up()
            elif part not in ("", "."):
                self._down(part)
        return self._open.pop()

    def close(self) -> None:
        for one in self._open:
            os.close(one)
        self._open = []

    def _up(self) -> None:
        if len(self._open) == 1:
            raise Escape(errno.EXDEV, "the path leads out of the volume")
        os.close(self._open.pop())

    def _down(self, part: str) -> None:
        folder = self._open[-1]
        try:
            found = os.open(part, _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            if not self._is_made:
                raise
            self._make(part)
            found = os.open(part, _FLAGS, dir_fd=folder)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            self._open.append(found)
            return
        try:
            target = os.readlink("", dir_fd=found)
        finally:
            os.close(found)
        self._link_count += 1
        if self._link_count > LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            raise Escape(errno.EXDEV, "a symbolic link leads out of the volume")
        self._parts.extendleft(reversed(target.split("/")))

    def _make(self, part: str) -> None:
        folder = self._open[-1]
        # Another container of the pod may make it at the same time.
        with suppress(FileExistsError):
            os.mkdir(part, self._mode, dir_fd=folder)
            made = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                os.fchmod(made, self._mode)  # mkdir obeys the umask
            finally:
                os.close(made)


def part_opened(root: Path, path: str, target: Path, *, is_made: bool) -> int | None:
    """Return a descriptor as opened_beneath; None: target is an empty folder in its place.

    In the volume, a folder would bar the way of what comes to be there.

    Raises: Escape, OSError.
    """
    try:
        return opened_beneath(root, path, is_made=is_made)
    except FileNotFoundError:
        if is_made or not root.is_dir():  # A volume that is not there is no missing part.
            raise
    _make_folder(target)
    target.chmod(0o755)  # mkdir obeys the umask; containers run as any user
    return None


def make_target(target: Path, source: int) -> None:
    """Make the file or folder that a descriptor of the same kind is bound to."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        _make_folder(target)
        return
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    target.touch()


def _make_folder(target: Path) -> None:
    """Make a folder, also where a file of its name is."""
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if target.is_file():
        target.unlink()
    target.mkdir(exist_ok=True)
