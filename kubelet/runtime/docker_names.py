"""The files by which a pod's programs know names: /etc/hosts, /etc/hostname, /etc/resolv.conf.

They are ours and not the engine's, since the engine makes them only together with a network
namespace, which it makes by executing itself anew (docs/decisions). Mounted into a sandbox they
are what the engine gives to each container that joins it.
"""

import shutil
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from kubelet.runtime.driver import RuntimeTrouble

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

    async def remove(self, name: str) -> None:
        """Remove the files of a sandbox that is gone. Raises: RuntimeTrouble."""
        work = partial(remove_files, self.folder(name))
        try:
            await self._blocking.run(("names", name), work)
        except OSError as error:
            raise RuntimeTrouble("RemoveContainerError", f"files of names: {error}") from error

    async def sweep(self, names: Collection[str]) -> None:
        """Once in this life, remove the files of all but these: somebody else removed those.

        A kubelet lists what is there before it makes a first sandbox in its life.
        """
        if self._is_swept:
            return
        for name in sorted(await self._found() - set(names)):
            await self.remove(name)
        self._is_swept = True

    async def _found(self) -> set[str]:
        try:
            return await self._blocking.run(("names", ""), partial(names_in, self._root))
        except OSError as error:
            raise RuntimeTrouble("RuntimeError", f"files of names: {error}") from error


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write in place: who has a file mounted sees what is written, and none that replaced it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.write_text(text)
        path.chmod(FILE_MODE)


def remove_files(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def names_in(root: Path) -> set[str]:
    return {one.name for one in root.iterdir()} if root.exists() else set()
