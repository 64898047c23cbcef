"""The store against a model: a dictionary that forgets nothing it was told."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tsdb.errors import BadData, LimitExceeded, Overloaded
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.storage.store import AlreadyOpen, open_store

SPAN_MS = 200
LATE_MS = 80
OPTIONS = Options(
    block_span_s=SPAN_MS / 1000,
    out_of_order_s=LATE_MS / 1000,
    retention_s=3600.0,
    compacted_span_s=10 * SPAN_MS / 1000,
    # A checkpoint with nearly every upkeep.
    checkpoint_bytes=300,
)
NAMES = ["a", "b", "c", "d", "e", "f"]


class StoreAndModel(RuleBasedStateMachine):
    """Random lives: appends in any order, restarts, blocks, merges; always the same samples."""

    small_store: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.small = self.small_store(Path(self.folder.name) / "data", Limits(series=50), OPTIONS)
        self.model: dict[str, dict[int, float]] = {}
        self.clock = 1000

    def teardown(self) -> None:
        self.small.store.close()
        self.folder.cleanup()

    @rule(
        samples=st.lists(
            st.tuples(st.sampled_from(NAMES), st.integers(-120, 60), st.integers(0, 50)),
            min_size=1,
            max_size=30,
        )
    )
    def append(self, samples: list[tuple[str, int, int]]) -> None:
        self.clock += 20
        names = [name for name, _, _ in samples]
        times = [self.clock + shift for _, shift, _ in samples]
        values = [float(value) for _, _, value in samples]
        earliest_ms = self.small.store.head.earliest_ms
        newest = {name: max(found, default=-1) for name, found in self.model.items()}

        outcome = self.small.put_columns(names, times, values)

        assert outcome.accepted + outcome.known + outcome.refused == len(samples)
        for name, at, value in zip(names, times, values, strict=True):
            known = self.model.setdefault(name, {})
            if at >= earliest_ms and at >= newest.get(name, -1) - LATE_MS:
                known.setdefault(at, value)

    @rule(count=st.integers(50, 200), name=st.sampled_from(NAMES))
    def append_a_run(self, count: int, name: str) -> None:
        times = [self.clock + 61 + step for step in range(count)]
        self.clock = times[-1]
        self.small.put_columns([name] * count, times, [float(t % 7) for t in times])
        self.model.setdefault(name, {}).update({t: float(t % 7) for t in times})

    @rule()
    def restart(self) -> None:
        self.small.reopen()

    @rule()
    def upkeep(self) -> None:
        self.small.upkeep()

    @invariant()
    def they_hold_the_same(self) -> None:
        expected = {name: sorted(found.items()) for name, found in self.model.items() if found}
        assert self.small.read() == expected


def test_a_store_and_its_model_agree_through_a_random_life(small: Any) -> None:
    machine = type("Machine", (StoreAndModel,), {"small_store": type(small)})
    lives = settings(max_examples=25, stateful_step_count=25, deadline=None)

    run_state_machine_as_test(machine, settings=lives)


def test_a_sample_of_a_time_that_is_there_changes_nothing(small: Any) -> None:
    assert small.put("a", 10, 1.0).accepted == 1
    assert small.put("a", 10, 1.0).known == 1
    assert small.put("a", 10, 2.0).conflicting == 1
    assert small.read() == {"a": [(10, 1.0)]}


def test_old_and_future_samples_are_refused_and_counted(small: Any) -> None:
    window_ms = int(small.options.out_of_order_s * 1000)
    future_ms = int(small.options.future_s * 1000)
    small.put("a", 10_000_000, 1.0)

    assert small.put("a", 10_000_000 - window_ms, 2.0).accepted == 1
    assert small.put("a", 10_000_000 - window_ms - 1, 3.0).too_old == 1
    assert small.put("a", 10_000_001 + future_ms, 4.0, now_ms=10_000_000).too_new == 1
    assert len(small.read()["a"]) == 2


def test_a_number_that_is_no_series_is_refused(small: Any) -> None:
    outcome = small.store.append(np.array([7, -1]), np.array([1, 1]), np.zeros(2), 2**60)

    assert (outcome.no_series, outcome.accepted) == (2, 0)


def test_columns_of_other_types_are_taken_and_of_other_lengths_refused(small: Any) -> None:
    ref = small.store.ref(small.key("a"))
    narrow = np.array([1000, 2000], np.int32), np.array([1, 2], np.int8)
    assert small.store.append(np.array([ref, ref]), *narrow, 2**60).accepted == 2
    with pytest.raises(BadData):
        small.store.append(np.array([ref]), *narrow, 2**60)

    small.reopen()

    assert small.read() == {"a": [(1000, 1.0), (2000, 2.0)]}


def test_one_series_too_many_is_a_clear_error(open_small: Callable[..., Any]) -> None:
    small = open_small(limits=Limits(series=3))
    for name in ("a", "b", "c"):
        small.put(name, 1, 1.0)

    with pytest.raises(Overloaded, match="series"):
        small.put("d", 1, 1.0)
    small.put("a", 2, 1.0)


def test_a_request_with_too_many_samples_is_a_clear_error(open_small: Callable[..., Any]) -> None:
    small = open_small(limits=Limits(series=3, samples_per_request=2))

    with pytest.raises(LimitExceeded, match="samples_per_request"):
        small.put_columns(["a"] * 3, [1, 2, 3], [0.0] * 3)


def test_late_samples_have_a_limit_and_then_are_refused(open_small: Callable[..., Any]) -> None:
    small = open_small(limits=Limits(series=3, out_of_order_samples=2))
    small.put("a", 1000, 1.0)

    assert [small.put("a", 1000 - step, 1.0).no_room for step in (1, 2, 3)] == [0, 0, 1]


def test_a_folder_has_one_store_at_a_time(small: Any) -> None:
    with pytest.raises(AlreadyOpen):
        open_store(small.folder)


def test_blocks_older_than_the_retention_go(open_small: Callable[..., Any]) -> None:
    small = open_small(
        options=Options(
            out_of_order_s=0.2, block_span_s=1.0, retention_s=10.0, compacted_span_s=1.0
        )
    )
    for second in range(40):
        small.put("a", second * 1000, float(second))
        small.put("b", second * 1000 + 7, float(second))
    small.upkeep()
    small.upkeep()

    oldest_ms = small.read()["a"][0][0]
    assert 39_000 - 12_000 <= oldest_ms <= 39_000 - 9_000


def test_blocks_over_the_size_limit_go_oldest_first(open_small: Callable[..., Any]) -> None:
    options = Options(
        out_of_order_s=0.2, block_span_s=1.0, retention_bytes=2000, compacted_span_s=1.0
    )
    small = open_small(options=options)
    for second in range(40):
        small.put("a", second * 1000, float(second))
    small.upkeep()

    assert sum(block.size_bytes for block in small.store.blocks) <= 2000
    assert small.read()["a"][-1] == (39_000, 39.0)


def test_merged_blocks_hold_what_their_sources_held(open_small: Callable[..., Any]) -> None:
    small = open_small(options=Options(out_of_order_s=0.2, block_span_s=1.0, compacted_span_s=9.0))
    wanted = [(second * 250, float(second)) for second in range(160)]
    for at, value in wanted:
        small.put("a", at, value)
    small.upkeep()

    assert small.store.counters.merges > 0
    assert max(block.footer.level for block in small.store.blocks) == 2
    assert small.read() == {"a": wanted}
    small.reopen()
    assert small.read() == {"a": wanted}


def test_a_series_without_samples_since_its_block_gives_its_place_to_another(
    open_small: Callable[..., Any],
) -> None:
    small = open_small(
        limits=Limits(series=7), options=Options(out_of_order_s=0.2, block_span_s=1.0)
    )
    for generation in range(20):
        for pod in range(3):
            small.put(f"pod_{generation}_{pod}", generation * 4000 + pod, 1.0)
        small.upkeep()

    assert len(small.store.head) <= 6
    assert len(small.read()) == 60


def test_a_log_that_has_grown_is_followed_by_a_checkpoint(open_small: Callable[..., Any]) -> None:
    small = open_small(options=Options(checkpoint_bytes=2000))
    wanted = []
    for at in range(200):
        wanted.append((at * 1000, float(at * at % 97)))
        small.put("a", *wanted[-1])
        small.upkeep()

    # Each as late as the one before it is large: their number does not grow with the log.
    assert 2 <= small.store.counters.checkpoints <= 10
    assert small.store.wal.size_bytes() < 6000
    small.reopen()
    assert small.read() == {"a": wanted}
    assert small.store.counters.replayed.pieces > 0


def test_a_snapshot_opens_as_a_store_with_the_same_samples(
    open_small: Callable[..., Any], tmp_path: Path
) -> None:
    small = open_small(options=Options(out_of_order_s=0.2, block_span_s=1.0))
    for second in range(100):
        small.put("a", second * 100, float(second))
    small.upkeep()
    for _ in small.store.snapshot("monday"):
        pass
    small.put("a", 20_000, 1.0)

    copy = open_small(folder=small.folder / "snapshots" / "monday")

    assert copy.read()["a"] == small.read()["a"][:-1]
    assert copy.store.blocks
