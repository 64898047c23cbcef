"""Group commit: one sync of the disk acknowledges everybody who wrote before it."""

import asyncio

from cubernetes.host.clock import Clock
from tsdb.storage.store import Store


class Committer:
    """Makes appends durable. An interval of 0 acknowledges what the disk has; nothing is at risk.

    With an interval, appends are acknowledged once the kernel has them: they survive the end of the
    process, while a power cut may take what was written since the last sync.
    """

    def __init__(self, store: Store, clock: Clock, interval_s: float) -> None:
        self._store, self._clock, self._interval_s = store, clock, interval_s
        self._next: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    async def acknowledge(self) -> None:
        """Return when what was appended may be called safe.

        Raises:
            DiskRefused: the disk would not; with an interval, at the first call after it.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._sync_soon())
            self._next.add_done_callback(self._keep_failure)
        if self._interval_s == 0:
            await asyncio.shield(self._next)
        elif self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _sync_soon(self) -> None:
        # Appends that are ready in this turn of the loop join before the disk is asked.
        await self._clock.sleep(self._interval_s)
        self._next = None
        self._store.sync()

    def _keep_failure(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            failure = done.exception()
            if isinstance(failure, Exception):
                self._failure = failure

    async def finish(self) -> None:
        """Sync what is left, for the end of the program."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self._store.wal.broken:
            self._store.sync()
