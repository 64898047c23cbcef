"""Which programs must begin anew: on disk before their files change, until each has begun."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from cubernetes.host.durable.files import read_or_none, write_atomic
from cuberoot import layout
from cuberoot.host.journal import Journal


class Pending:
    """Names of programs that may run by files of before. A run that is cut forgets none.

    Each change reads the file first: another run of cuberoot may have added to it.
    """

    def __init__(self, journal: Journal, path: Path = layout.PENDING) -> None:
        self._journal, self._path = journal, path

    @property
    def names(self) -> frozenset[str]:
        content = read_or_none(self._path)
        return frozenset(msgspec.json.decode(content, type=list[str]) if content else ())

    def add(self, names: Iterable[str]) -> None:
        """Note programs whose files are about to change."""
        found = self.names
        if not found >= (wanted := found | frozenset(names)):
            self._journal.file(self._path, _text(wanted))

    def done(self, name: str) -> None:
        """Note that a program has begun by the files that are there now."""
        if name in (found := self.names):
            # It is there, so it is noted: by this run's journal or, since it began, by another's.
            write_atomic(self._path, _text(found - {name}))


def _text(names: frozenset[str]) -> bytes:
    return msgspec.json.encode(sorted(names))
