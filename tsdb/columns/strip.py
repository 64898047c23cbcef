"""A strip: the samples of up to some hundred series over one span of time, coded together.

A strip is two byte strings. The *lanes* hold the distinct vectors of timestamps of its rows; many
strips have the same, which a block then keeps once. The *body* says the lane of each row and holds
the values. Both lie in memory in the head, and the same bytes lie on disk in a block.
"""

from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import (
    SMALL,
    Ints,
    Rows,
    decode_floats,
    decode_ints,
    encode_floats,
    encode_ints,
    join,
    pack,
    split,
    unpack,
    unpack_ints,
)
from tsdb.columns.frame import NEVER_MS, Frame
from tsdb.errors import Corrupt


@dataclass(frozen=True)
class Strip:
    """Coded samples of row_count rows, all of them between first_ms and last_ms, both included."""

    row_count: int
    first_ms: int
    last_ms: int
    lanes: bytes
    body: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.lanes) + len(self.body)


def encode_lanes(times: Ints, counts: Ints, level: int = SMALL) -> bytes:
    return join(
        [len(counts).to_bytes(4, "little"), pack(counts), encode_ints(times, counts, level)]
    )


def decode_lanes(blob: bytes | memoryview) -> tuple[Ints, Ints]:
    """Return times (NEVER_MS behind each end) and counts."""
    pieces = split(blob)
    if len(pieces) != 3 or len(pieces[0]) != 4:
        raise Corrupt("lanes have three pieces")
    counts = unpack_ints(pieces[1], int.from_bytes(pieces[0], "little"))
    times = decode_ints(pieces[2], counts)
    if counts.min() < times.shape[1]:
        times[np.arange(times.shape[1])[None, :] >= counts[:, None]] = NEVER_MS
    return times, counts


def encode_strip(frame: Frame, level: int = SMALL) -> Strip:
    """Return a frame as bytes. Every lane is used by a row and has at least one sample."""
    counts = frame.counts[frame.lane_of]
    lanes = encode_lanes(frame.times, frame.counts, level)
    shared = len(frame.counts) == 1
    body = join(
        [
            b"" if shared else pack(frame.lane_of.astype(np.uint32)),
            encode_floats(frame.values, counts, level),
        ]
    )
    first_ms = int(frame.times[:, 0].min())
    last_ms = int(frame.times[np.arange(len(frame.counts)), frame.counts - 1].max())
    return Strip(len(frame.lane_of), first_ms, last_ms, lanes, body)


def decode_strip(
    row_count: int, lanes: tuple[Ints, Ints], body: bytes | memoryview, rows: Rows | None = None
) -> Frame:
    """Return the frame of a strip, or the given rows of it, in their order."""
    times, lane_counts = lanes
    lane_blob, values_blob = split(body)
    lane_of = (
        unpack(lane_blob, np.uint32, row_count).astype(np.intp)
        if len(lane_blob)
        else np.zeros(row_count, np.intp)
    )
    values = decode_floats(values_blob, lane_counts[lane_of], rows)
    if rows is not None:
        lane_of = lane_of[rows]
    return Frame(times, lane_counts, lane_of, values)
