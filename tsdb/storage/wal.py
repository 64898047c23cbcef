"""The write-ahead log: what was acknowledged is here before it is anywhere else.

A folder of segments, numbered upwards; `checkpoint-N.log` stands for everything before segment N.
All of them hold records (see records.py) of five kinds, by the first byte of the payload, the rest
of which may be compressed by zstandard:

    S  series:  u32 count, u32 refs, u32 key lengths, then the keys (see labels.py)
    B  batch:   u32 count, refs, times, values: a column each (see _column)
    T  strip:   u32 count, refs, u32 length of lanes, lanes, body (see strip.py)
    P  piece:   as T, with i64 first and i64 last timestamp before the length of lanes
    M  mark:    i64 earliest acceptable timestamp: older samples are in blocks

A strip holds samples that go through the head like those of batches; a piece is taken as it is.
A segment is never written to again once its process has died: opening starts a new one.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from tsdb.columns.codec import Floats, Ints
from tsdb.columns.frame import Frame
from tsdb.columns.labels import Key
from tsdb.columns.strip import Strip, decode_lanes, decode_strip
from tsdb.errors import Corrupt, DiskRefused
from tsdb.storage.disk import Disk, write_all
from tsdb.storage.records import Damage, framed, payloads

type Refs = NDArray[np.uint32]

SERIES, BATCH, STRIP, PIECE, MARK = b"S", b"B", b"T", b"P", b"M"
SEGMENT_BYTES = 64 * 2**20
# A record below this size is not worth compressing.
PLAIN_BYTES_MAX = 128

_compress = zstandard.ZstdCompressor(level=1).compress
_decompress = zstandard.ZstdDecompressor().decompress
_UNPACKED_BYTES_MAX = 256 * 2**20


@dataclass(frozen=True)
class SeriesRecord:
    refs: Refs
    keys: list[Key]


@dataclass(frozen=True)
class BatchRecord:
    refs: Refs
    times: Ints
    values: Floats


@dataclass(frozen=True)
class MarkRecord:
    earliest_ms: int


@dataclass(frozen=True)
class StripRecord:
    refs: Refs
    frame: Frame


@dataclass(frozen=True)
class PieceRecord:
    refs: Refs
    strip: Strip


type Record = SeriesRecord | BatchRecord | StripRecord | PieceRecord | MarkRecord


def _sealed(kind: bytes, body: bytes) -> bytes:
    if len(body) <= PLAIN_BYTES_MAX:
        return kind + b"\x00" + body
    return kind + b"\x01" + _compress(body)


def series_payload(refs: Refs, keys: Sequence[Key]) -> bytes:
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    head = struct.pack("<I", len(keys)) + refs.tobytes() + lengths.tobytes()
    return _sealed(SERIES, head + b"".join(keys))


def batch_payload(refs: Refs, times: Ints, values: Floats) -> bytes:
    body = struct.pack("<I", len(refs)) + _column(refs) + _column(times)
    return _sealed(BATCH, body + values.tobytes())


def strip_payload(refs: Refs, strip: Strip) -> bytes:
    head = struct.pack("<I", len(refs)) + refs.tobytes() + struct.pack("<I", len(strip.lanes))
    return STRIP + b"\x00" + head + strip.lanes + strip.body


def piece_payload(refs: Refs, strip: Strip) -> bytes:
    span = struct.pack("<qqI", strip.first_ms, strip.last_ms, len(strip.lanes))
    head = struct.pack("<I", len(refs)) + refs.tobytes() + span
    return PIECE + b"\x00" + head + strip.lanes + strip.body


def mark_payload(earliest_ms: int) -> bytes:
    return _sealed(MARK, struct.pack("<q", earliest_ms))


def _column(numbers: Refs | Ints) -> bytes:
    """Return 00 and one number that all are; 01 and the first of a run upwards; or 02 and all."""
    first = numbers[:1].tobytes()
    if (numbers == numbers[0]).all():
        return b"\x00" + first
    steps = numbers[1:] - numbers[:-1]
    if (steps == 1).all():
        return b"\x01" + first
    return b"\x02" + numbers.tobytes()


def _read_column[N: (np.uint32, np.int64)](
    body: bytes, at: int, count: int, kind: type[N]
) -> tuple[NDArray[N], int]:
    width = np.dtype(kind).itemsize
    shape, at = body[at], at + 1
    if shape == 2:
        return np.frombuffer(body, kind, count, at), at + count * width
    first = np.frombuffer(body, kind, 1, at)
    if shape == 0:
        return np.repeat(first, count), at + width
    if shape != 1:
        raise Corrupt(f"a column of unknown shape {shape}")
    run: NDArray[N] = (first + np.arange(count)).astype(kind)
    return run, at + width


def decode_record(payload: memoryview) -> Record:
    """Return the record of a payload whose checksum was right.

    Raises:
        Corrupt: it is none of ours all the same.
    """
    try:
        kind, body = bytes(payload[:1]), bytes(payload[2:])
        if payload[1]:
            body = _decompress(body, _UNPACKED_BYTES_MAX)
        if kind == MARK:
            return MarkRecord(*struct.unpack("<q", body))
        (count,) = struct.unpack_from("<I", body)
        if kind == BATCH:
            refs, at = _read_column(body, 4, count, np.uint32)
            times, at = _read_column(body, at, count, np.int64)
            return BatchRecord(refs, times, np.frombuffer(body, np.float64, count, at))
        if kind == SERIES:
            return _series(body, count)
        if kind == STRIP:
            return _strip(body, count)
        if kind == PIECE:
            return _piece(body, count)
    except (ValueError, IndexError, struct.error, zstandard.ZstdError) as error:
        raise Corrupt(f"a record of the log cannot be read: {error}") from error
    raise Corrupt(f"a record of unknown kind {kind!r}")


def _series(body: bytes, count: int) -> SeriesRecord:
    refs = np.frombuffer(body, np.uint32, count, 4)
    ends = np.cumsum(np.frombuffer(body, np.uint32, count, 4 + 4 * count)).tolist()
    keys_at = 4 + 8 * count
    if ends and keys_at + ends[-1] != len(body):
        raise Corrupt("keys of another length than the record says")
    starts = [0, *ends[:-1]]
    keys = [body[keys_at + a : keys_at + b] for a, b in zip(starts, ends, strict=False)]
    return SeriesRecord(refs, keys)


def _strip(body: bytes, count: int) -> StripRecord:
    refs = np.frombuffer(body, np.uint32, count, 4)
    at = 4 + 4 * count
    (length,) = struct.unpack_from("<I", body, at)
    lanes = decode_lanes(body[at + 4 : at + 4 + length])
    return StripRecord(refs, decode_strip(count, lanes, body[at + 4 + length :]))


def _piece(body: bytes, count: int) -> PieceRecord:
    refs = np.frombuffer(body, np.uint32, count, 4)
    at = 4 + 4 * count
    first_ms, last_ms, length = struct.unpack_from("<qqI", body, at)
    lanes_at, body_at = at + 20, at + 20 + length
    strip = Strip(count, first_ms, last_ms, body[lanes_at:body_at], body[body_at:])
    return PieceRecord(refs, strip)


def read_log(path: Path, damage: Damage) -> Iterator[Record]:
    """Yield the records of one file that can be read, counting the damage between them."""
    for payload in payloads(path.read_bytes(), damage):
        try:
            yield decode_record(payload)
        except Corrupt:
            damage.places += 1
            damage.bytes += len(payload)


def numbered(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    """Return the log files of a kind in a folder, by their number."""
    found = []
    for path in folder.glob(f"{prefix}-*.log"):
        number = path.stem.removeprefix(f"{prefix}-")
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)


class LogFile:
    """One file of records that is being written: a segment, or a checkpoint on its way."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self.path = disk, path
        self._descriptor = disk.create(path)
        self.length = 0
        self.unsynced = False

    def append(self, payload: bytes) -> None:
        """Write one record to the file, whole or not at all; sync makes it durable.

        Raises:
            DiskRefused: the disk is full or failing, and the file is as it was before.
            OSError: it could not even be made as before: this file must not be used again.
        """
        try:
            self.length += write_all(self._disk, self._descriptor, framed(payload))
        except OSError as error:
            self._disk.cut(self._descriptor, self.length)
            raise DiskRefused(f"cannot write to the log: {error.strerror}") from error
        self.unsynced = True

    def sync(self) -> None:
        if self.unsynced:
            self._disk.sync(self._descriptor)
            self.unsynced = False

    def close(self) -> None:
        self._disk.close(self._descriptor)


class Wal:
    """The log of a running store. After a failure it is `broken` until a checkpoint heals it."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self.broken = ""
        self._file: LogFile | None = None
        self.number = max((n for n, _ in numbered(folder, "segment")), default=0)
        checkpoints = numbered(folder, "checkpoint")
        self.number = max(self.number, checkpoints[-1][0] if checkpoints else 0)

    def files(self) -> list[Path]:
        """Return what a restart reads, in order: the last checkpoint and the segments after it."""
        checkpoints = numbered(self._folder, "checkpoint")
        since, paths = (checkpoints[-1][0], [checkpoints[-1][1]]) if checkpoints else (0, [])
        return paths + [path for n, path in numbered(self._folder, "segment") if n >= since]

    def append(self, payload: bytes) -> None:
        """Write a record behind all others.

        Raises:
            DiskRefused: nothing was written, and nothing was lost.
        """
        if self.broken:
            raise DiskRefused(f"the log awaits its repair: {self.broken}")
        try:
            if self._file is None or self._file.length >= SEGMENT_BYTES:
                self.rotate()
            if self._file is not None:
                self._file.append(payload)
        except OSError as error:
            self.broken = str(error.strerror)
            raise DiskRefused(f"cannot write to the log: {error.strerror}") from error

    def sync(self) -> None:
        """Make everything that was appended survive a power cut.

        Raises:
            DiskRefused: what was appended since the last sync may be lost: it must be written
                again by a checkpoint before anything else is acknowledged.
        """
        if self.broken:
            raise DiskRefused(f"the log awaits its repair: {self.broken}")
        try:
            if self._file is not None:
                self._file.sync()
        except OSError as error:
            self.broken = str(error.strerror)
            raise DiskRefused(f"cannot sync the log: {error.strerror}") from error

    def rotate(self) -> int:
        """Start a new segment and return its number; the old one is synced, unless it is broken.

        Raises:
            OSError: the disk refused; the old segment goes on.
        """
        if self._file is not None and not self.broken:
            try:
                self._file.sync()
            except OSError as error:
                self.broken = str(error.strerror)
                raise
        path = self._folder / f"segment-{self.number + 1:08}.log"
        fresh = LogFile(self._disk, path)
        self.number += 1
        if self._file is not None:
            self._file.close()
        self._file = fresh
        self._disk.sync_folder(self._folder)
        return self.number

    def start_checkpoint(self) -> LogFile:
        """Return the file to write a checkpoint to; no reader looks at it before it is finished."""
        beside = self._folder / "checkpoint.new"
        self._disk.remove(beside)
        return LogFile(self._disk, beside)

    def finish_checkpoint(self, file: LogFile, number: int) -> None:
        """Put a written checkpoint in the place of everything before segment `number`.

        It holds all that memory holds, so it also heals a broken log.

        Raises:
            OSError: the disk refused; the old files are still there.
        """
        file.sync()
        file.close()
        self._disk.rename(file.path, self._folder / f"checkpoint-{number:08}.log")
        self._disk.sync_folder(self._folder)
        self.broken = ""
        for prefix in ("checkpoint", "segment"):
            for found, path in numbered(self._folder, prefix):
                if found < number:
                    self._disk.remove(path)

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files())

    def is_due(self, least_bytes: int) -> bool:
        """Say whether a restart would read much: least_bytes of segments, and no less than the
        checkpoint before them. So checkpoints together never write more than the log itself does.
        """
        checkpoint = numbered(self._folder, "checkpoint")[-1:]
        whole = sum(path.stat().st_size for _, path in checkpoint)
        return self.size_bytes() - whole >= max(least_bytes, whole)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
