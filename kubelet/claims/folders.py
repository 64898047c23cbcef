"""Folders of the node's disk that are volumes: `<root>/<name of the volume>`, each whole or absent.

Each act may be repeated after a crash. A folder gets its name at once, with its mode; one that goes
loses its name first, and is then removed under another (`.gone-...`), so that none is half there.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from cubernetes.host.blocking import Blocking
from cubernetes.host.durable.files import sync_folder
from kubelet.pod.volumes import MOUNTS, SHARED_MODE, VolumeTrouble, mounts_below, said

DEADLINE_S = 10.0
# Before the name of a folder that is being made or removed: no volume has such a name.
COMING, GOING = ".coming-", ".gone-"


class Folders(Protocol):
    """All methods may be repeated, and raise VolumeTrouble."""

    async def make(self, name: str) -> None:
        """Make an empty folder for containers of any user; one that is there stays as it is."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a folder with all that is in it; gone already is fine."""
        ...

    async def found(self) -> set[str]:
        """Return the names of the volumes that have a folder here, or a part of one."""
        ...


class DiskFolders:
    """Folders below root."""

    def __init__(self, root: Path, blocking: Blocking, *, mounts: Path = MOUNTS) -> None:
        self._root, self._blocking, self._mounts = root, blocking, mounts

    async def make(self, name: str) -> None:
        await self._run(name, partial(_made, self._root, name), "not made")

    async def remove(self, name: str) -> None:
        work = partial(_removed, self._root, name, self._mounts)
        await self._run(name, work, "not removed")

    async def found(self) -> set[str]:
        return await self._run("all", partial(_found, self._root), "not listed")

    async def _run[T](self, name: str, work: Callable[[], T], how: str) -> T:
        try:
            return await self._blocking.run(("local volume", name), work, deadline_s=DEADLINE_S)
        except OSError as error:
            raise VolumeTrouble(f"{self._root / name} {how}: {said(error)}") from error


def _found(root: Path) -> set[str]:
    names = {one.name for one in root.iterdir()} if root.is_dir() else set[str]()
    return {name.removeprefix(COMING).removeprefix(GOING) for name in names}


def _made(root: Path, name: str) -> None:
    folder, coming = root / name, root / f"{COMING}{name}"
    if folder.is_dir():
        return
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    coming.mkdir(exist_ok=True)
    coming.chmod(SHARED_MODE)  # mkdir obeys the umask
    coming.rename(folder)
    sync_folder(root)


def _removed(root: Path, name: str, mounts: Path) -> None:
    folder, going = root / name, root / f"{GOING}{name}"
    coming = root / f"{COMING}{name}"
    if coming.is_dir():
        coming.rmdir()
    for one in (folder, going):
        if one.is_dir() and mounts_below(mounts, one):
            raise OSError(f"a file system is mounted at or below {one}")
    # One of before that was cut is finished first: two cannot have one name.
    if going.is_dir():
        shutil.rmtree(going)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.is_dir():
        folder.rename(going)
        sync_folder(root)
        shutil.rmtree(going)
