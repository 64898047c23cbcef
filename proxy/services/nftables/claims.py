"""Which service has an element that several want: the first in order, as in a list of rules. Pure.

Of one change among thousands only the elements of its own service are looked at.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

type Owner = tuple[str, str]


class Change[K, V](NamedTuple):
    """What was there before and what is there now, of the keys that differ."""

    before: Mapping[K, V]
    after: Mapping[K, V]


class Claims[K: Hashable, V]:
    """Keys with their values, as their owners want them."""

    def __init__(self) -> None:
        # Nearly every key has one owner: only for the others there is a table.
        self._single: dict[K, tuple[Owner, V]] = {}
        self._shared: dict[K, dict[Owner, V]] = {}

    def move(self, owner: Owner, gone: Iterable[K], come: Mapping[K, V]) -> Change[K, V]:
        """Let an owner give keys up and want others; return what changed for all."""
        gone = set(gone)
        touched = gone | come.keys()
        before = {key: self._first(key) for key in touched}
        for key in gone:
            self._drop(owner, key)
        for key, value in come.items():
            self._take(owner, key, value)
        after = {key: self._first(key) for key in touched}
        changed = [key for key in touched if before[key] != after[key]]
        return Change(
            {key: had[0] for key in changed if (had := before[key]) is not None},
            {key: has[0] for key in changed if (has := after[key]) is not None},
        )

    def get(self, key: K) -> V | None:
        """Return the value that holds for a key."""
        found = self._first(key)
        return None if found is None else found[0]

    def all(self) -> dict[K, V]:
        """Return every key with the value that holds."""
        found = {key: value for key, (_, value) in self._single.items()}
        found.update((key, wanted[min(wanted)]) for key, wanted in self._shared.items())
        return found

    def __len__(self) -> int:
        return len(self._single) + len(self._shared)

    def _first(self, key: K) -> tuple[V] | None:
        if (one := self._single.get(key)) is not None:
            return (one[1],)
        wanted = self._shared.get(key)
        return (wanted[min(wanted)],) if wanted else None

    def _take(self, owner: Owner, key: K, value: V) -> None:
        if (wanted := self._shared.get(key)) is not None:
            wanted[owner] = value
            return
        one = self._single.get(key)
        if one is None or one[0] == owner:
            self._single[key] = (owner, value)
            return
        del self._single[key]
        self._shared[key] = {one[0]: one[1], owner: value}

    def _drop(self, owner: Owner, key: K) -> None:
        if (wanted := self._shared.get(key)) is not None:
            wanted.pop(owner, None)
            if len(wanted) == 1:
                (only,) = wanted.items()
                del self._shared[key]
                self._single[key] = only
        elif (one := self._single.get(key)) is not None and one[0] == owner:
            del self._single[key]
