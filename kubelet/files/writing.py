"""A volume's files on the disk: read as they are found, and changed step by step.

All of it may block, and belongs on a thread. Nobody but the kubelet writes to these folders.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from kubelet.files.contents import File
from kubelet.files.swap import (
    DATA,
    HIDDEN,
    MakeFolder,
    MakeLink,
    Remove,
    Rename,
    Step,
    VolumeFolder,
    WriteFile,
    steps,
)

FOLDER_MODE = 0o755


def write(folder: Path, wanted: Mapping[str, File], now: datetime) -> None:
    """Make the files of a volume what is wanted; a reader sees those before, or these.

    Raises: OSError.
    """
    for step in steps(wanted, found_in(folder), now):
        carry_out(folder, step)


def is_written(folder: Path) -> bool:
    """Whether the volume has a whole version of its files."""
    return (folder / DATA / ".").is_dir()


def found_in(folder: Path) -> VolumeFolder:
    """Return the volume's folder as it is."""
    current = ""
    links: dict[str, str] = {}
    others: set[str] = set()
    strays: set[str] = set()
    data = folder / DATA
    if data.is_symlink() and data.is_dir():
        current = data.readlink().name
    for one in folder.iterdir():
        if one.name in (DATA, current):
            if one.name == DATA and not current:
                others.add(DATA)
        elif one.name.startswith(HIDDEN):
            others.add(one.name)
        elif one.is_symlink():
            links[one.name] = str(one.readlink())
        else:
            strays.add(one.name)
    files = dict(_files_below(folder / current)) if current else {}
    return VolumeFolder(current, files, links, frozenset(others), frozenset(strays))


def carry_out(folder: Path, step: Step) -> None:
    """Take one step of a plan."""
    match step:
        case MakeFolder(path):
            (folder / path).mkdir()
            (folder / path).chmod(FOLDER_MODE)  # mkdir obeys the umask
        case WriteFile(path, file):
            # It is never readable by more than its mode allows, also before that is set.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(folder / path, flags, 0o600), "wb") as out:
                out.write(file.content)
                if file.group is not None:
                    os.fchown(out.fileno(), -1, file.group)
                os.fchmod(out.fileno(), file.mode)
        case MakeLink(name, target):
            (folder / name).symlink_to(target)
        case Rename(name, to):
            (folder / name).rename(folder / to)
        case Remove(name):
            old = folder / name
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()


def _files_below(folder: Path) -> Iterator[tuple[str, File]]:
    for one in folder.rglob("*"):
        # What is no plain file differs from everything that could be wanted.
        kept = one.lstat()
        if stat.S_ISDIR(kept.st_mode):
            continue
        content = one.read_bytes() if stat.S_ISREG(kept.st_mode) else b""
        mode = stat.S_IMODE(kept.st_mode) if stat.S_ISREG(kept.st_mode) else -1
        group = kept.st_gid if kept.st_gid != os.getegid() else None
        yield str(one.relative_to(folder)), File(content, mode, group)
