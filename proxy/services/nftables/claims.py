"""Which service has an element that several want: the first in order, as in a list of rules. Pure.

Of one change among thousands only the elements of its own service are looked at.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

type Owner = tuple[str, str]


class Change[K, V](NamedTuple):
    """What was there before and what is there now, of the keys that differ."""

    before: Mapping[K, V]
    after: Mapping[K, V]


class _Shared[V]:
    """What several owners want of one key. Thousands may: none is looked at to find the first."""

    def __init__(self) -> None:
        self._owners: list[Owner] = []
        self._values: dict[Owner, V] = {}

    def put(self, owner: Owner, value: V) -> None:
        if owner not in self._values:
            insort(self._owners, owner)
        self._values[owner] = value

    def drop(self, owner: Owner) -> None:
        if self._values.pop(owner, None) is not None:
            del self._owners[bisect_left(self._owners, owner)]

    @property
    def first(self) -> tuple[Owner, V]:
        return self._owners[0], self._values[self._owners[0]]

    def __len__(self) -> int:
        return len(self._owners)


class Claims[K: Hashable, V]:
    """Keys with their values, as their owners want them."""

    def __init__(self) -> None:
        # Nearly every key has one owner: only for the others there is a table.
        self._single: dict[K, tuple[Owner, V]] = {}
        self._shared: dict[K, _Shared[V]] = {}

    def move(self, owner: Owner, gone: Iterable[K], come: Mapping[K, V]) -> Change[K, V]:
        """Let an owner give keys up and want others; return what changed for all."""
        gone = set(gone)
        touched = gone | come.keys()
        before = {key: self.get(key) for key in touched}
        for key in gone:
            self._drop(owner, key)
        for key, value in come.items():
            self._take(owner, key, value)
        after = {key: self.get(key) for key in touched}
        changed = [key for key in touched if before[key] != after[key]]
        return Change(
            {key: had for key in changed if (had := before[key]) is not None},
            {key: has for key in changed if (has := after[key]) is not None},
        )

    def all(self) -> dict[K, V]:
        """Return every key with the value that holds."""
        found = {key: value for key, (_, value) in self._single.items()}
        found.update((key, wanted.first[1]) for key, wanted in self._shared.items())
        return found

    def get(self, key: K) -> V | None:
        """Return the value that holds for a key."""
        found = self._first(key)
        return None if found is None else found[1]

    def __len__(self) -> int:
        return len(self._single) + len(self._shared)

    def _first(self, key: K) -> tuple[Owner, V] | None:
        if (one := self._single.get(key)) is not None:
            return one
        wanted = self._shared.get(key)
        return None if wanted is None else wanted.first

    def _take(self, owner: Owner, key: K, value: V) -> None:
        wanted = self._shared.get(key)
        one = self._single.get(key)
        if wanted is None and (one is None or one[0] == owner):
            self._single[key] = (owner, value)
            return
        if wanted is None:
            wanted = self._shared[key] = _Shared()
            wanted.put(*self._single.pop(key))
        wanted.put(owner, value)

    def _drop(self, owner: Owner, key: K) -> None:
        if (wanted := self._shared.get(key)) is not None:
            wanted.drop(owner)
            if len(wanted) == 1:
                self._single[key] = self._shared.pop(key).first
        elif (one := self._single.get(key)) is not None and one[0] == owner:
            del self._single[key]
