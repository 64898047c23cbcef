"""The highest revision that this server has shown to anybody, kept beside the store.

Every client remembers the revision up to which it has seen all changes. A store that is restored
from an older copy counts on from there, and soon has the same revisions for other changes: a client
with a revision of before would never learn what it missed. So a store that is a little behind
the mark is brought beyond it by writes that mean nothing; then every revision of before is too old,
and its client lists anew. Far behind, that is not needed: the store will not get there before every
client has asked for a revision that it does not have, and has begun anew (client/informer.py).
`etcdutl snapshot restore --bump-revision` does the same at once.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from apiserver.state.keys import ROOT
from apiserver.storage.store import Put, Store
from cubernetes.host.blocking import Blocking
from cubernetes.host.clock import Clock
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.log import Log

INTERVAL_S = 5.0
DEADLINE_S = 5.0
MARK = ("file", "revision mark")
# What may have been written since the mark was last set: six hundred writes in each second.
MARGIN = 3_000
# Behind by more, a store needs minutes to get there: some ten writes a second are usual.
NEAR = 10_000
# Below the root, so that it is followed, and in nobody's collection.
KEY = f"{ROOT}past"

log = Log(__name__)


class RevisionMark:
    """Kept in a file; without one nothing is remembered."""

    def __init__(self, file: Path | None, clock: Clock, blocking: Blocking) -> None:
        self._file, self._clock, self._blocking = file, clock, blocking
        self._written = 0
        self._is_failing = False

    async def overtake(self, store: Store) -> None:
        """Bring a store that is a little behind the mark beyond it.

        Raises: StoreError, OSError.
        """
        marked = await self._read()
        _, revision = await store.get(KEY)
        if revision >= marked:
            return
        log.error("the store went back in time", revision=revision, marked=marked)
        if marked - revision > NEAR:
            return
        while revision < marked + MARGIN:
            revision = (await store.commit([], [Put(KEY, b"")])).revision
        log.warning("the store is beyond its past", revision=revision)

    async def keep(self, revision: Callable[[], int]) -> None:
        """Set the mark again and again, for ever."""
        while True:
            await self.set(revision())
            await self._clock.sleep(INTERVAL_S)

    async def set(self, revision: int) -> None:
        """Remember a revision, unless a higher one is. Where the disk takes nothing, say so once.

        A mark that is too low is no worse than one that was never set.
        """
        if self._file is None or revision <= self._written:
            return
        write = partial(write_atomic, self._file, str(revision).encode())
        try:
            await self._blocking.run(MARK, write, deadline_s=DEADLINE_S)
        except OSError as error:
            if not self._is_failing:
                log.warning("revision mark not set", path=self._file, why=error)
            self._is_failing = True
            return
        self._written, self._is_failing = revision, False

    async def _read(self) -> int:
        if self._file is None:
            return 0
        read = partial(read_or_none, self._file)
        content = await self._blocking.run(MARK, read, deadline_s=DEADLINE_S)
        return int(content) if content and content.isdigit() else 0
