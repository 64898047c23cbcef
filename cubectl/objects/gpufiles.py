"""GPU jobs that are made of the files of a folder or an archive."""

import tarfile
from pathlib import Path, PurePosixPath

from cubectl.objects.gpujobs import GROUP
from cubectl.session import Failed, Misused
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.specrules.sourcefiles import FILES_BYTES_MAX, FILES_MAX

SCRIPT = "run.sh"


def gpujob_tree(name: str, origin: str, *, gpus: int, allows_stand_in: bool) -> Tree:
    """Return a job of the files of a folder or a tar: its one CUDA source, or its run.sh.

    Raises: Failed, Misused.
    """
    files = files_of(Path(origin))
    sources = sorted(one for one in files if one.endswith(".cu"))
    spec: Tree = {"files": files, "resources": {"gpus": gpus}, "allowStandIn": allows_stand_in}
    if SCRIPT in files:
        spec["script"] = f"sh {SCRIPT}\n"
    elif len(sources) == 1:
        spec["program"] = {"cuda": sources[0]}
    else:
        found = ", ".join(sources) or "none"
        raise Misused(f"{origin}: needs one CUDA source (*.cu) or a {SCRIPT}; sources: {found}")
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "GpuJob",
        "metadata": {"name": name},
        "spec": spec,
    }


def files_of(path: Path) -> dict[str, str]:
    """Return the texts of a folder or a tar, by their paths in it.

    Raises: Failed: it cannot be read, is no text, or is too much.
    """
    try:
        found = _in_folder(path) if path.is_dir() else _in_archive(path)
    except (OSError, tarfile.TarError) as error:
        raise Failed(f"{path}: {error}") from error
    texts = {}
    for name, content in found.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError as error:
            raise Failed(f"{path}: {name} is no text; a job's files are UTF-8") from error
    if not texts:
        raise Failed(f"{path}: there are no files in it")
    return texts


def _in_folder(folder: Path) -> dict[str, bytes]:
    room = _Room(folder)
    for one in sorted(folder.rglob("*")):
        if one.is_symlink():
            raise Failed(f"{folder}: {one.relative_to(folder)} is a link; a job has plain files")
        if one.is_file():
            room.take(one.stat().st_size)
            room.files[one.relative_to(folder).as_posix()] = one.read_bytes()
    return room.files


def _in_archive(path: Path) -> dict[str, bytes]:
    """Read a tar, compressed or not; a folder that holds everything is left out of the paths."""
    room = _Room(path)
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isdir():
                continue
            if not member.isfile():
                raise Failed(f"{path}: {member.name} is a link or a device")
            inside = PurePosixPath(member.name)
            if inside.is_absolute() or ".." in inside.parts:
                raise Failed(f"{path}: {member.name} leads out of the archive")
            room.take(member.size)
            content = archive.extractfile(member)
            room.files[inside.as_posix()] = b"" if content is None else content.read()
    tops = {name.partition("/")[0] for name in room.files}
    if len(tops) == 1 and all("/" in name for name in room.files):
        return {name.partition("/")[2]: content for name, content in room.files.items()}
    return room.files


class _Room:
    """What has been read, within the limits of a job: no more is read than can be sent."""

    def __init__(self, path: Path) -> None:
        self._path, self._bytes = path, 0
        self.files: dict[str, bytes] = {}

    def take(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._bytes > FILES_BYTES_MAX:
            raise Failed(f"{self._path}: has more than {FILES_BYTES_MAX} bytes of files")
        if len(self.files) >= FILES_MAX:
            raise Failed(f"{self._path}: has more than {FILES_MAX} files")
