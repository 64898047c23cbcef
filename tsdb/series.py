"""Label sets by row, as queries handle them: decoded when first needed, and then only once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tsdb.codec import Rows
from tsdb.labels import NAME, Key, Pairs, pairs_of

# What grouping one set of series by so many different label lists is remembered for.
GROUPINGS_KEPT = 8


@dataclass(frozen=True)
class Groups:
    """The group of each row, and what stands for each group."""

    group_of: Rows
    pairs: "Series"


class Series:
    """The label sets of the rows of a value. Not changed after it was made."""

    def __init__(self, pairs: list[Pairs] | None, keys: Sequence[Key] = ()) -> None:
        self._pairs, self._keys = pairs, keys
        self._without_name: Series | None = None
        self._groups: dict[tuple[bool, tuple[str, ...]], Groups] = {}
        self._distinct: bool | None = None

    def __len__(self) -> int:
        return len(self._keys) if self._pairs is None else len(self._pairs)

    @property
    def pairs(self) -> list[Pairs]:
        if self._pairs is None:
            self._pairs = [pairs_of(key) for key in self._keys]
        return self._pairs

    def take(self, rows: Iterable[int]) -> "Series":
        if self._pairs is None:
            return Series(None, [self._keys[row] for row in rows])
        return Series([self._pairs[row] for row in rows])

    def changed(self, change: Callable[[Pairs], Pairs]) -> "Series":
        return Series([change(pairs) for pairs in self.pairs])

    def without_name(self) -> "Series":
        """Return the same series without their metric names."""
        if self._without_name is None:
            self._without_name = _Nameless(self)
        return self._without_name

    def has_twins(self) -> bool:
        """Say whether two rows have the same labels."""
        if self._distinct is None:
            self._distinct = len(set(self.pairs)) == len(self)
        return not self._distinct

    def grouped(self, without: bool, labels: tuple[str, ...]) -> Groups:
        """Put rows together that agree on these labels, or on all but these and the name."""
        name = (without, labels)
        if name not in self._groups:
            if len(self._groups) >= GROUPINGS_KEPT:
                self._groups.clear()
            self._groups[name] = self._new_groups(without, labels)
        return self._groups[name]

    def _new_groups(self, without: bool, labels: tuple[str, ...]) -> Groups:
        if not without and not labels:
            return Groups(np.zeros(len(self), np.intp), Series([()] if len(self) else []))
        chosen = frozenset(labels) | ({NAME} if without else frozenset())
        number_of: dict[Pairs, int] = {}
        group_of = np.empty(len(self), np.intp)
        for row, pairs in enumerate(self.pairs):
            kept = tuple(pair for pair in pairs if (pair[0] in chosen) is not without)
            group_of[row] = number_of.setdefault(kept, len(number_of))
        return Groups(group_of, Series(list(number_of)))


class _Nameless(Series):
    """Series of which only the names are taken away, as late as possible."""

    def __init__(self, whole: Series) -> None:
        super().__init__([])
        self._whole = whole
        self._done = False

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def pairs(self) -> list[Pairs]:
        if not self._done:
            self._pairs = [
                tuple(pair for pair in pairs if pair[0] != NAME) for pairs in self._whole.pairs
            ]
            self._done = True
        return self._pairs or []

    def take(self, rows: Iterable[int]) -> Series:
        return self._whole.take(rows).without_name()

    def without_name(self) -> Series:
        return self
