"""Files that survive a crash: written whole or not at all."""

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes, mode: int = 0o600, *, is_durable: bool = True) -> None:
    """Replace path by content in one step, durable once this returns.

    Written beside, synced, renamed, and the folder synced: a reader sees the old file or the new
    one, also after a power cut. The file never exists with wider permissions than mode, and has
    exactly these in the end, whatever the process' umask is.

    is_durable: where it is not to be, nothing is synced: it outlives this process, and may be the
    old file, the new one or an empty one after a power cut.

    Raises:
        OSError: the folder is missing, read-only or full; path is then unchanged.
    """
    beside = unfinished(path)
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have a change of names in a folder outlive a power cut. Raises: OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unfinished(path: Path) -> Path:
    """Return where the content of path is written before it takes its place."""
    return path.with_name(f".{path.name}.new")


def read_or_none(path: Path) -> bytes | None:
    """Return the content of path, or None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
