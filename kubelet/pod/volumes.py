"""Volumes on this node's disk: checked and made before a pod starts, removed after it ends.

A file system behind a volume may never answer. So each volume has a thread of its own for as long
as a call into it lasts, and a deadline; what is mounted where is asked of the kernel, which knows
without asking the file system.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import named_in_volume
from cubernetes.api.core.podspec.volumes.volume import (
    HostPath,
    Volume,
    has_token,
    is_kept_in_memory,
    is_made_from_objects,
)
from cubernetes.api.core.serviceaccount import TOKEN_VOLUME_PREFIX
from cubernetes.host.blocking import Blocking, StillHanging
from cubernetes.host.command import CommandFailed, Commands
from kubelet.eviction.storage import MESSAGES
from kubelet.files.contents import EMPTY, Content, File, Missing, files_of
from kubelet.files.ownership import ChangePolicy, Handover
from kubelet.files.places import NONE_CLAIMED, Claimed, NodeFolder
from kubelet.files.subpath import make_target, part_opened
from kubelet.files.writing import FOLDER_MODE, is_written, write

MOUNTS = Path("/proc/self/mountinfo")
DEADLINE_S = 10.0
# Beside the volumes, where parts of them are bound for containers: no volume has such a name.
PARTS = "PARTS"
# Where it is noted which volumes of claims have been given to the pod's group.
GROUPS = "GROUPS"
# Entries of a volume that change their group in one call, and such calls before its pod is looked
# at again: it may have been deleted meanwhile.
ENTRIES_MAX, CALLS_MAX = 500, 100
SHARED_MODE = 0o777  # containers of any user write to an emptyDir
MESSAGE_MODE = 0o666  # and their last messages
TOLD_MAX = 3  # paths that stand in the way of a removal, in one sentence


class VolumeTrouble(Exception):
    """A volume cannot be made or removed; the text names it, its path and what is in the way.

    reason: the word for it in the status of a container that waits for it, as in Kubernetes.
    """

    reason = "ContainerCreating"


class UnderWay(VolumeTrouble):
    """No failure: a volume is on its way, and a caller that asks again soon has it go on."""


class VolumePart(NamedTuple):
    """A part of a volume, as one mount of a container names it.

    folder: the volume's path on this node. is_made: it is made where it is not there; else an empty
    folder that is in no volume stands in for it.
    """

    pod_uid: str
    container: str
    mount_index: int
    volume: str
    folder: str
    path: str
    is_made: bool


class Bound(NamedTuple):
    """A part of a volume on this node. is_there: it is no folder that stands in for it."""

    path: str
    is_there: bool = True


class Message(NamedTuple):
    """The last message of one container of a pod."""

    pod_uid: str
    container: str
    attempt: int


class Volumes(Protocol):
    """All methods may be repeated after a crash, and raise VolumeTrouble."""

    async def prepare(
        self, pod: Pod, content: Content = EMPTY, claimed: Claimed = NONE_CLAIMED
    ) -> Mapping[str, str]:
        """Make every volume of the pod; return its path on this node by the volume's name.

        Where it was made before, its files become what content says now. claimed: where the volumes
        of claims are, by the claims' names.
        """
        ...

    async def bind(self, part: VolumePart) -> Bound:
        """Return a path that is this part of a volume, whatever becomes of its name."""
        ...

    async def message_file(self, message: Message) -> str:
        """Make the file in which a container leaves its last message; return its path."""
        ...

    async def message_text(self, message: Message, bytes_max: int) -> str:
        """Return the end of the message that a container left; empty where there is none."""
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
    """Volumes under `<root>/<pod uid>/<name>`; host paths where they are.

    What may hold a secret is a file system in memory; where none can be mounted, the pod waits.
    """

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
        # Volumes that are being given to a group, by their pods' uids and their names.
        self._handovers: dict[tuple[str, str], Handover] = {}

    async def prepare(
        self, pod: Pod, content: Content = EMPTY, claimed: Claimed = NONE_CLAIMED
    ) -> Mapping[str, str]:
        # What is missing of one is told before anything of the others is changed.
        files = files_by_volume(pod, content)
        context = pod.spec.security_context
        group, policy = context.fs_group, context.fs_group_change_policy or "Always"
        uid, paths = pod.metadata.uid, {}
        for one in pod.spec.volumes:
            place = place_in(one, claimed)
            if place is not None:
                paths[one.name] = await self._where_it_is(uid, one.name, place)
                if group is not None and place.takes_group:
                    await self._hand_over(uid, one.name, Path(place.path.path), group, policy)
            else:
                paths[one.name] = await self._path(uid, one, group)
        for name, wanted in files.items():
            await self._write(pod.metadata.uid, name, wanted, content)
        return paths

    async def bind(self, part: VolumePart) -> Bound:
        target = self._root / part.pod_uid / PARTS / part.container / str(part.mount_index)
        key = ("volume", f"{part.pod_uid}/{part.volume}")
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        root, is_made = Path(part.folder), part.is_made
        opened = partial(part_opened, root, part.path, target, is_made=is_made)
        what = f"volume {part.volume}: subPath {part.path[:255]}"
        try:
            if target in await run(partial(mounts_below, self._mounts, target)):
                # Of a container before, which has its own copy of the mount.
                await self._commands.run(["umount", str(target)])
            source = await run(opened)
            if source is None:
                return Bound(str(target), is_there=False)
            try:
                await run(partial(make_target, target, source))
                # By the descriptor: another file of that name would be another's.
                proc = f"/proc/{os.getpid()}/fd/{source}"
                mount = ["mount", "--no-canonicalize", "--bind", proc, str(target)]
                await self._commands.run(mount)
            finally:
                os.close(source)
        except OSError as error:
            raise VolumeTrouble(f"{what}: {said(error)}") from error
        except CommandFailed as error:
            raise VolumeTrouble(f"{what}: {error}") from error
        return Bound(str(target))

    async def message_file(self, message: Message) -> str:
        path = self._message_path(message)
        try:
            before = self._message_path(message._replace(attempt=message.attempt - 2))
            await self._at_message(message, partial(_message_made, path, before))
        except OSError as error:
            raise VolumeTrouble(f"file for a message: {path}: {said(error)}") from error
        return str(path)

    async def message_text(self, message: Message, bytes_max: int) -> str:
        path = self._message_path(message)
        try:
            end = await self._at_message(message, partial(_end_of, path, bytes_max))
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise VolumeTrouble(f"message not read: {path}: {said(error)}") from error
        return end.decode(errors="replace")

    def _message_path(self, message: Message) -> Path:
        name = f"{message.container}-{message.attempt}"
        return self._root / message.pod_uid / MESSAGES / name

    async def _at_message[T](self, message: Message, work: Callable[[], T]) -> T:
        key = ("message", f"{message.pod_uid}/{message.container}")
        return await self._blocking.run(key, work, deadline_s=self._deadline_s)

    async def remove(self, pod_uid: str) -> None:
        folder = self._root / pod_uid
        for one in [one for one in self._handovers if one[0] == pod_uid]:
            del self._handovers[one]  # the folders that it has open are closed with it
        key = ("volumes removed", pod_uid)
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        try:
            mounted = await run(partial(mounts_below, self._mounts, folder))
            # Only what we have mounted ourselves; another's is told of by what follows.
            ours = [
                one
                for one in mounted
                if one.parent == folder or one.parent.parent == folder / PARTS
            ]
            stayed = [why for one in ours if (why := await self._unmounted(one))]
            stayed += await run(partial(_removed, self._mounts, folder))
        except OSError as error:
            raise VolumeTrouble(f"volumes not removed: {folder}: {said(error)}") from error
        if stayed:
            more = "; and more" if len(stayed) > TOLD_MAX else ""
            raise VolumeTrouble(f"volumes not removed: {'; '.join(stayed[:TOLD_MAX])}{more}")

    async def pod_uids(self) -> set[str]:
        work = partial(_names_in, self._root)
        try:
            return await self._blocking.run(("volumes", "list"), work, deadline_s=self._deadline_s)
        except OSError as error:
            raise VolumeTrouble(f"volumes not listed: {self._root}: {said(error)}") from error

    async def _where_it_is(self, pod_uid: str, name: str, place: NodeFolder) -> str:
        """Check files of the node that are no pod's own; return their path."""
        key, path = ("volume", f"{pod_uid}/{name}"), Path(place.path.path)
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        try:
            await run(partial(_check_host_path, name, place.path))
        except OSError as error:
            raise VolumeTrouble(f"volume {name}: {path}: {said(error)}") from error
        return place.path.path

    async def _hand_over(
        self, pod_uid: str, name: str, path: Path, group: int, policy: ChangePolicy
    ) -> None:
        """Give a volume and all that is in it to a pod's group, once in the pod's life."""
        key, mark = (pod_uid, name), self._root / pod_uid / GROUPS / name
        run = partial(
            self._blocking.run, ("volume", f"{pod_uid}/{name}"), deadline_s=self._deadline_s
        )
        handover = self._handovers.get(key)
        before = handover.changed_count if handover is not None else 0
        try:
            if await run(mark.exists):
                return
            if handover is None:
                handover = await run(partial(Handover, path, group, policy))
                self._handovers[key] = handover
            for _ in range(CALLS_MAX):
                if await run(partial(handover.go_on, ENTRIES_MAX)):
                    del self._handovers[key]
                    await run(partial(_noted, mark))
                    return
        except StillHanging as error:
            # What is late goes on; where nothing was changed meanwhile, its disk hangs.
            if handover is None or handover.changed_count == before:
                raise VolumeTrouble(f"volume {name}: {path}: {said(error)}") from error
        except OSError as error:
            self._handovers.pop(key, None)
            raise VolumeTrouble(f"volume {name}: {path}: {said(error)}") from error
        count = handover.changed_count
        raise UnderWay(f"volume {name}: {count} files given to group {group} so far")

    async def _path(self, pod_uid: str, volume: Volume, group: int | None) -> str:
        key = ("volume", f"{pod_uid}/{volume.name}")
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        path = self._root / pod_uid / volume.name
        try:
            is_made = is_made_from_objects(volume)
            mode = FOLDER_MODE if is_made else SHARED_MODE
            is_mounted = await run(partial(_made, path, self._mounts, mode))
            in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
            if (in_memory or is_kept_in_memory(volume)) and not is_mounted:
                await self._commands.run(memory_mount(path, volume))
            if group is not None and not is_made:
                await run(partial(_given_to, path, group))
        except OSError as error:
            raise VolumeTrouble(f"volume {volume.name}: {path}: {said(error)}") from error
        except CommandFailed as error:
            raise VolumeTrouble(f"volume {volume.name}: {error}") from error
        return str(path)

    async def _write(
        self, pod_uid: str, name: str, wanted: Mapping[str, File] | None, content: Content
    ) -> None:
        """Write the files of a volume; None: they are not known, and those of before go on."""
        folder, key = self._root / pod_uid / name, ("volume", f"{pod_uid}/{name}")
        run = partial(self._blocking.run, key, deadline_s=self._deadline_s)
        try:
            if wanted is not None:
                await run(partial(write, folder, wanted, content.now))
            elif not await run(partial(is_written, folder)):
                if content.is_away and name.startswith(TOKEN_VOLUME_PREFIX):
                    # Nobody asked for this volume: a node that began again while its cluster is
                    # away starts its pods all the same. The files come with the API server.
                    await run(partial(write, folder, {}, content.now))
                    return
                why = content.untold or "what it is made from has not been read yet"
                raise VolumeTrouble(f"volume {name}: {why}")
        except OSError as error:
            raise VolumeTrouble(f"volume {name}: {folder}: {said(error)}") from error

    async def _unmounted(self, mounted: Path) -> str:
        """Unmount; return why not, empty where it is done."""
        try:
            await self._commands.run(["umount", str(mounted)])
        except CommandFailed as error:
            return str(error)
        return ""


def place_in(volume: Volume, claimed: Claimed) -> NodeFolder | None:
    """Return where a volume's files are on this node; None where they are the pod's own.

    Raises: VolumeTrouble: where its claim's are, nobody has said.
    """
    if volume.host_path is not None:
        return NodeFolder(volume.host_path)
    claim = volume.persistent_volume_claim
    if claim is None:
        return None
    if claim.claim_name not in claimed:
        raise VolumeTrouble(f"volume {volume.name}: its claim {claim.claim_name} is not known yet")
    return claimed[claim.claim_name]


def files_by_volume(pod: Pod, content: Content) -> Mapping[str, Mapping[str, File] | None]:
    """Return the files of each volume that is made from objects; None: they are not known yet.

    Raises: VolumeTrouble: something that is required is not there.
    """
    found: dict[str, Mapping[str, File] | None] = {}
    for volume in pod.spec.volumes:
        if not is_made_from_objects(volume):
            continue
        is_untold = bool(content.untold) and has_token(volume)
        if is_untold or named_in_volume(volume) & content.unknown:
            found[volume.name] = None
            continue
        try:
            found[volume.name] = files_of(pod, volume, content)
        except Missing as error:
            raise VolumeTrouble(f"volume {volume.name}: {error}") from error
    return found


def memory_mount(path: Path, volume: Volume) -> list[str]:
    """Return the command that puts a file system in memory over a volume's folder."""
    options = [f"mode={0o1000 | SHARED_MODE:04o}"]
    if is_made_from_objects(volume):
        options = [f"mode={FOLDER_MODE:04o}", "nosuid", "nodev"]
    elif volume.empty_dir is not None and volume.empty_dir.size_limit is not None:
        options.append(f"size={volume.empty_dir.size_limit.whole}")
    return ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(path)]


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


def _made(path: Path, mounts: Path, mode: int) -> bool:
    """Make a volume's folder; return whether something is mounted there already."""
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    # mkdir obeys the umask; containers run as any user.
    path.chmod(mode)
    return path in mounts_below(mounts, path)


def _message_made(path: Path, before: Path) -> None:
    """Make an empty file to which a container of any user may write; one that is there stays.

    before: of a container that is no longer kept.
    """
    before.unlink(missing_ok=True)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.touch()
    # touch obeys the umask.
    path.chmod(MESSAGE_MODE)


def _noted(mark: Path) -> None:
    mark.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    mark.touch()


def _end_of(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - bytes_max))
        return file.read(bytes_max)


def _given_to(path: Path, group: int) -> None:
    """Give an emptyDir to a group: what is made in it belongs to the group, too."""
    found = path.stat()
    os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(found.st_mode) | stat.S_ISGID | 0o070)


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
            stayed.append(f"{path}: {said(error)}")

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


def said(error: BaseException) -> str:
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
