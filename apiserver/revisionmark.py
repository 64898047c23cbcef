"""The highest revision that this server has shown to anybody, kept beside the store.

Every client remembers the revision up to which it has seen all changes. A store that is restored
from an older copy counts on from there, and soon has the same revisions for other changes: who came
back then with one of before would never learn what it missed. So a store that is a little behind
the mark is brought beyond it by writes that mean nothing; then every revision of before is too old,
and its client lists anew. Far behind, that is not needed: the store will not get there before every
client has asked for a revision that it does not have, and has begun anew (client/informer.py).
`etcdutl snapshot restore --bump-revision` does the same at once.
"""

from collections.abc import Callable
from pathlib import Path

from apiserver.keys import ROOT
from apiserver.storage.store import Put, Store
from cubernetes.host.clock import Clock
from cubernetes.host.files import read_or_none, write_atomic
from cubernetes.host.log import Log

INTERVAL_S = 5.0
# What may have been written since the mark was last set: six hundred writes in each second.
MARGIN = 3_000
# Behind by more, a store needs minutes to get there: some ten writes a second are usual.
NEAR = 10_000
# Below the root, so that it is followed, and in nobody's collection.
KEY = f"{ROOT}past"

log = Log(__name__)


class RevisionMark:
    """Kept in a file; without one nothing is remembered."""

    def __init__(self, file: Path | None, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self._written = 0

    async def overtake(self, store: Store) -> None:
        """Bring a store that is a little behind the mark beyond it.

        Raises: StoreError.
        """
        marked = self._read()
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
            self.set(revision())
            await self._clock.sleep(INTERVAL_S)

    def set(self, revision: int) -> None:
        """Remember a revision, unless a higher one is. Raises: OSError."""
        if self._file is not None and revision > self._written:
            write_atomic(self._file, str(revision).encode())
            self._written = revision

    def _read(self) -> int:
        content = read_or_none(self._file) if self._file is not None else None
        return int(content) if content and content.isdigit() else 0
