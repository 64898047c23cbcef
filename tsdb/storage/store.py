"""The store: a folder with a log and blocks, a head in memory, and what may be done with them.

Everything here is called from one thread and does not wait. An acknowledgement is earned in two
steps: append writes to the log, sync makes it survive a power cut. What takes long is a generator
that can be left and resumed between two series groups: appends and queries may come in between.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubernetes.host.log import Log
from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.columns.frame import EVER, compact
from tsdb.columns.labels import Key
from tsdb.columns.strip import encode_strip
from tsdb.errors import BadData, Corrupt, DiskRefused, LimitExceeded, Overloaded, TsdbError
from tsdb.head.head import Batch, Head, in_order
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.storage.block import Block, BlockWriter
from tsdb.storage.checkpoint import Replay, Replayed, row_groups, write_head
from tsdb.storage.compaction import BlockFacts, expired, merge_plan
from tsdb.storage.disk import Disk
from tsdb.storage.merging import merged
from tsdb.storage.records import Damage
from tsdb.storage.wal import LogFile, Wal, batch_payload, read_log, series_payload

log = Log(__name__)

type RefColumn = NDArray[np.integer]


class AlreadyOpen(TsdbError):
    """Another process has this folder."""


@dataclass
class Outcome:
    """What became of the samples of an append. `known` were here before: nothing to do."""

    accepted: int = 0
    known: int = 0
    too_old: int = 0
    too_new: int = 0
    conflicting: int = 0
    no_series: int = 0
    no_room: int = 0
    # Of series whose labels are wrong, too many or too long: the doors count these.
    bad_series: int = 0

    @property
    def refused(self) -> int:
        refused: int = sum(vars(self).values()) - self.accepted - self.known
        return refused

    def add(self, other: "Outcome") -> None:
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass
class Counters:
    """What happened since the store was opened."""

    outcome: Outcome = field(default_factory=Outcome)
    log_damage: Damage = field(default_factory=Damage)
    replayed: Replayed = field(default_factory=Replayed)
    corrupt_blocks: int = 0
    syncs: int = 0
    blocks_written: int = 0
    merges: int = 0
    checkpoints: int = 0
    disk_refusals: int = 0


type Tap = Callable[[Rows, Ints, Floats], None]


class Store:
    """Open with `open_store`."""

    def __init__(self, folder: Path, limits: Limits, options: Options, disk: Disk) -> None:
        self.folder, self.limits, self.options, self.disk = folder, limits, options, disk
        self.counters = Counters()
        self._lock = _locked(disk, folder)
        for name in ("blocks", "log", "snapshots"):
            disk.make_folder(folder / name)
        self.head = Head(limits)
        # Called with what has just been taken: rows of the head, times and values.
        self.taps: list[Tap] = []
        self.blocks: list[Block] = []
        self._open_blocks()
        self.wal = Wal(folder / "log", disk)
        self._replay()
        self._unlogged: list[tuple[int, Key]] = []

    # Opening

    def _open_blocks(self) -> None:
        for path in sorted((self.folder / "blocks").glob("*.new")):
            self.disk.remove(path)
        for path in sorted((self.folder / "blocks").glob("*.blk")):
            try:
                self.blocks.append(Block(path, self.head.cache))
            except (Corrupt, OSError) as error:
                # It stays on the disk under another name: a person may want to look at it.
                self.counters.corrupt_blocks += 1
                log.warning("block set aside", block=path.name, error=error)
                self.disk.rename(path, path.with_suffix(".damaged"))
        merged_away = {name for block in self.blocks for name in block.footer.sources}
        for block in list(self.blocks):
            if block.footer.name in merged_away:
                self._remove_block(block)
        self._sort_blocks()
        until = max((block.footer.until_ms for block in self.blocks), default=self.head.earliest_ms)
        self.head.earliest_ms = self.head.settled_ms = until

    def _replay(self) -> None:
        replay = Replay(self.head)
        for path in self.wal.files():
            for record in read_log(path, self.counters.log_damage):
                replay.feed(record)
        replay.finish()
        self.counters.replayed = replay.result
        damage = self.counters.log_damage
        self._is_log_damaged = damage.places > 0
        if damage.places:
            log.error("log was damaged", places=damage.places, bytes=damage.bytes)

    def _sort_blocks(self) -> None:
        self.blocks.sort(key=lambda block: (block.footer.first_ms, block.footer.name))

    # Writing

    def ref(self, key: Key) -> int:
        """Return the number of a series, by which samples are appended; make the series if new.

        The key is trusted: labels.check_labels and key_of made it.

        Raises:
            Overloaded: there are as many series as the limit allows.
        """
        ref = self.head.ref(key)
        if ref is None:
            ref = self.head.add_series(key)
            self._unlogged.append((ref, key))
        return ref

    def append(self, refs: RefColumn, times: Ints, values: Floats, now_ms: int) -> Outcome:
        """Take samples, given as columns; they are durable after the next sync.

        Raises:
            LimitExceeded: more samples than a request may have.
            BadData: the columns have different lengths.
            DiskRefused: the log cannot be written; nothing was taken.
        """
        # The log keeps columns as they lie in memory: let them be of the types it says.
        times, values = np.asarray(times, np.int64), np.asarray(values, np.float64)
        if not len(refs) == len(times) == len(values):
            raise BadData("the columns of a batch have different lengths")
        if len(refs) > self.limits.samples_per_request:
            raise LimitExceeded("samples_per_request", self.limits.samples_per_request, len(refs))
        outcome = Outcome()
        if not len(refs):
            return outcome
        rows = self.head.rows_of(refs)
        fresh, late = self._sorted_out(Batch(rows, times, values), now_ms, outcome)
        both = fresh if not len(late.rows) else _joined(fresh, late)
        try:
            self._log_series()
            if len(both.rows):
                refs_taken = self.head.refs_of(both.rows)
                self.wal.append(batch_payload(refs_taken, both.times, both.values))
        except DiskRefused:
            self.counters.disk_refusals += 1
            raise
        self.head.add_fresh(fresh)
        self.head.add_late(late)
        if len(both.rows):
            for tap in self.taps:
                tap(both.rows, both.times, both.values)
        outcome.accepted += len(both.rows)
        self.counters.outcome.add(outcome)
        return outcome

    def _sorted_out(self, batch: Batch, now_ms: int, outcome: Outcome) -> tuple[Batch, Batch]:
        """Return the samples to take: those newer than their series, and those that come late."""
        latest_ms = now_ms + int(self.options.future_s * 1000)
        good = batch.rows >= 0
        outcome.no_series = int((~good).sum())
        new = good & (batch.times > latest_ms)
        outcome.too_new = int(new.sum())
        good &= ~new
        old = good & (batch.times < self._oldest_kept_ms(batch.times[good]))
        outcome.too_old = int(old.sum())
        if outcome.refused:
            batch = batch.where(good & ~old)
        batch, (outcome.known, outcome.conflicting) = in_order(batch)
        newest = self.head.newest_of(batch.rows)
        is_fresh = batch.times > newest
        if is_fresh.all():
            return batch, batch.where(np.zeros(len(batch.rows), bool))
        is_old = ~is_fresh & (batch.times < newest - int(self.options.out_of_order_s * 1000))
        late = batch.where(~is_fresh & ~is_old)
        here, other = self.head.known_again(late)
        outcome.too_old += int(is_old.sum())
        outcome.known += int((here & ~other).sum())
        outcome.conflicting += int(other.sum())
        late = late.where(~here)
        if len(late.rows) > self.head.late_room():
            outcome.no_room += len(late.rows)
            late = late.where(np.zeros(len(late.rows), bool))
        return batch.where(is_fresh), late

    def _oldest_kept_ms(self, times: Ints) -> int:
        """Return what is too old beside these and all that is here: in blocks, or due to go."""
        newest_ms = max(self.head.newest_ms, self.head.earliest_ms, int(times.max(initial=-EVER)))
        return max(self.head.earliest_ms, newest_ms - int(self.options.retention_s * 1000))

    def _log_series(self) -> None:
        if self._unlogged:
            refs = np.array([ref for ref, _ in self._unlogged], np.uint32)
            self.wal.append(series_payload(refs, [key for _, key in self._unlogged]))
            self._unlogged.clear()

    def sync(self) -> None:
        """Make everything appended so far survive a power cut.

        Raises:
            DiskRefused: it may not; nothing may be acknowledged before `heal` has succeeded.
        """
        self.counters.syncs += 1
        try:
            self.wal.sync()
        except DiskRefused:
            self.counters.disk_refusals += 1
            raise

    # Upkeep

    def maintain(self) -> Iterator[None]:
        """Do what is due: heal the log, write blocks, merge them, let old ones go.

        Raises:
            DiskRefused: the disk is full or failing; everything is as it was, call again later.
        """
        try:
            if self.wal.broken or self._is_log_damaged:
                # What is in memory is all there is: written anew, it stands for the old files.
                yield from self._checkpoint()
                self._is_log_damaged = False
            while (until_ms := self._due_until_ms()) is not None:
                yield from self._flush(until_ms)
            if self.wal.is_due(self.options.checkpoint_bytes):
                yield from self._checkpoint()
            while names := merge_plan(self._facts(), self._span_ms, self._compacted_ms):
                yield from self._merge(names)
        except OSError as error:
            self.counters.disk_refusals += 1
            raise DiskRefused(f"upkeep stopped: {error.strerror}") from error
        finally:
            self._retire()

    @property
    def _span_ms(self) -> int:
        return int(self.options.block_span_s * 1000)

    @property
    def _compacted_ms(self) -> int:
        return int(self.options.compacted_span_s * 1000)

    def _due_until_ms(self) -> int | None:
        """Return the end of the span that the head is half a span beyond, or none."""
        oldest_ms = self.head.oldest_ms()
        if oldest_ms is None:
            return None
        until_ms = (oldest_ms // self._span_ms + 1) * self._span_ms
        margin_ms = max(self._span_ms // 2, int(self.options.out_of_order_s * 1000))
        return until_ms if self.head.newest_ms >= until_ms + margin_ms else None

    def flush_all(self) -> Iterator[None]:
        """Write everything to blocks, also what is not yet due. For a bench and for moving out."""
        while (oldest_ms := self.head.oldest_ms()) is not None:
            yield from self._flush((oldest_ms // self._span_ms + 1) * self._span_ms)

    def _flush(self, until_ms: int) -> Iterator[None]:
        """Write the head's samples before a time to a block, and forget them."""
        # From here on nothing older is taken: what the block does not get would be lost.
        self.head.earliest_ms = max(self.head.earliest_ms, until_ms)
        first_ms = (self.head.oldest_ms() or until_ms) // self._span_ms * self._span_ms
        name = f"{first_ms:014}-{until_ms:014}-0"
        writer = BlockWriter(self.disk, self.folder / "blocks" / f"{name}.blk")
        try:
            for rows in list(row_groups(self.head)):
                kept, frame = compact(self.head.frame(rows, -EVER, until_ms - 1))
                if len(kept):
                    keys = self.head.keys_of(rows[kept].tolist())
                    writer.add(keys, encode_strip(frame), frame.sample_count)
                yield
            if not writer.is_empty:
                path = yield from writer.finish(level=0, sources=[], until_ms=until_ms)
                self.blocks.append(Block(path, self.head.cache))
                self._sort_blocks()
                self.counters.blocks_written += 1
        finally:
            writer.abandon()
        self.head.settled_ms = max(self.head.settled_ms, until_ms)
        yield from self.head.forget_before(until_ms)
        yield from self._checkpoint()

    def _checkpoint(self) -> Iterator[None]:
        number = self.wal.rotate()
        file = self.wal.start_checkpoint()
        try:
            yield from write_head(self.head, file)
        except BaseException:
            file.close()
            raise
        # Series made meanwhile are logged behind this checkpoint, with their first samples.
        self.wal.finish_checkpoint(file, number)
        self.counters.checkpoints += 1

    def _merge(self, names: Sequence[str]) -> Iterator[None]:
        sources = [block for block in self.blocks if block.footer.name in names]
        level = max(block.footer.level for block in sources) + 1
        first_ms = min(block.footer.first_ms for block in sources)
        until_ms = max(block.footer.until_ms for block in sources)
        name = f"{first_ms:014}-{until_ms:014}-{level}"
        writer = BlockWriter(self.disk, self.folder / "blocks" / f"{name}.blk")
        try:
            for found in merged(sources):
                if found is not None:
                    keys, frame = found
                    writer.add(keys, encode_strip(frame), frame.sample_count)
                yield
            merged_paths = []
            if not writer.is_empty:
                finish = writer.finish(level=level, sources=sorted(names), until_ms=until_ms)
                merged_paths.append((yield from finish))
        finally:
            writer.abandon()
        for block in sources:
            self._remove_block(block)
        self.blocks += [Block(path, self.head.cache) for path in merged_paths]
        self._sort_blocks()
        self.counters.merges += 1

    def _facts(self) -> list[BlockFacts]:
        return [
            BlockFacts(
                block.footer.name,
                block.footer.level,
                block.footer.first_ms,
                block.footer.last_ms,
                block.size_bytes,
                block.footer.samples,
                block.footer.series,
            )
            for block in self.blocks
        ]

    def _retire(self) -> None:
        newest_ms = max([self.head.newest_ms, *(block.footer.last_ms for block in self.blocks)])
        retention_ms = int(self.options.retention_s * 1000)
        limit = self.options.retention_bytes
        gone = set(expired(self._facts(), newest_ms, retention_ms, limit))
        for block in list(self.blocks):
            if block.footer.name in gone:
                self._remove_block(block)

    def _remove_block(self, block: Block) -> None:
        # Not closed: a query may be reading it. With its last reader the file is gone.
        self.blocks.remove(block)
        self.disk.remove(block.path)

    def snapshot(self, name: str) -> Iterator[None]:
        """Write a copy that a store can be opened on to snapshots/<name>, blocks as hard links.

        Raises:
            DiskRefused: the disk is full or failing.
        """
        target = self.folder / "snapshots" / name
        try:
            self.disk.make_folder(target / "blocks")
            self.disk.make_folder(target / "log")
            # The head first: a block that is flushed meanwhile then holds nothing twice or never.
            blocks = list(self.blocks)
            file = LogFile(self.disk, target / "log" / "checkpoint-00000001.log")
            try:
                for block in blocks:
                    self.disk.link(block.path, target / "blocks" / block.path.name)
                yield from write_head(self.head, file)
                file.sync()
            finally:
                file.close()
            for folder in (target / "blocks", target / "log", target):
                self.disk.sync_folder(folder)
        except OSError as error:
            raise DiskRefused(f"snapshot failed: {error.strerror}") from error

    def size_bytes(self) -> int:
        """Return the bytes on disk: blocks and log."""
        return sum(block.size_bytes for block in self.blocks) + self.wal.size_bytes()

    def close(self) -> None:
        """Let go of the folder. What was appended and not synced is synced if the disk allows."""
        try:
            if not self.wal.broken:
                self.wal.sync()
        finally:
            self.wal.close()
            for block in self.blocks:
                block.close()
            os.close(self._lock)


def open_store(
    folder: Path,
    limits: Limits | None = None,
    options: Options | None = None,
    disk: Disk | None = None,
) -> Store:
    """Open the store in a folder, made if missing; whatever its files hold, this succeeds.

    Raises:
        AlreadyOpen: another process has it.
        OSError: the folder cannot be read or made.
    """
    return Store(folder, limits or Limits(), options or Options(), disk or Disk())


def _locked(disk: Disk, folder: Path) -> int:
    disk.make_folder(folder)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AlreadyOpen(f"{folder} is open in another process") from error
    return descriptor


def _joined(fresh: Batch, late: Batch) -> Batch:
    return Batch(
        np.concatenate((fresh.rows, late.rows)),
        np.concatenate((fresh.times, late.times)),
        np.concatenate((fresh.values, late.values)),
    )


__all__ = ["AlreadyOpen", "Outcome", "Overloaded", "Store", "open_store"]
