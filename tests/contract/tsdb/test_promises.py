"""What was acknowledged is there: after a power cut anywhere, and whatever upkeep does."""

import os
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.tsdb.forgetful import ForgetfulDisk, PowerCut
from tests.unit.tsdb.conftest import SMALL_LIMITS, SmallStore
from tsdb.budget import unlimited
from tsdb.columns.labels import key_of_dict
from tsdb.columns.matching import Matcher, Op
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import as_steps, finished
from tsdb.storage import wal
from tsdb.storage.disk import Disk
from tsdb.storage.store import Store, open_store

OPTIONS = Options(out_of_order_s=0.2, block_span_s=1.0, compacted_span_s=3.0, checkpoint_bytes=600)
# The steps of a life are shared out among so many tests: each has the suite's deadline.
SHARES = 4
SECONDS, SNAPSHOT_AT = 19, 14
type Samples = set[tuple[int, float]]


def lives_until_dark(store: Store, acknowledged: Samples) -> None:
    """Write, sync and keep house; what was synced counts as acknowledged."""
    for second in range(SECONDS):
        ref = store.ref(key_of_dict({"__name__": "a"}))
        samples = [(second * 250 + part, float(second)) for part in (0, 50, 100)]
        for at, value in samples:
            # Between two of these a segment may end, and all are acknowledged at once.
            store.append(np.array([ref]), np.array([at]), np.array([value]), 2**60)
        store.sync()
        acknowledged.update(samples)
        if second % 6 == 5:
            finished(as_steps(store.maintain()))
        if second == SNAPSHOT_AT:
            finished(as_steps(store.snapshot("monday")))


def opened_again(folder: Path) -> Samples:
    again = SmallStore(folder, SMALL_LIMITS, OPTIONS)
    found = set(again.read().get("a", []))
    again.store.close()
    return found


@pytest.mark.parametrize("first", range(SHARES))
@pytest.mark.parametrize("names_stay", [False, True])
def test_a_power_cut_at_any_step_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_stay: bool, first: int
) -> None:
    # Segments as small as this one begin anew every few records.
    monkeypatch.setattr(wal, "SEGMENT_BYTES", 150)
    for calls in count(first, SHARES):
        root = tmp_path / f"before-{calls}"
        disk = ForgetfulDisk(root, calls)
        acknowledged: Samples = set()
        store: Store | None = None
        try:
            store = open_store(root, SMALL_LIMITS, OPTIONS, disk)
            lives_until_dark(store, acknowledged)
        except PowerCut:
            pass
        is_over = disk.calls_left > 0

        disk.after_power_cut(tmp_path / f"after-{calls}", names_stay=names_stay)
        if store is not None:
            let_go(store)
        assert opened_again(tmp_path / f"after-{calls}") >= acknowledged, f"at call {calls}"
        if is_over:
            assert len(acknowledged) == 3 * SECONDS
            assert calls > 100
            return


def let_go(store: Store) -> None:
    """Give the descriptors back without a last sync."""
    store.disk = Disk()
    store.wal.close()
    for block in store.blocks:
        block.close()
    os.close(store._lock)


def test_a_snapshot_survives_a_power_cut_whole(tmp_path: Path) -> None:
    root = tmp_path / "before"
    disk = ForgetfulDisk(root)
    store = open_store(root, SMALL_LIMITS, OPTIONS, disk)
    acknowledged: Samples = set()
    lives_until_dark(store, acknowledged)

    disk.after_power_cut(tmp_path / "after", names_stay=False)

    let_go(store)
    found = opened_again(tmp_path / "after" / "snapshots" / "monday")
    assert found == {sample for sample in acknowledged if sample[0] <= SNAPSHOT_AT * 250 + 100}


@pytest.mark.parametrize("umask", [0, 0o022])
def test_the_folders_and_files_of_a_store_are_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        small = SmallStore(tmp_path / "above" / "data", SMALL_LIMITS, OPTIONS)
        for at in range(0, 4000, 250):
            small.put("a", at, 1.0)
        small.upkeep()
        finished(as_steps(small.store.snapshot("monday")))
        small.store.close()
    finally:
        os.umask(before)

    found = list((tmp_path / "above").rglob("*"))
    assert any(path.suffix == ".blk" for path in found)
    for path in (tmp_path / "above", *found):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("is_late", [False, True])
def test_what_comes_while_upkeep_works_is_refused_or_kept(
    open_small: Callable[..., Any], tmp_path: Path, is_late: bool
) -> None:
    """At every pause of upkeep a sample comes, new or late; then the process is gone."""
    for crash_at in count():
        small = open_small(folder=tmp_path / str(crash_at), options=OPTIONS)
        acknowledged: dict[str, set[int]] = {"a": set(), "b": set()}
        for at in range(0, 3000, 100):
            for name in acknowledged:
                small.put(name, at, float(at))
                acknowledged[name].add(at)

        pauses = upkeep_and_samples(small, acknowledged, crash_at, is_late=is_late)

        assert times_of(small) == acknowledged, f"pause {crash_at}"
        small.reopen()
        assert times_of(small) == acknowledged, f"pause {crash_at}, opened again"
        if pauses < crash_at:
            assert crash_at > 10
            return


def upkeep_and_samples(
    small: Any, acknowledged: dict[str, set[int]], crash_at: int, *, is_late: bool
) -> int:
    """Put a sample in at every pause of upkeep, up to one; return how many pauses there were."""
    pauses = 0
    steps = small.store.maintain()
    for pauses, _ in enumerate(steps):
        name, at = f"new{pauses}" if pauses % 2 else "a", 3000 + pauses
        if is_late:
            # Of a series that has no newer sample, within a span that may be on its way.
            name, at = f"late{pauses}", (700, 1700, 2750)[pauses % 3] + pauses
        if small.put(name, at, 1.0).accepted:
            acknowledged.setdefault(name, set()).add(at)
        if pauses == crash_at:
            break
    steps.close()
    return pauses


def times_of(small: Any) -> dict[str, set[int]]:
    return {name: {at for at, _ in found} for name, found in small.read().items()}


def names(reader: Reader, query: str, at_ms: int) -> list[str]:
    result = finished(Engine(reader, Limits()).instant(query, at_ms, unlimited()))
    return sorted(dict(line.pairs)["__name__"] for line in result.lines)


def test_a_selector_that_was_asked_before_sees_the_series_that_came_later(small: Any) -> None:
    reader = Reader(small.store)
    small.put("m1", 1000, 1.0)
    for known in range(1, 6):
        wanted = [f"m{number}" for number in range(1, known + 1)]
        for query in ('{__name__=~"m.*"}', '{__name__=~"m.*"} offset 0s'):
            assert names(reader, query, 1500) == wanted
        keys = finished(
            reader.series([[Matcher("__name__", Op.LIKE, "m.*")]], 0, 2000, unlimited())
        )
        assert len(keys) == known
        small.put(f"m{known + 1}", 1000 + known, 1.0)


def test_a_selector_that_was_asked_before_sees_what_became_a_block_and_came_again(
    open_small: Callable[..., Any],
) -> None:
    small = open_small(options=OPTIONS)
    reader = Reader(small.store)

    def counts() -> list[float]:
        engine = Engine(reader, Limits())
        results = [
            finished(engine.instant(f"count_over_time({name}[1h])", 20_000, unlimited()))
            for name in ("a", "b")
        ]
        return [float(line.values[0]) for result in results for line in result.lines]

    for at in range(0, 3000, 500):
        small.put("a", at, 1.0)
    assert counts() == [6.0]
    small.upkeep()
    assert counts() == [6.0]
    small.put("b", 9000, 1.0)
    small.upkeep()
    assert counts() == [6.0, 1.0]
    # Series a was forgotten by the head with its block; it has another number now.
    small.put("a", 9100, 1.0)
    assert counts() == [7.0, 1.0]
