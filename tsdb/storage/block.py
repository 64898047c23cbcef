"""A block: the samples of a span of time in one file that is written once and never changed.

    magic "TSDBLK01"
    lanes and bodies of strips, and sections of the index, one behind the other
    footer: JSON under zlib (see Footer): where everything lies, each with its length and CRC-32
    u64 place of the footer, u32 its length, u32 its CRC-32, magic "TSDBEND1"

A strip holds rows first_row to first_row + row_count - 1 of the block's series.
"""

import mmap
import struct
import zlib
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from tsdb.columns.cache import StripCache
from tsdb.columns.codec import Ints, Rows
from tsdb.columns.frame import Frame, FrameRows, restrict, take
from tsdb.columns.labels import Key
from tsdb.columns.strip import Strip, decode_lanes, decode_strip
from tsdb.errors import Corrupt
from tsdb.storage.blockindex import BlockIndex, index_sections
from tsdb.storage.disk import Disk, write_all

MAGIC, END = b"TSDBLK01", b"TSDBEND1"
TRAILER_BYTES = 24
VERSION = 1
LANES_KEPT = 8

type Extent = tuple[int, int, int]


class StripEntry(msgspec.Struct, frozen=True, array_like=True):
    """Where one strip lies: an extent is (place, length, CRC-32)."""

    first_row: int
    row_count: int
    first_ms: int
    last_ms: int
    lanes: Extent
    body: Extent


class Footer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a block says of itself. until_ms: the head's samples before it are all in blocks."""

    version: int
    name: str
    level: int
    sources: list[str]
    first_ms: int
    last_ms: int
    until_ms: int
    series: int
    samples: int
    strips: list[StripEntry]
    sections: dict[str, Extent]


class BlockWriter:
    """Writes one block beside its place; nobody sees it before finish."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._beside = path.with_suffix(".new")
        disk.remove(self._beside)
        self._descriptor = disk.create(self._beside)
        self._at = 0
        self._keys: list[Key] = []
        self._strips: list[StripEntry] = []
        self._lanes: dict[bytes, Extent] = {}
        self._samples = 0
        self._is_open = True
        self._write(MAGIC)

    def add(self, keys: list[Key], strip: Strip, sample_count: int) -> None:
        """Write the samples of some series, of which no other strip of the block may speak.

        Raises:
            OSError: the disk refused; call abandon.
        """
        lanes = self._lanes.get(strip.lanes)
        if lanes is None:
            lanes = self._lanes[strip.lanes] = self._write(strip.lanes)
        body = self._write(strip.body)
        place = len(self._keys)
        self._strips.append(
            StripEntry(place, len(keys), strip.first_ms, strip.last_ms, lanes, body)
        )
        self._keys += keys
        self._samples += sample_count

    @property
    def is_empty(self) -> bool:
        return not self._strips

    def finish(
        self, *, level: int, sources: list[str], until_ms: int
    ) -> Generator[None, None, Path]:
        """Make the block durable and give it its name; pauses on the way, returns its path.

        Raises:
            OSError: the disk refused; call abandon.
        """
        index = yield from index_sections(self._keys)
        sections = {name: self._write(data) for name, data in index.items()}
        footer = msgspec.json.encode(
            Footer(
                version=VERSION,
                name=self._path.stem,
                level=level,
                sources=sources,
                first_ms=min(entry.first_ms for entry in self._strips),
                last_ms=max(entry.last_ms for entry in self._strips),
                until_ms=until_ms,
                series=len(self._keys),
                samples=self._samples,
                strips=self._strips,
                sections=sections,
            )
        )
        packed = zlib.compress(footer, 9)
        at, length, crc = self._write(packed)
        self._write(struct.pack("<QII", at, length, crc) + END)
        self._disk.sync(self._descriptor)
        self._disk.close(self._descriptor)
        self._is_open = False
        self._disk.rename(self._beside, self._path)
        self._disk.sync_folder(self._path.parent)
        return self._path

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._is_open:
            self._disk.close(self._descriptor)
            self._is_open = False
        self._disk.remove(self._beside)

    def _write(self, data: bytes) -> Extent:
        write_all(self._disk, self._descriptor, [data])
        extent = (self._at, len(data), zlib.crc32(data))
        self._at += len(data)
        return extent


class Block:
    """A block that is open for reading. Damage in a strip costs that strip, and is counted."""

    def __init__(self, path: Path, cache: StripCache) -> None:
        """Open a block.

        Raises:
            Corrupt: it is not whole: the footer is missing or damaged.
        """
        self.path, self._cache = path, cache
        with path.open("rb") as file:
            self.size_bytes = path.stat().st_size
            if self.size_bytes < len(MAGIC) + TRAILER_BYTES:
                raise Corrupt(f"{path.name} is too short for a block")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.footer = self._read_footer()
        names = [n.removeprefix("label/") for n in self.footer.sections if n.startswith("label/")]
        # The index must not lead back to the block: the map is closed when its last reader goes.
        read = partial(_section, self._map, self.footer, path.name)
        self.index = BlockIndex(self.footer.series, names, read)
        self._lanes: dict[Extent, tuple[Ints, Ints]] = {}
        self.damaged_strips = 0

    def _read_footer(self) -> Footer:
        if self._map[:8] != MAGIC or self._map[-8:] != END:
            raise Corrupt(f"{self.path.name} is not a whole block")
        extent = struct.unpack("<QII", self._map[-TRAILER_BYTES:-8])
        try:
            footer = msgspec.json.decode(zlib.decompress(self._bytes(extent)), type=Footer)
        except (zlib.error, msgspec.DecodeError) as error:
            raise Corrupt(f"{self.path.name} has a footer that cannot be read") from error
        if footer.version != VERSION:
            raise Corrupt(f"{self.path.name} has version {footer.version}, not {VERSION}")
        return footer

    def _bytes(self, extent: Extent) -> bytes:
        return _bytes_of(self._map, extent, self.path.name)

    def parts(self, rows: Rows, first_ms: int, last_ms: int) -> Iterator[FrameRows]:
        """Yield what the block has of ascending rows between two times, both included."""
        for number, entry in enumerate(self.footer.strips):
            if entry.last_ms < first_ms or entry.first_ms > last_ms:
                continue
            start, stop = np.searchsorted(
                rows, (entry.first_row, entry.first_row + entry.row_count)
            )
            if start == stop:
                continue
            wanted = rows[start:stop] - entry.first_row
            try:
                frame = self._read(number, entry, wanted)
            except Corrupt:
                self.damaged_strips += 1
                continue
            yield FrameRows(np.arange(start, stop), restrict(frame, first_ms, last_ms))

    def _read(self, number: int, entry: StripEntry, wanted: Rows) -> Frame:
        name = (self.footer.name, number)
        frame = self._cache.get(name)
        if frame is None:
            lanes = self._read_lanes(entry.lanes)
            body = self._bytes(entry.body)
            if 4 * len(wanted) < entry.row_count:
                return decode_strip(entry.row_count, lanes, body, wanted)
            frame = decode_strip(entry.row_count, lanes, body)
            self._cache.put(name, frame)
        return frame if len(wanted) == entry.row_count else take(frame, wanted)

    def _read_lanes(self, extent: Extent) -> tuple[Ints, Ints]:
        if extent not in self._lanes:
            if len(self._lanes) >= LANES_KEPT:
                self._lanes.clear()
            self._lanes[extent] = decode_lanes(self._bytes(extent))
        return self._lanes[extent]

    def close(self) -> None:
        self._map.close()


def _bytes_of(mapped: mmap.mmap, extent: Extent, file_name: str) -> bytes:
    at, length, crc = extent
    data = mapped[at : at + length]
    if len(data) != length or zlib.crc32(data) != crc:
        raise Corrupt(f"{file_name} is damaged at {at}")
    return data


def _section(mapped: mmap.mmap, footer: Footer, file_name: str, name: str) -> bytes:
    return _bytes_of(mapped, footer.sections[name], file_name)
