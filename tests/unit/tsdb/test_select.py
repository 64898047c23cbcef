"""A query that pauses answers as if it had not: what goes on meanwhile changes nothing."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsdb.budget import Budget, unlimited
from tsdb.columns.labels import key_of_dict, pairs_of
from tsdb.columns.matching import Matcher, Op
from tsdb.columns.selection import Selection
from tsdb.errors import LimitExceeded
from tsdb.head.arena import COLUMNS
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.select import Reader

OPTIONS = Options(out_of_order_s=0.2, block_span_s=1.0, compacted_span_s=3.0, checkpoint_bytes=600)
SERIES = 40
WITH_NUMBER = [Matcher("number", Op.LIKE, ".+")]
type Samples = dict[str, dict[int, float]]


def put(small: Any, numbers: range, times: Iterable[int], value: float) -> None:
    refs = [small.store.ref(key_of_dict({"__name__": "m", "number": str(one)})) for one in numbers]
    for at in times:
        columns = np.array(refs), np.full(len(refs), at), np.full(len(refs), value)
        assert small.store.append(*columns, 2**60).accepted == len(refs)


def samples_of(selection: Selection) -> Samples:
    frame, found = selection.frame, {}
    for row, key in enumerate(selection.keys):
        stop = int(frame.counts[frame.lane_of[row]])
        times, values = frame.times[frame.lane_of[row], :stop], frame.values[row, :stop]
        found[dict(pairs_of(key))["number"]] = dict(
            zip(times.tolist(), values.tolist(), strict=True)
        )
    return found


def read_until(
    steps: Iterator[Selection | None], at_pause: int, then: Callable[[], None]
) -> tuple[Samples, int]:
    """Return the answer and how many pauses there were; at one of them something happens."""
    for pauses, found in enumerate(steps):
        if found is not None:
            return samples_of(found), pauses
        if pauses == at_pause:
            then()
    raise AssertionError("no answer")


def flushed(small: Any) -> None:
    """Blocks are written and merged, all series go, and others get their rows."""
    put(small, range(900, 901), (9000, 12_000), -1.0)
    small.upkeep()
    assert small.store.counters.merges == 1
    put(small, range(100, 100 + SERIES), (12_100,), -7.0)


def sealed(small: Any) -> None:
    """The newest samples of every series move into strips."""
    put(small, range(SERIES), range(3000, 3000 + COLUMNS), 8.0)


@pytest.mark.parametrize("happening", [flushed, sealed])
def test_what_happens_at_a_pause_changes_no_answer(
    open_small: Callable[..., Any], tmp_path: Path, happening: Callable[[Any], None]
) -> None:
    for pause in count():
        small = open_small(folder=tmp_path / str(pause), options=OPTIONS)
        put(small, range(SERIES), range(0, 3000, 10), 1.0)
        if happening is flushed:
            small.upkeep()
            assert len(small.store.blocks) == 2
        steps = Reader(small.store).select(WITH_NUMBER, 0, 20_000, unlimited())

        found, pauses = read_until(steps, pause, partial(happening, small))

        wanted = dict.fromkeys(range(0, 3000, 10), 1.0)
        for number in map(str, range(SERIES)):
            old = {at: value for at, value in found[number].items() if at < 3000}
            new = set(found[number]) - set(old)
            assert old == wanted, f"pause {pause}, series {number}"
            assert new <= set(range(3000, 3000 + COLUMNS)), f"pause {pause}, series {number}"
        if pause >= pauses:
            assert pauses > 3
            return


def test_a_file_of_a_merged_block_is_open_until_its_last_reader_goes(
    open_small: Callable[..., Any],
) -> None:
    small = open_small(options=OPTIONS)
    put(small, range(SERIES), range(0, 3000, 50), 1.0)
    reader = Reader(small.store)
    small.upkeep()
    steps = reader.select(WITH_NUMBER, 0, 20_000, unlimited())
    next(steps)
    flushed(small)
    gc.disable()
    try:
        assert removed_and_open(small.folder)
        steps.close()  # type: ignore[attr-defined]
        for _ in reader.select(WITH_NUMBER, 0, 20_000, unlimited()):
            pass
        assert not removed_and_open(small.folder)
    finally:
        gc.enable()


def removed_and_open(folder: Path) -> list[str]:
    lines = Path(f"/proc/{os.getpid()}/maps").read_text().splitlines()
    return [line for line in lines if str(folder) in line and line.endswith("(deleted)")]


def test_plans_made_by_many_at_once_are_counted_once(small: Any) -> None:
    """Counted more than once they would fill the room for plans for ever."""
    put(small, range(SERIES), (0,), 1.0)
    reader = Reader(small.store)
    for number in range(3):
        together(reader)
        put(small, range(100 + number, 101 + number), (0,), 1.0)
    assert reader._planned_series == sum(len(plan.keys) for plan in reader._plans.values())


def together(reader: Reader) -> None:
    waiting = [reader.select(WITH_NUMBER, 0, 10, unlimited()) for _ in range(4)]
    while waiting:
        waiting = [steps for steps in waiting if next(steps, waiting) is None]


def test_the_limit_of_series_is_that_of_the_whole_answer(open_small: Callable[..., Any]) -> None:
    small = open_small(options=OPTIONS)
    put(small, range(30), range(0, 1000, 100), 1.0)
    put(small, range(900, 901), (9000,), 1.0)
    small.upkeep()
    put(small, range(30, 60), (9450,), 1.0)
    reader = Reader(small.store)
    limits = Limits(query_series=40)
    for _ in range(2):
        budget = Budget(limits, lambda: 0.0, 1.0)
        with pytest.raises(LimitExceeded, match="query_series"):
            list(reader.select(WITH_NUMBER, 0, 20_000, budget))
