"""What we added to this machine, written down before it is added: reset removes exactly that."""

import shutil
from pathlib import Path

import msgspec

from cubernetes.host.durable.files import read_or_none, unfinished, write_atomic
from cuberoot import layout

# An entry that ends so stands for a folder with all that our programs wrote in it.
WHOLE = "/*"


class NotUndone(OSError):
    """Something of ours cannot be removed: the sentence names each path and the reason."""


class Journal:
    """Paths of files and folders of ours, on disk before they are made.

    The journal's own folder is the one thing that is made first and noted second.
    """

    def __init__(self, path: Path = layout.JOURNAL) -> None:
        self._path = path
        content = read_or_none(path)
        self._entries: list[str] = msgspec.json.decode(content, type=list[str]) if content else []

    def folder(self, path: Path, mode: int = 0o700) -> None:
        """Make a folder, and those above it that are missing; all of them are noted."""
        for one in reversed([path, *path.parents]):
            if not one.exists():
                self._note(str(one))
                one.mkdir(mode=mode, exist_ok=True)

    def file(self, path: Path, content: bytes, mode: int = 0o600) -> bool:
        """Write a file of ours; False where it stands there so already.

        Raises:
            FileExistsError: a file that we did not write is in the way.
        """
        found = read_or_none(path)
        if found is not None and str(path) not in self._entries:
            raise FileExistsError(f"{path} is there already and is not ours: move it away")
        self.folder(path.parent)
        self._note(str(path))
        if not differs(path, content, mode):
            return False
        write_atomic(path, content, mode)
        return True

    def tree(self, path: Path) -> None:
        """Make a folder whose whole content is ours, whichever of our programs writes it.

        Raises:
            FileExistsError: it is there and holds something that is not ours.
        """
        is_ours = {str(path), f"{path}{WHOLE}"} & set(self._entries)
        if not is_ours and path.is_dir() and any(path.iterdir()):
            raise FileExistsError(f"{path} is there already and is not ours: move it away")
        self.folder(path.parent)
        self._note(f"{path}{WHOLE}")
        path.mkdir(mode=0o700, exist_ok=True)

    def remove(self, path: Path) -> None:
        """Remove a file of ours now, and its note; a file that we did not write stays."""
        if str(path) not in self._entries:
            return
        _undone(str(path))
        self._entries.remove(str(path))
        write_atomic(self._path, msgspec.json.encode(self._entries))

    def undo(self) -> list[Path]:
        """Remove everything that is noted, the newest first; return the folders that stayed.

        A folder that holds something of others stays, with that in it. Cut anywhere, it can be
        done again.

        Raises:
            NotUndone: what cannot be removed, and is still noted; all the rest is removed.
        """
        stayed: list[Path] = []
        left: dict[str, str] = {}
        own = self._path.parent
        for entry in reversed(self._entries):
            if entry == str(own):
                continue
            try:
                if not _undone(entry):
                    stayed.append(Path(entry))
            except OSError as error:
                left[entry] = (
                    f"{error.filename or entry.removesuffix(WHOLE)}: {error.strerror or error}"
                )
        is_own = str(own) in self._entries
        if left:
            kept = {*left, str(own), *(str(one) for one in stayed)}
            self._entries = [one for one in self._entries if one in kept]
            write_atomic(self._path, msgspec.json.encode(self._entries))
            raise NotUndone("; ".join(left.values()))
        unfinished(self._path).unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self._entries = []
        if is_own and own.is_dir() and not _removed(own):
            stayed.append(own)
        return stayed

    def _note(self, entry: str) -> None:
        if entry in self._entries:
            return
        self._entries.append(entry)
        if not self._path.parent.is_dir():
            self._path.parent.mkdir(mode=0o700, parents=True)
            if str(self._path.parent) != entry:
                self._entries.insert(0, str(self._path.parent))
        write_atomic(self._path, msgspec.json.encode(self._entries))


def differs(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Tell whether a file is to be written, so that it has this content and mode."""
    return read_or_none(path) != content or (path.stat().st_mode & 0o777) != mode


def _undone(entry: str) -> bool:
    """Remove what an entry stands for; False where it is a folder that others use.

    Raises: OSError: the first obstacle; what is beside it is removed.
    """
    path = Path(entry.removesuffix(WHOLE))
    if entry.endswith(WHOLE):
        errors: list[BaseException] = []
        if path.is_dir():
            # The first error names the obstacle; those that follow say that it is there.
            shutil.rmtree(path, onexc=lambda _work, _path, error: errors.append(error))
        if errors:
            raise errors[0]
        return True
    if path.is_dir():
        return _removed(path)
    # A run that was cut may have left what it was about to put there.
    unfinished(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return True


def _removed(folder: Path) -> bool:
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True
