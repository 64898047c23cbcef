"""Writing the whole head as records, and building a head from records."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import FAST, Floats, Ints, Rows
from tsdb.columns.frame import Frame, compact
from tsdb.columns.strip import encode_strip
from tsdb.errors import Overloaded
from tsdb.head.head import Batch, Head, in_order
from tsdb.head.slabs import Slab
from tsdb.storage.wal import (
    BatchRecord,
    LogFile,
    MarkRecord,
    PieceRecord,
    Record,
    SeriesRecord,
    StripRecord,
    mark_payload,
    piece_payload,
    series_payload,
    strip_payload,
)

ROWS_PER_RECORD = 256


@dataclass
class Replayed:
    """What a restart read, and what it could not use. Samples are those that no piece held."""

    records: int = 0
    samples: int = 0
    pieces: int = 0
    orphans: int = 0
    refused_series: int = 0


def write_head(head: Head, file: LogFile) -> Iterator[None]:
    """Write all series and samples to a file, some hundred series at a time.

    What is sealed is written as it lies in memory: nine of ten samples, and nearly for free. A
    group is written without a pause: between two, a sample might go from one place to the next.

    Raises:
        DiskRefused, OSError: the disk is full or failing.
    """
    file.append(mark_payload(head.settled_ms))
    for slabs in _slab_groups(head):
        rows = np.sort(np.concatenate([head.live_rows(slab) for slab in slabs]))
        refs = head.refs_of(rows)
        file.append(series_payload(refs, head.keys_of(rows.tolist())))
        for slab in slabs:
            for piece in slab.pieces:
                file.append(piece_payload(head.refs_of(slab.first + piece.offsets), piece.strip))
        for part in head.unsealed(rows):
            kept, frame = compact(part.frame)
            if len(kept):
                file.append(strip_payload(refs[part.rows[kept]], encode_strip(frame, FAST)))
        yield


def _slab_groups(head: Head) -> Iterator[list[Slab]]:
    """Yield slabs with series, together some hundred: small ones share what a strip costs."""
    waiting: list[Slab] = []
    count = 0
    for slab in head.slabs():
        if len(slab.free) < slab.size:
            waiting.append(slab)
            count += slab.size
        if count >= ROWS_PER_RECORD:
            yield waiting
            waiting, count = [], 0
    if waiting:
        yield waiting


def row_groups(head: Head, size: int = ROWS_PER_RECORD) -> Iterator[Rows]:
    """Yield all rows, each group in ascending order, metric after metric by name."""
    waiting: list[int] = []
    for slab in head.slabs():
        waiting += head.live_rows(slab).tolist()
        while len(waiting) >= size:
            yield np.sort(np.array(waiting[:size], np.intp))
            del waiting[:size]
    if waiting:
        yield np.sort(np.array(waiting, np.intp))


def flattened(frame: Frame) -> tuple[Rows, Ints, Floats]:
    """Return the samples of a frame as columns, by row and time."""
    counts = frame.counts[frame.lane_of]
    rows, columns = np.nonzero(np.arange(frame.values.shape[1])[None, :] < counts[:, None])
    return rows, frame.times[frame.lane_of[rows], columns], frame.values[rows, columns]


class Replay:
    """Feeds records to a head; small batches are put together first, because that is faster."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._waiting: list[BatchRecord] = []
        self._waiting_samples = 0
        self.result = Replayed()

    def feed(self, record: Record) -> None:
        self.result.records += 1
        match record:
            case SeriesRecord():
                self._series(record)
            case BatchRecord():
                self._waiting.append(record)
                self._waiting_samples += len(record.refs)
                if self._waiting_samples >= 50_000:
                    self.finish()
            case StripRecord():
                self.finish()
                rows, times, values = flattened(record.frame)
                self._samples(record.refs[rows], times, values)
            case PieceRecord():
                self._piece(record)
            case MarkRecord():
                self._head.settled_ms = max(self._head.settled_ms, record.earliest_ms)
                self._head.earliest_ms = max(self._head.earliest_ms, record.earliest_ms)

    def finish(self) -> None:
        """Use what is still waiting."""
        if self._waiting:
            batches, self._waiting, self._waiting_samples = self._waiting, [], 0
            self._samples(
                np.concatenate([batch.refs for batch in batches]),
                np.concatenate([batch.times for batch in batches]),
                np.concatenate([batch.values for batch in batches]),
            )

    def _series(self, record: SeriesRecord) -> None:
        for ref, key in zip(record.refs.tolist(), record.keys, strict=True):
            if self._head.ref(key) is not None:
                self._head.add_alias(key, ref)
            else:
                try:
                    self._head.add_series(key, ref)
                except Overloaded:
                    self.result.refused_series += 1

    def _piece(self, record: PieceRecord) -> None:
        self.finish()
        rows = self._head.rows_of(record.refs.astype(np.int64))
        if (rows >= 0).any() and record.strip.last_ms >= self._head.settled_ms:
            self._head.adopt(rows, record.strip)
            self.result.pieces += 1

    def _samples(
        self, refs: np.ndarray[tuple[int], np.dtype[np.uint32]], times: Ints, values: Floats
    ) -> None:
        head = self._head
        rows = head.rows_of(refs.astype(np.int64))
        self.result.orphans += int((rows < 0).sum())
        good = (rows >= 0) & (times >= head.earliest_ms)
        batch, _ = in_order(Batch(rows[good], times[good], values[good]))
        self.result.samples += len(batch.rows)
        fresh = batch.times > head.newest_of(batch.rows)
        head.add_fresh(batch.where(fresh))
        if not fresh.all():
            late = batch.where(~fresh)
            here, _ = head.known_again(late)
            head.add_late(late.where(~here))
