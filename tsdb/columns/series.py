"""Label sets by row, as queries handle them: decoded when first needed, and then only once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import Rows
from tsdb.columns.labels import NAME, Key, Pairs, pairs_of
from tsdb.steps import Steps, mapped

# What grouping one set of series by so many different label lists is remembered for.
GROUPINGS_KEPT = 8
ROWS_PER_PAUSE = 256


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

    def changed(
        self, change: Callable[[Pairs], Pairs], per_pause: int = ROWS_PER_PAUSE
    ) -> Steps["Series"]:
        pairs = yield from self.read()
        return Series((yield from mapped(change, pairs, per_pause)))

    def read(self) -> Steps[list[Pairs]]:
        """Return pairs, with pauses while they are decoded for the first time."""
        if self._pairs is None:
            self._pairs = yield from mapped(pairs_of, self._keys, ROWS_PER_PAUSE)
        return self.pairs

    def without_name(self) -> "Series":
        """Return the same series without their metric names."""
        if self._without_name is None:
            self._without_name = _Nameless(self)
        return self._without_name

    def has_twins(self) -> Steps[bool]:
        """Say whether two rows have the same labels."""
        if self._distinct is None:
            seen: set[Pairs] = set()
            yield from mapped(seen.add, (yield from self.read()), ROWS_PER_PAUSE)
            self._distinct = len(seen) == len(self)
        return not self._distinct

    def grouped(self, without: bool, labels: tuple[str, ...]) -> Steps[Groups]:
        """Put rows together that agree on these labels, or on all but these and the name."""
        name = (without, labels)
        found = self._groups.get(name)
        if found is None:
            found = yield from self._new_groups(without, labels)
            if len(self._groups) >= GROUPINGS_KEPT:
                self._groups.clear()
            self._groups[name] = found
        return found

    def _new_groups(self, without: bool, labels: tuple[str, ...]) -> Steps[Groups]:
        if not without and not labels:
            return Groups(np.zeros(len(self), np.intp), Series([()] if len(self) else []))
        chosen = frozenset(labels) | ({NAME} if without else frozenset())
        number_of: dict[Pairs, int] = {}

        def number(pairs: Pairs) -> int:
            kept = tuple(pair for pair in pairs if (pair[0] in chosen) is not without)
            return number_of.setdefault(kept, len(number_of))

        numbers = yield from mapped(number, (yield from self.read()), ROWS_PER_PAUSE)
        return Groups(np.array(numbers, np.intp), Series(list(number_of)))


def _without_name(pairs: Pairs) -> Pairs:
    return tuple(pair for pair in pairs if pair[0] != NAME)


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
            self._pairs = [_without_name(pairs) for pairs in self._whole.pairs]
            self._done = True
        return self._pairs or []

    def read(self) -> Steps[list[Pairs]]:
        if not self._done:
            pairs = yield from self._whole.read()
            self._pairs = yield from mapped(_without_name, pairs, ROWS_PER_PAUSE)
            self._done = True
        return self._pairs or []

    def take(self, rows: Iterable[int]) -> Series:
        return self._whole.take(rows).without_name()

    def without_name(self) -> Series:
        return self
