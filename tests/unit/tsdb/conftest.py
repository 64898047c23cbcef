"""What the tests of the store share: a small store in a folder, and reading all of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tsdb.budget import unlimited
from tsdb.columns.labels import Key, key_of_dict, pairs_of
from tsdb.columns.matching import Matcher, Op
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.select import Reader
from tsdb.storage.store import Outcome, Store, open_store

SMALL_LIMITS = Limits(series=1000, strip_cache_bytes=2**20)

type Samples = dict[str, list[tuple[int, float]]]


def finish(steps: Iterator[object]) -> object:
    """Run a generator to its end; return what it yielded last."""
    last: object = None
    for last in steps:  # noqa: B007  the last one is the answer
        pass
    return last


class SmallStore:
    """A store and the few verbs that tests need."""

    def __init__(self, folder: Path, limits: Limits, options: Options) -> None:
        self.folder, self.limits, self.options = folder, limits, options
        self.store: Store = open_store(folder, limits, options)

    def key(self, name: str, **labels: str) -> Key:
        return key_of_dict({"__name__": name, **labels})

    def put(
        self, name: str, at_ms: int, value: float, now_ms: int = 2**60, **labels: str
    ) -> Outcome:
        ref = self.store.ref(self.key(name, **labels))
        outcome = self.store.append(np.array([ref]), np.array([at_ms]), np.array([value]), now_ms)
        self.store.sync()
        return outcome

    def put_columns(self, names: list[str], times: list[int], values: list[float]) -> Outcome:
        refs = np.array([self.store.ref(self.key(name)) for name in names], np.int64)
        outcome = self.store.append(
            refs, np.array(times, np.int64), np.array(values, np.float64), 2**60
        )
        self.store.sync()
        return outcome

    def read(self, first_ms: int = -(2**61), last_ms: int = 2**61) -> Samples:
        every = [Matcher("__name__", Op.LIKE, ".+")]
        selection = finish(Reader(self.store).select(every, first_ms, last_ms, unlimited()))
        frame = selection.frame  # type: ignore[attr-defined]
        found: Samples = {}
        for row, key in enumerate(selection.keys):  # type: ignore[attr-defined]
            lane = frame.lane_of[row]
            count = int(frame.counts[lane])
            times = frame.times[lane, :count].tolist()
            values = frame.values[row, :count].tolist()
            kept = [(t, v) for t, v in zip(times, values, strict=True) if first_ms <= t <= last_ms]
            if kept:
                found[dict(pairs_of(key))["__name__"]] = kept
        return found

    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.folder, self.limits, self.options)

    def upkeep(self) -> None:
        finish(self.store.maintain())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallStore]:
    store = SmallStore(tmp_path / "data", SMALL_LIMITS, Options())
    yield store
    store.store.close()


@pytest.fixture
def open_small(tmp_path: Path) -> Iterator[Callable[..., SmallStore]]:
    opened: list[SmallStore] = []

    def opener(
        folder: Path | None = None, limits: Limits = SMALL_LIMITS, options: Options | None = None
    ) -> SmallStore:
        opened.append(SmallStore(folder or tmp_path / "data", limits, options or Options()))
        return opened[-1]

    yield opener
    for store in opened:
        store.store.close()
