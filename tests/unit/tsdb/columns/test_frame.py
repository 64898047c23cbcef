"""Laws of frames: however samples are cut into parts, together they are the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.frame import NEVER_MS, Frame, FrameRows, assemble, compact, lanes_of, restrict
from tsdb.columns.strip import decode_lanes, decode_strip, encode_strip

type Row = dict[int, float]

TIMES = st.integers(0, 60)
ROWS = st.dictionaries(TIMES, st.integers(0, 9).map(float), max_size=12)


def frame_of(rows: list[Row]) -> Frame:
    counts = np.array([len(row) for row in rows], np.int64)
    width = int(counts.max(initial=0))
    times = np.full((len(rows), width), -1, np.int64)
    values = np.full((len(rows), width), -1.0)
    for index, row in enumerate(rows):
        times[index, : len(row)] = sorted(row)
        values[index, : len(row)] = [row[t] for t in sorted(row)]
    lanes, lane_counts, lane_of = lanes_of(times, counts)
    return Frame(lanes, lane_counts, lane_of, values)


def rows_of(frame: Frame) -> list[Row]:
    rows = []
    for index, lane in enumerate(frame.lane_of.tolist()):
        count = int(frame.counts[lane])
        times = frame.times[lane, :count].tolist()
        rows.append(dict(zip(times, frame.values[index, :count].tolist(), strict=True)))
    return rows


@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_rows_keep_their_samples_and_share_their_lanes(rows: list[Row]) -> None:
    frame = frame_of(rows)

    assert rows_of(frame) == rows
    assert len(frame.counts) == len({tuple(sorted(row)) for row in rows})
    for lane, count in zip(frame.times, frame.counts, strict=True):
        assert (lane[count:] == NEVER_MS).all()


@given(
    row_count=st.integers(1, 5),
    parts=st.lists(st.dictionaries(st.integers(0, 4), ROWS, min_size=1, max_size=5), max_size=5),
)
def test_parts_become_one_and_the_first_to_name_a_time_wins(
    row_count: int, parts: list[dict[int, Row]]
) -> None:
    wanted: list[Row] = [{} for _ in range(row_count)]
    made = []
    for part in parts:
        chosen = {row: samples for row, samples in sorted(part.items()) if row < row_count}
        if not chosen:
            continue
        made.append(FrameRows(np.array(list(chosen), np.intp), frame_of(list(chosen.values()))))
        for row, samples in chosen.items():
            wanted[row] = samples | wanted[row]

    frame = assemble(row_count, made)

    assert rows_of(frame) == wanted
    for lane, count in zip(frame.times, frame.counts, strict=True):
        assert (np.diff(lane[:count]) > 0).all()


@given(rows=st.lists(ROWS, min_size=1, max_size=5), first=TIMES, last=TIMES)
def test_restricting_keeps_what_lies_between(rows: list[Row], first: int, last: int) -> None:
    expected = [{t: v for t, v in row.items() if first <= t <= last} for row in rows]

    assert rows_of(restrict(frame_of(rows), first, last)) == expected


@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_a_strip_gives_its_rows_back(rows: list[Row]) -> None:
    kept, frame = compact(frame_of(rows))
    assert [rows[row] for row in kept.tolist()] == rows_of(frame)
    if not len(kept):
        return

    strip = encode_strip(frame)
    decoded = decode_strip(strip.row_count, decode_lanes(strip.lanes), strip.body)

    assert rows_of(decoded) == rows_of(frame)
    assert strip.first_ms == min(min(row) for row in rows if row)
    assert strip.last_ms == max(max(row) for row in rows if row)
