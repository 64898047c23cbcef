"""Volumes on this node's disk: checked and made before a pod starts, removed after it ends.

A file system behind a volume may never answer. So each volume has a thread of its own for as long
as a call into it lasts, and a deadline; what is mounted where is asked of the kernel, which knows
without asking the file system.
"""

import errno
import shutil
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import HostPath, Volume
from cubernetes.host.blocking import Blocking
from cubernetes.host.command import CommandFailed, Commands

MOUNTS = Path("/proc/self/mountinfo")
DEADLINE_S = 10.0
TOLD_MAX = 3  # paths that stand in the way of a removal, in one sentence


class VolumeTrouble(Exception):
    """A volume cannot be made or removed; the text names it, its path and what is in the way."""


class Volumes(Protocol):
    """All methods may be repeated after a crash, and raise VolumeTrouble."""

    async def prepare(self, pod: Pod) -> Mapping[str, str]:
        """Make every volume of the pod; return its path on this node by the volume's name."""
        ...

    async def remove(self, pod_uid: str) -> None:
        """Remove the pod's own volumes (emptyDir); host paths stay as they are.

        What cannot be removed does not keep the rest.
        """
        ...

    async def pod_uids(self) -> set[str]:
        """Return the pods that have volumes here."""
        ...


class DiskVolumes:
    """emptyDirs under `<root>/<pod uid>/<name>`; host paths where they are."""

    def __init__(
        self,
        root: Path,
        commands: Commands,
        blocking: Blocking,
        *,
        mounts: Path = MOUNTS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._root, self._commands, self._blocking = root, commands, blocking
        self._mounts, self._deadline_s = mounts, deadline_s

    async def prepare(self, pod: Pod) -> Mapping[str, str]:
        return {one.name: await self._path(pod.metadata.uid, one) for one in pod.spec.volumes}

    async def remove(self, pod_uid: str) -> None:
        folder = self._root / pod_uid
        key = ("volumes removed", pod_uid)
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        try:
            mounted = await run(partial(mounts_below, self._mounts, folder))
            # Only what we have mounted ourselves; another's is told of by what follows.
            ours = [one for one in mounted if one.parent == folder]
            stayed = [said for one in ours if (said := await self._unmounted(one))]
            stayed += await run(partial(_removed, self._mounts, folder))
        except OSError as error:
            raise VolumeTrouble(f"volumes not removed: {folder}: {_said(error)}") from error
        if stayed:
            more = "; and more" if len(stayed) > TOLD_MAX else ""
            raise VolumeTrouble(f"volumes not removed: {'; '.join(stayed[:TOLD_MAX])}{more}")

    async def pod_uids(self) -> set[str]:
        work = partial(_names_in, self._root)
        try:
            return await self._blocking.run(("volumes", "list"), work, deadline_s=self._deadline_s)
        except OSError as error:
            raise VolumeTrouble(f"volumes not listed: {self._root}: {_said(error)}") from error

    async def _path(self, pod_uid: str, volume: Volume) -> str:
        key = ("volume", f"{pod_uid}/{volume.name}")
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        path = self._root / pod_uid / volume.name
        try:
            if volume.host_path is not None:
                path = Path(volume.host_path.path)
                await run(partial(_check_host_path, volume.name, volume.host_path))
                return volume.host_path.path
            is_mounted = await run(partial(_made, path, self._mounts))
            in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
            if in_memory and not is_mounted:
                mount = ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(path)]
                await self._commands.run(mount)
        except OSError as error:
            raise VolumeTrouble(f"volume {volume.name}: {path}: {_said(error)}") from error
        except CommandFailed as error:
            raise VolumeTrouble(f"volume {volume.name}: {error}") from error
        return str(path)

    async def _unmounted(self, mounted: Path) -> str:
        """Unmount; return why not, empty where it is done."""
        try:
            await self._commands.run(["umount", str(mounted)])
        except CommandFailed as error:
            return str(error)
        return ""


def mounts_below(mounts: Path, folder: Path) -> list[Path]:
    """Return where file systems are mounted at or below folder, the innermost first."""
    real = folder.resolve()  # as the kernel tells of it
    points = (Path(_unescaped(line.split()[4])) for line in mounts.read_text().splitlines())
    below = {folder / one.relative_to(real) for one in points if one.is_relative_to(real)}
    return sorted(below, reverse=True)


def _unescaped(word: str) -> str:
    """Return a path of mountinfo as it is: blanks and backslashes stand there as octal numbers."""
    first, *rest = word.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def _names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} if folder.is_dir() else set()


def _made(path: Path, mounts: Path) -> bool:
    """Make an emptyDir's folder; return whether something is mounted there already."""
    path.mkdir(mode=0o777, parents=True, exist_ok=True)
    # mkdir obeys the umask; containers run as any user and must be able to write here.
    path.chmod(0o777)
    return path in mounts_below(mounts, path)


def _removed(mounts: Path, folder: Path) -> list[str]:
    """Remove a pod's folder; return what stands in the way, each a path and a reason.

    Nothing is removed through a mount: what lies behind it is another's.
    """
    if not folder.is_dir():
        return []
    mounted = mounts_below(mounts, folder)
    stayed = [f"{one}: a file system is mounted there" for one in mounted]

    def note(_work: object, path: str, error: BaseException) -> None:
        # That a folder is not empty follows from what stayed in it.
        is_news = not (isinstance(error, OSError) and error.errno == errno.ENOTEMPTY)
        if len(stayed) <= TOLD_MAX and (is_news or not stayed):
            stayed.append(f"{path}: {_said(error)}")

    for volume in sorted(folder.iterdir()):
        if not any(one.is_relative_to(volume) for one in mounted):
            shutil.rmtree(volume, onexc=note)
    if not stayed:
        folder.rmdir()
    return stayed


def _check_host_path(name: str, volume: HostPath) -> None:
    path = Path(volume.path)
    # As in Kubernetes, no type means no check; Docker then makes a missing directory.
    if volume.type in ("", "DirectoryOrCreate"):
        if not path.exists():
            path.mkdir(mode=0o755, parents=True)
        if volume.type == "":
            return
    if volume.type == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if not _CHECKS[volume.type](path.stat().st_mode):
        raise VolumeTrouble(f"volume {name}: {path} is not a {volume.type}")


def _said(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


_CHECKS = {
    "DirectoryOrCreate": stat.S_ISDIR,
    "Directory": stat.S_ISDIR,
    "FileOrCreate": stat.S_ISREG,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}
