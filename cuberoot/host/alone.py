"""One at a time: what changes a machine's files has the machine for itself meanwhile."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuberoot import layout


class Busy(Exception):
    """Another run is changing this machine."""


@contextmanager
def alone(folder: Path = layout.CONFIG.parent) -> Iterator[None]:
    """Hold the machine for the length of the block; a run that is killed lets go of it.

    The lock is on a folder that is there anyway, so that no file is left behind.

    Raises: Busy.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Busy("another cuberoot is changing this machine: wait until it has ended") from error
    try:
        yield
    finally:
        os.close(handle)
