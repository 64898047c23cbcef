"""Volumes on this node's disk: checked and made before a pod starts, removed after it ends."""

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cubernetes.api.pod import HostPath, Pod, Volume
from cubernetes.host.command import CommandFailed, Commands


class VolumeTrouble(Exception):
    """A volume cannot be given to the pod; the text names it, its path and what was expected."""


class Volumes(Protocol):
    """Both methods may be repeated after a crash."""

    async def prepare(self, pod: Pod) -> Mapping[str, str]:
        """Make every volume of the pod; return its path on this node by the volume's name.

        Raises: VolumeTrouble.
        """
        ...

    async def remove(self, pod_uid: str) -> None:
        """Remove the pod's own volumes (emptyDir); host paths stay as they are."""
        ...

    def pod_uids(self) -> set[str]:
        """Return the pods that have volumes here."""
        ...


class DiskVolumes:
    """emptyDirs under `<root>/<pod uid>/<name>`; host paths where they are."""

    def __init__(self, root: Path, commands: Commands) -> None:
        self._root, self._commands = root, commands

    async def prepare(self, pod: Pod) -> Mapping[str, str]:
        return {one.name: await self._path(pod.metadata.uid, one) for one in pod.spec.volumes}

    async def remove(self, pod_uid: str) -> None:
        folder = self._root / pod_uid
        for mounted in sorted(folder.glob("*")) if folder.is_dir() else ():
            if mounted.is_mount():
                await self._commands.run(["umount", str(mounted)])
        if folder.exists():
            shutil.rmtree(folder)

    def pod_uids(self) -> set[str]:
        return {one.name for one in self._root.iterdir()} if self._root.is_dir() else set()

    async def _path(self, pod_uid: str, volume: Volume) -> str:
        if volume.host_path is not None:
            _check_host_path(volume.name, volume.host_path)
            return volume.host_path.path
        path = self._root / pod_uid / volume.name
        try:
            path.mkdir(mode=0o777, parents=True, exist_ok=True)
            # mkdir obeys the umask; containers run as any user and must be able to write here.
            path.chmod(0o777)
            in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
            if in_memory and not path.is_mount():
                mount = ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(path)]
                await self._commands.run(mount)
        except (OSError, CommandFailed) as error:
            raise VolumeTrouble(f"volume {volume.name}: {error}") from error
        return str(path)


def _check_host_path(name: str, volume: HostPath) -> None:
    path = Path(volume.path)
    try:
        # As in Kubernetes, no type means no check; Docker then makes a missing directory.
        if volume.type in ("", "DirectoryOrCreate"):
            if not path.exists():
                path.mkdir(mode=0o755, parents=True)
            if volume.type == "":
                return
        if volume.type == "FileOrCreate" and not path.exists():
            path.touch(mode=0o644)
        mode = path.stat().st_mode
    except OSError as error:
        raise VolumeTrouble(f"volume {name}: {path}: {error.strerror}") from error
    if not _CHECKS[volume.type](mode):
        raise VolumeTrouble(f"volume {name}: {path} is not a {volume.type}")


_CHECKS = {
    "DirectoryOrCreate": stat.S_ISDIR,
    "Directory": stat.S_ISDIR,
    "FileOrCreate": stat.S_ISREG,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}
