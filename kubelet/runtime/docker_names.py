"""The files by which a pod's programs know names: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They are ours and not the engine's, since the engine makes them only together with a network
namespace, which it makes by executing itself anew (docs/decisions). They are mounted into a sandbox
and into each container that joins it: the engine gives a joiner its sandbox's files as well, but
forgets where they are when it starts anew beside containers that live on.
"""

import shutil
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.runtime.docker_words import NAME_FILES, Json, name_of
from kubelet.runtime.driver import Mount, RuntimeTrouble

log = Log(__name__)

FILE_MODE = 0o644


class NameFiles:
    """A folder for each sandbox, by the name of its container; each act may be repeated."""

    def __init__(self, env: Env, root: Path) -> None:
        self._blocking, self._root = env.blocking, root
        self._is_swept = False

    def folder(self, name: str) -> Path:
        return self._root / name

    async def write(self, name: str, files: Mapping[str, str]) -> None:
        """Write the files of a sandbox that is to be made. Raises: RuntimeTrouble."""
        work = partial(write_files, self.folder(name), files)
        try:
            await self._blocking.run(("names", name), work)
        except OSError as error:
            raise RuntimeTrouble("CreatePodSandboxError", f"files of names: {error}") from error

    async def mounts(self, name: str, *, read_only: bool) -> list[Mount]:
        """Return what tells a container its sandbox's names, by the name of the sandbox.

        Empty: they are the engine's. Raises: RuntimeTrouble.
        """
        folder = self.folder(name)
        try:
            found = await self._blocking.run(("names", name), partial(names_in, folder))
        except OSError as error:
            raise RuntimeTrouble("CreateContainerError", f"files of names: {error}") from error
        return [Mount(str(folder / one), f"/etc/{one}", read_only) for one in sorted(found)]

    async def remove(self, name: str) -> None:
        """Remove the files of a sandbox that is gone; what cannot be removed holds up nothing."""
        work = partial(remove_files, self.folder(name))
        try:
            await self._blocking.run(("names", name), work)
        except OSError as error:
            log.warning("files of names not removed", container=name, why=error)

    async def sweep(self, names: Collection[str]) -> None:
        """Once in this life, remove the files of all but these: somebody else removed those.

        A kubelet lists what is there before it makes a first sandbox in its life.
        """
        if self._is_swept:
            return
        try:
            found = await self._blocking.run(("names", ""), partial(names_in, self._root))
        except OSError as error:
            log.warning("files of names not looked for", folder=self._root, why=error)
            found = set()
        for name in sorted(found - set(names)):
            await self.remove(name)
        self._is_swept = True


def files_of(inspected: Json, folder: Path) -> list[Path]:
    """Return the files of names that are a container's own, and that it may write to.

    folder: where ours are, if it is a sandbox. Who shares a sandbox's network is told the
    sandbox's: those are none of its own.
    """
    told = (inspected.get(key) for key in ("HostsPath", "HostnamePath", "ResolvConfPath"))
    engines = [Path(path) for path in told if path]
    ours = [folder / one for one in NAME_FILES]
    return list(dict.fromkeys([*(one for one in engines if _is_own(inspected, one)), *ours]))


def _is_own(inspected: Json, file: Path) -> bool:
    return file.parent.name in (inspected["Id"], name_of(inspected))


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write in place: who has a file mounted sees what is written, and none that replaced it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        # A write that the disk refuses would leave less than was there.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        path.chmod(FILE_MODE)


def remove_files(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def names_in(root: Path) -> set[str]:
    """Return the names of what is in a folder; none where there is no folder."""
    return {one.name for one in root.iterdir()} if root.exists() else set()
