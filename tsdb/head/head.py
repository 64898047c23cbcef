"""The head: series and samples that are not yet in a block. Memory only; store.py adds the log.

A sample goes through three places: the arena (newest, uncompressed), a strip of its slab (sealed,
coded), and in the end a block. Samples that came late take a side road, see ooo.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tsdb.columns.cache import StripCache
from tsdb.columns.codec import FAST, Floats, Ints, Rows
from tsdb.columns.frame import EVER, Frame, FrameRows, assemble, compact, restrict, take
from tsdb.columns.labels import Key, metric_in, pairs_of
from tsdb.columns.strip import Strip, decode_lanes, decode_strip, encode_strip
from tsdb.errors import Overloaded
from tsdb.head.arena import COLUMNS, KEPT, Arena
from tsdb.head.memindex import MemoryIndex
from tsdb.head.ooo import LateSamples, padded
from tsdb.head.slabs import Piece, Slab, Slabs
from tsdb.limits import Limits

type Bools = NDArray[np.bool_]

# So many late samples are worth a strip of their own.
LATE_SAMPLES_FOLDED = 65_536
# Slabs of small metrics are not full: reserve rows (not memory) beyond the limit of series.
ROWS_PER_SERIES = 4


@dataclass(frozen=True)
class Batch:
    """Samples by row, unique and ascending by (row, time)."""

    rows: Rows
    times: Ints
    values: Floats

    def where(self, chosen: Bools) -> "Batch":
        return Batch(self.rows[chosen], self.times[chosen], self.values[chosen])


def in_order(batch: Batch) -> tuple[Batch, tuple[int, int]]:
    """Return a batch by row and time, and how many twins it lost: with the same value, and not.

    Of two samples of a series at one time, the first stays.
    """
    rows, times = batch.rows, batch.times
    if (rows[1:] > rows[:-1]).all():
        return batch, (0, 0)
    order = np.lexsort((times, rows))
    rows, times, values = rows[order], times[order], batch.values[order]
    twin = (rows[1:] == rows[:-1]) & (times[1:] == times[:-1])
    if not twin.any():
        return Batch(rows, times, values), (0, 0)
    bits = values.view(np.int64)
    same = int((twin & (bits[1:] == bits[:-1])).sum())
    first: Bools = np.concatenate(([True], ~twin))
    kept = Batch(rows, times, values).where(first)
    return kept, (same, int(twin.sum()) - same)


class Head:
    """Series by key and by ref, and their samples. A ref is never given to another series."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.index = MemoryIndex()
        self.cache = StripCache(limits.strip_cache_bytes)
        self._slabs = Slabs(limits.series * ROWS_PER_SERIES)
        self._arena = Arena(limits.series * ROWS_PER_SERIES)
        self._late = LateSamples()
        self._ref_of: dict[Key, int] = {}
        self._key_of_row: list[Key | None] = []
        # Grows with every series there ever was, so it is kept narrow.
        self._row_of_ref = np.full(1024, -1, np.int32)
        self._ref_of_row = np.zeros(1024, np.uint32)
        self.next_ref = 0
        # How many series went: a reader compares it after a pause to see whether its rows hold.
        self.forgotten_count = 0
        # Older samples are refused; and those older than settled_ms are in blocks.
        self.earliest_ms = -(2**62)
        self.settled_ms = -(2**62)
        self.newest_ms = -(2**62)

    def __len__(self) -> int:
        return len(self._ref_of)

    def ref(self, key: Key) -> int | None:
        return self._ref_of.get(key)

    @property
    def ref_of(self) -> dict[Key, int]:
        """The table behind ref, for loops over requests. Not to be changed."""
        return self._ref_of

    def add_series(self, key: Key, ref: int | None = None) -> int:
        """Return the ref of a new series; a restart says which it had.

        Raises:
            Overloaded: there are as many series as the limit allows.
        """
        if len(self._ref_of) >= self._limits.series:
            raise Overloaded("series", self._limits.series, len(self._ref_of) + 1)
        pairs = pairs_of(key)
        row = self._slabs.new_row(metric_in(pairs))
        if row < 0:
            raise Overloaded("series", self._limits.series, len(self._ref_of) + 1)
        ref = self.next_ref if ref is None else ref
        self.next_ref = max(self.next_ref, ref + 1)
        self._row_of_ref = _room(self._row_of_ref, ref, -1)
        self._ref_of_row = _room(self._ref_of_row, row, 0)
        self._row_of_ref[ref], self._ref_of_row[row] = row, ref
        self._ref_of[key] = ref
        if row >= len(self._key_of_row):
            self._key_of_row += [None] * (row + 1 - len(self._key_of_row))
        self._key_of_row[row] = key
        self.index.add(row, pairs)
        return ref

    def add_alias(self, key: Key, ref: int) -> None:
        """Let another ref also mean a series: it was forgotten and made anew before a crash."""
        row = int(self._row_of_ref[self._ref_of[key]])
        self.next_ref = max(self.next_ref, ref + 1)
        self._row_of_ref = _room(self._row_of_ref, ref, -1)
        self._row_of_ref[ref], self._ref_of_row[row] = row, ref
        self._ref_of[key] = ref

    def rows_of(self, refs: NDArray[np.integer]) -> Rows:
        """Return the row of each ref, or -1 for a ref that is not, or no longer, a series."""
        known = (refs >= 0) & (refs < len(self._row_of_ref))
        if known.all():
            found: Rows = self._row_of_ref[refs].astype(np.intp)
            return found
        rows: Rows = self._row_of_ref[np.where(known, refs, 0)].astype(np.intp)
        return np.where(known, rows, -1)

    def refs_of(self, rows: Rows) -> NDArray[np.uint32]:
        return self._ref_of_row[rows]

    def keys_of(self, rows: Iterable[int]) -> list[Key]:
        return [self._key_of_row[row] or b"" for row in rows]

    def newest_of(self, rows: Rows) -> Ints:
        return self._arena.newest_ms(rows)

    def known_again(self, late: Batch) -> tuple[Bools, Bools]:
        """Return which late samples are here already, and which of those with another value."""
        here, other = np.zeros(len(late.rows), bool), np.zeros(len(late.rows), bool)
        place, found = self._arena.holds(late.rows, late.times)
        here[place] = True
        other[place] = found.view(np.int64) != late.values[place].view(np.int64)
        return here, other

    def late_room(self) -> int:
        return self._limits.out_of_order_samples - self._late.count

    def add_fresh(self, batch: Batch) -> None:
        """Take samples that are newer than what their series have."""
        rows, times, values = batch.rows, batch.times, batch.values
        if not len(rows):
            return
        self.newest_ms = max(self.newest_ms, int(times.max()))
        again = rows[1:] == rows[:-1]
        if not again.any():
            columns = self._room_for(rows)
            self._arena.put(rows, columns, times, values)
            return
        starts = np.flatnonzero(np.concatenate(([True], ~again)))
        lengths = np.diff(np.append(starts, len(rows)))
        nth = np.arange(len(rows)) - np.repeat(starts, lengths)
        while len(rows):
            columns = self._room_for(rows) + nth
            fits = columns < COLUMNS
            self._arena.put(rows[fits], columns[fits], times[fits], values[fits])
            rows, times, values = rows[~fits], times[~fits], values[~fits]
            nth = nth[~fits] - (COLUMNS - (columns - nth)[~fits])

    def add_late(self, batch: Batch) -> None:
        """Take samples that are older than their series' newest one."""
        if len(batch.rows):
            self._late.add(batch.rows, batch.times, batch.values)
            if self._late.count >= LATE_SAMPLES_FOLDED:
                self._fold_late()

    def _room_for(self, rows: Rows) -> Ints:
        """Return the first free column of each row, sealing slabs that have none for some."""
        columns = self._arena.filled[rows]
        full = columns >= COLUMNS
        if full.any():
            for slab, _, _ in list(self._slabs.among(np.sort(rows[full]))):
                self._seal(slab)
            columns = self._arena.filled[rows]
        return columns

    def _seal(self, slab: Slab) -> None:
        """Code all but the newest samples of a slab."""
        rows = np.arange(slab.first, slab.first + slab.size)
        counts = self._arena.filled[rows] - KEPT
        rows, counts = rows[counts > 0], counts[counts > 0]
        if len(rows):
            self._add_piece(slab, rows, self._arena.oldest(rows, counts))
            self._arena.drop_oldest(rows, counts)

    def _add_piece(self, slab: Slab, rows: Rows, frame: Frame) -> None:
        piece = Piece(rows - slab.first, encode_strip(frame, FAST), self._slabs.next_serial())
        slab.pieces = (*slab.pieces, piece)

    def _fold_late(self) -> None:
        rows, times, values = self._late.all()
        for slab, start, stop in list(self._slabs.among(rows)):
            distinct, lefts, counts = np.unique(
                rows[start:stop], return_index=True, return_counts=True
            )
            frame = padded(times[start:stop], values[start:stop], lefts, counts)
            self._add_piece(slab, distinct, frame)
        self._late.replace(rows[:0], times[:0], values[:0])

    def parts(self, rows: Rows, first_ms: int, last_ms: int) -> Iterator[FrameRows]:
        """Return what the head has now of ascending rows, in such order that assemble may trust it.

        A part may hold more than was asked for. Sealed strips are decoded one by one, so that a
        long read can be stopped; what is sealed, forgotten or given to others meanwhile does not
        change the answer.
        """
        sealed = [
            (piece, rows[start:stop] - slab.first, start)
            for slab, start, stop in self._slabs.among(rows)
            for piece in slab.pieces
            if piece.strip.last_ms >= first_ms and piece.strip.first_ms <= last_ms
        ]
        open_parts = [self._arena.read(rows, first_ms, last_ms), self._late.read(rows)]
        return chain(
            self._sealed_parts(sealed, first_ms, last_ms),
            (part for part in open_parts if part is not None),
        )

    def _sealed_parts(
        self, sealed: Sequence[tuple[Piece, Rows, int]], first_ms: int, last_ms: int
    ) -> Iterator[FrameRows]:
        for piece, offsets, start in sealed:
            part = self._read_piece(piece, offsets)
            if part is not None:
                yield FrameRows(part.rows + start, restrict(part.frame, first_ms, last_ms))

    def _read_piece(self, piece: Piece, offsets: Rows) -> FrameRows | None:
        """Return of one piece what it has of some rows of its slab (both ascending)."""
        places = np.searchsorted(piece.offsets, offsets)
        places = np.minimum(places, len(piece.offsets) - 1)
        have = np.flatnonzero(piece.offsets[places] == offsets)
        if not len(have):
            return None
        wanted = places[have]
        frame = self.cache.get(piece.serial)
        if frame is not None:
            return FrameRows(have, take(frame, wanted))
        strip = piece.strip
        lanes = decode_lanes(strip.lanes)
        if 4 * len(wanted) < strip.row_count:
            return FrameRows(have, decode_strip(strip.row_count, lanes, strip.body, wanted))
        frame = decode_strip(strip.row_count, lanes, strip.body)
        self.cache.put(piece.serial, frame)
        return FrameRows(have, frame if len(wanted) == strip.row_count else take(frame, wanted))

    def frame(self, rows: Rows, first_ms: int, last_ms: int) -> Frame:
        """Return all samples of ascending rows between two times, both included."""
        parts = list(self.parts(rows, first_ms, last_ms))
        return restrict(assemble(len(rows), parts), first_ms, last_ms)

    def oldest_ms(self) -> int | None:
        """Return a time that no sample of the head is older than, or None where there is none."""
        times = [p.strip.first_ms for slab in self._slabs.all() for p in slab.pieces]
        rows = np.arange(len(self._key_of_row))
        used = rows[self._arena.filled[rows] > 0]
        if len(used):
            times.append(int(self._arena.times[used, 0].min()))
        if self._late.count:
            times.append(int(self._late.all()[1].min()))
        return min(times, default=None)

    def touched(self, rows: Rows, first_ms: int, last_ms: int) -> Bools:
        """Say which of ascending rows may have a sample in a span: by strips, not by samples."""
        filled, times = self._arena.filled[rows], self._arena.times
        newest = times[rows, np.maximum(filled - 1, 0)]
        touched: Bools = (filled > 0) & (times[rows, 0] <= last_ms) & (newest >= first_ms)
        for slab, start, stop in self._slabs.among(rows):
            offsets = rows[start:stop] - slab.first
            for piece in slab.pieces:
                if piece.strip.first_ms <= last_ms and piece.strip.last_ms >= first_ms:
                    touched[start:stop] |= np.isin(offsets, piece.offsets)
        late_rows, late_times, _ = self._late.all()
        is_within = (late_times >= first_ms) & (late_times <= last_ms)
        return touched | np.isin(rows, late_rows[is_within])

    def slabs(self) -> list[Slab]:
        """Return where the series lie, metric after metric by name."""
        return self._slabs.by_metric()

    def live_rows(self, slab: Slab) -> Rows:
        keys = self._key_of_row[slab.first : slab.first + slab.size]
        live = [slab.first + offset for offset, key in enumerate(keys) if key is not None]
        return np.array(live, np.intp)

    def unsealed(self, rows: Rows) -> Iterator[FrameRows]:
        """Yield what ascending rows have in no piece: the newest samples, then the late ones."""
        for part in (self._arena.read(rows, -EVER, EVER), self._late.read(rows)):
            if part is not None:
                yield part

    def adopt(self, rows: Rows, strip: Strip) -> None:
        """Take a sealed strip, row i of which belongs to rows[i], as a checkpoint kept it."""
        self.newest_ms = max(self.newest_ms, strip.last_ms)
        slab = self._slabs.of_row(int(rows[0]))
        if (
            strip.first_ms >= self.settled_ms
            and slab.first <= rows[0]
            and rows[-1] < slab.first + slab.size
            and (rows[1:] > rows[:-1]).all()
        ):
            offsets = rows - slab.first
            slab.pieces = (*slab.pieces, Piece(offsets, strip, self._slabs.next_serial()))
            return
        # Series went since it was sealed, and others have their places: its rows part.
        whole = decode_strip(strip.row_count, decode_lanes(strip.lanes), strip.body)
        order = np.argsort(rows)
        order = order[rows[order] >= 0]
        kept, frame = compact(restrict(take(whole, order), self.settled_ms, strip.last_ms))
        rows = rows[order[kept]]
        for slab, start, stop in list(self._slabs.among(rows)):
            inside, part = compact(take(frame, np.arange(start, stop)))
            self._add_piece(slab, rows[start:stop][inside], part)

    def forget_before(self, earliest_ms: int) -> Iterator[None]:
        """Let go of samples before a time, and of series without any since; slab by slab."""
        rows, times, values = self._late.all()
        stay = times >= earliest_ms
        self._late.replace(rows[stay], times[stay], values[stay])
        for slab in list(self._slabs.all()):
            self._forget_in(slab, earliest_ms)
            yield

    def _forget_in(self, slab: Slab, earliest_ms: int) -> None:
        pieces = []
        for piece in slab.pieces:
            if piece.strip.first_ms >= earliest_ms:
                pieces.append(piece)
            elif piece.strip.last_ms >= earliest_ms:
                strip = piece.strip
                whole = decode_strip(strip.row_count, decode_lanes(strip.lanes), strip.body)
                kept, frame = compact(restrict(whole, earliest_ms, strip.last_ms))
                serial = self._slabs.next_serial()
                pieces.append(Piece(piece.offsets[kept], encode_strip(frame, FAST), serial))
        slab.pieces = tuple(pieces)
        rows = np.arange(slab.first, slab.first + slab.size)
        used = np.arange(COLUMNS)[None, :] < self._arena.filled[rows][:, None]
        old = ((self._arena.times[rows] < earliest_ms) & used).sum(axis=1)
        if old.any():
            self._arena.drop_oldest(rows[old > 0], old[old > 0])
        newest = self._arena.newest_ms(rows)
        for row in rows[newest < earliest_ms].tolist():
            self._forget_series(row)

    def _forget_series(self, row: int) -> None:
        key = self._key_of_row[row] if row < len(self._key_of_row) else None
        if key is None:
            return
        self.forgotten_count += 1
        self._key_of_row[row] = None
        self.index.remove(row, pairs_of(key))
        self._row_of_ref[self._ref_of.pop(key)] = -1
        self._arena.forget(row)
        self._slabs.give_back(row)

    def size_bytes(self) -> int:
        """Return the bytes of sealed strips."""
        return self._slabs.size_bytes()

    @property
    def late_count(self) -> int:
        return self._late.count


def _room[N: np.generic](numbers: NDArray[N], index: int, filler: int) -> NDArray[N]:
    if index < len(numbers):
        return numbers
    more = np.full(max(2 * len(numbers), index + 1), filler, numbers.dtype)
    more[: len(numbers)] = numbers
    return more
