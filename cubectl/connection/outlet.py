"""Files of this process to which a stream is written: on a thread, and all that is there at a time.

A thread for each piece would cost more than writing it. Imported where asyncio is at work already.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter

from cubernetes.host.blocking import Threads

# So much may have come and not be written yet; as much again is being written.
HELD_BYTES_MAX = 1024 * 1024
# Nobody knows how long a person thinks, or a pager stays open.
FOREVER_S = 10 * 365 * 86_400.0


class Outlet:
    """Writes pieces to files of this process in their order, all that is there at a time."""

    def __init__(
        self, files: Threads, written: Callable[[asyncio.Task[None]], None] | None = None
    ) -> None:
        """written: called with each task of writing that has ended, so that a failure is heard."""
        self._files, self._written = files, written
        self._held: list[tuple[int, bytes]] = []
        self._held_bytes = 0
        self._has_room = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether who puts a piece has to wait."""
        return self._held_bytes >= HELD_BYTES_MAX

    async def put(self, file: int, piece: bytes) -> None:
        """Take a piece, once there is room. Raises: OSError: one before was not taken."""
        while self.is_full:
            self._has_room.clear()
            await self._has_room.wait()
            self._check()
        self._held.append((file, piece))
        self._held_bytes += len(piece)
        self._check()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
            if self._written is not None:
                self._writing.add_done_callback(self._written)

    async def empty(self) -> None:
        """Wait until everything is written. Raises: OSError."""
        if self._writing is not None:
            await self._writing

    def _check(self) -> None:
        """Raises: OSError: a piece was not taken."""
        if self._writing is not None and self._writing.done():
            self._writing.result()

    async def _write(self) -> None:
        try:
            while self._held:
                pieces, self._held, self._held_bytes = self._held, [], 0
                self._has_room.set()
                write = partial(_write_all, pieces)
                await self._files.run(("console", "out"), write, deadline_s=FOREVER_S)
        finally:
            self._has_room.set()


def _write_all(pieces: Sequence[tuple[int, bytes]]) -> None:
    """Write pieces in their order; those that stand together are written as one."""
    for file, group in groupby(pieces, key=itemgetter(0)):
        view = memoryview(b"".join(piece for _, piece in group))
        while view:
            view = view[os.write(file, view) :]
