"""The index of a block: its series by ordinal and its postings, read from disk piece by piece.

Series are kept in chunks of keys, postings in one section for each label name, all of them
compressed; only what a query touches is unpacked, and a bounded number of them is kept.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence

import numpy as np
import zstandard

from tsdb.columns.codec import Ints, Rows, join, pack, split, unpack, unpack_ints
from tsdb.columns.labels import Key, pairs_of
from tsdb.errors import Corrupt

KEYS_PER_CHUNK = 1024
# Rows are asked for in ascending order, so few chunks are enough; of labels so many values.
CHUNKS_KEPT, LABEL_VALUES_KEPT = 4, 50_000
_UNPACKED_BYTES_MAX = 256 * 2**20

type ReadSection = Callable[[str], bytes]


def _pack_texts(texts: Sequence[bytes]) -> bytes:
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return join([struct.pack("<I", len(texts)), pack(lengths), _squeeze(b"".join(texts))])


def _squeeze(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=9).compress(data)


def _unpack_texts(blob: bytes | memoryview) -> list[bytes]:
    head, lengths_blob, data_blob = split(blob)
    (count,) = struct.unpack("<I", head)
    ends = np.cumsum(unpack_ints(lengths_blob, count)).tolist()
    try:
        data = zstandard.ZstdDecompressor().decompress(bytes(data_blob), _UNPACKED_BYTES_MAX)
    except zstandard.ZstdError as error:
        raise Corrupt(f"texts of an index cannot be read: {error}") from error
    return [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=False)]


def index_sections(keys: Sequence[Key]) -> Generator[None, None, dict[str, bytes]]:
    """Return the sections of an index over series by their ordinals; pauses on the way."""
    sections = {}
    rows_by: dict[str, dict[str, list[int]]] = {}
    for chunk, start in enumerate(range(0, len(keys), KEYS_PER_CHUNK)):
        part = keys[start : start + KEYS_PER_CHUNK]
        sections[f"series/{chunk}"] = _pack_texts(part)
        for ordinal, key in enumerate(part, start):
            for name, value in pairs_of(key):
                rows_by.setdefault(name, {}).setdefault(value, []).append(ordinal)
        yield
    for name, by_value in sorted(rows_by.items()):
        yield
        values = sorted(by_value)
        counts = np.array([len(by_value[value]) for value in values], np.int64)
        ordinals = np.concatenate([np.array(by_value[value], np.uint32) for value in values])
        texts = _pack_texts([value.encode() for value in values])
        sections[f"label/{name}"] = join([texts, pack(counts), pack(ordinals)])
    return sections


class BlockIndex:
    """Answers as MemoryIndex does, and also gives the keys of rows."""

    def __init__(self, series_count: int, names: Iterable[str], read: ReadSection) -> None:
        self._series_count = series_count
        self._names = sorted(names)
        self._read = read
        self._labels: OrderedDict[str, dict[str, Rows]] = OrderedDict()
        self._chunks: OrderedDict[int, list[Key]] = OrderedDict()

    def all_rows(self) -> Rows:
        return np.arange(self._series_count)

    def label_names(self) -> Iterable[str]:
        return self._names

    def label_values(self, name: str) -> Iterable[str]:
        return self._label(name).keys()

    def postings(self, name: str, value: str) -> Rows:
        found = self._label(name).get(value)
        return np.empty(0, np.intp) if found is None else found

    def keys_of(self, rows: Iterable[int]) -> list[Key]:
        return [self._chunk(row // KEYS_PER_CHUNK)[row % KEYS_PER_CHUNK] for row in rows]

    def _label(self, name: str) -> dict[str, Rows]:
        if name not in self._labels:
            found = self._read_label(name) if name in self._names else {}
            kept = sum(map(len, self._labels.values())) + len(found)
            while self._labels and kept > LABEL_VALUES_KEPT:
                kept -= len(self._labels.popitem(last=False)[1])
            if kept > LABEL_VALUES_KEPT:
                return found
            self._labels[name] = found
        return self._labels[name]

    def _read_label(self, name: str) -> dict[str, Rows]:
        texts, counts_blob, ordinals_blob = split(self._read(f"label/{name}"))
        values = [text.decode() for text in _unpack_texts(texts)]
        counts: Ints = unpack_ints(counts_blob, len(values))
        total = int(counts.sum())
        ordinals = unpack(ordinals_blob, np.uint32, total).astype(np.intp)
        lists = np.split(ordinals, np.cumsum(counts)[:-1])
        return dict(zip(values, lists, strict=True))

    def _chunk(self, chunk: int) -> list[Key]:
        if chunk not in self._chunks:
            self._chunks[chunk] = _unpack_texts(self._read(f"series/{chunk}"))
            if len(self._chunks) > CHUNKS_KEPT:
                self._chunks.popitem(last=False)
        return self._chunks[chunk]
