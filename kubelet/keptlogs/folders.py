"""Folders of what outlives containers, a life each: looked through, and kept within limits."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from kubelet.keptlogs.retention import Kept, Life, life_at, surplus

LIVES_DEPTH = 5  # folders on the way to a life


def collected(folder: Path, now_s: float, bytes_max: int) -> int:
    """Take away what is too much; return how many bytes are left. Raises: OSError."""
    kept = kept_in(folder, "")
    gone = set(surplus(kept, now_s, bytes_max))
    take_away(folder, gone)
    return sum(one.size_bytes for one in kept if one.life not in gone)


def take_away(folder: Path, gone: Iterable[Life]) -> None:
    """Remove what is kept of lives, and the folders that are empty then."""
    for life in sorted(gone):
        shutil.rmtree(folder / life.path, ignore_errors=True)
        for parent in (folder / life.path).parents[: LIVES_DEPTH - 1]:
            try:
                parent.rmdir()
            except OSError:
                break  # another life is in it


def kept_in(folder: Path, under: str) -> list[Kept]:
    """Return what is kept under a path of the folder; what goes meanwhile is left out."""
    depth = LIVES_DEPTH - len(under.split("/")) if under else LIVES_DEPTH
    found = []
    for place in (folder / under).glob("/".join("*" * depth)):
        life = life_at(place.relative_to(folder).as_posix())
        if life is None:
            continue
        try:
            size = sum(file.stat().st_size for file in place.iterdir())
            found.append(Kept(life, place.stat().st_mtime, size))
        except FileNotFoundError:
            continue
    return found
