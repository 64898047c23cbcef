"""Remote write 1.0: from the bytes of a request to columns of samples, and back.

A request of Prometheus has, for each series, its labels and mostly one sample of 18 bytes. The loop
over series therefore does one thing only: look up the bytes of the labels, which are the key of the
series (see labels.py). Values and times are then taken out for all series at once. What does not
look like that (zeros, several samples, unknown series) goes the long way.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cramjam
import numpy as np
from numpy.typing import NDArray

from cubernetes.host.protowire import (
    BYTES,
    FIXED64,
    VARINT,
    ProtobufBroken,
    fields,
    read_varint,
    signed,
    utf8,
)
from tsdb.codec import Floats, Ints
from tsdb.errors import BadData, LimitExceeded
from tsdb.labels import Key, Pairs, varint

SAMPLE_BYTES = 18
ZERO_SAMPLE_BYTES = 9
BEYOND = "a protobuf field ends beyond its message"
_KINDS = (
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
)


@dataclass(frozen=True)
class Metadata:
    """What an exporter says of a metric."""

    metric: str
    kind: str
    help: str
    unit: str


@dataclass
class Request:
    """A decoded request: samples of known series as columns, and new series with theirs."""

    refs: NDArray[np.int64]
    times: Ints
    values: Floats
    fresh: list[tuple[Pairs, Ints, Floats]] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    histograms: int = 0


def unsnapped(body: bytes, limit_bytes: int) -> bytes:
    """Return what a snappy block holds.

    Raises:
        BadData: it is none.
        LimitExceeded: it says that it holds more than limit_bytes.
    """
    try:
        length, _ = read_varint(body, 0)
    except ProtobufBroken as error:
        raise BadData(str(error)) from error
    if length > limit_bytes:
        raise LimitExceeded("request_bytes", limit_bytes, length)
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadData(f"snappy: {error}") from error


class _Reader:
    """One pass over a request."""

    def __init__(self, data: bytes, ref_of: Mapping[Key, int]) -> None:
        self._data, self._ref_of = data, ref_of
        self._refs: list[int] = []
        self._ends: list[int] = []
        self._long: list[tuple[int, Ints, Floats]] = []
        self.request = Request(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def read(self) -> Request:
        data, get = self._data, self._ref_of.get
        add_ref, add_end = self._refs.append, self._ends.append
        at, end = 0, len(data)
        while at < end:
            if data[at] != 0x0A:
                at = self._other_field(at)
                continue
            # Nearly every series has between 128 and 16383 bytes: two bytes say how many.
            head = data[at + 1 : at + 3]
            if len(head) == 2 and head[0] >= 0x80 > head[1]:
                length = head[0] & 0x7F | head[1] << 7
                at += 3
            else:
                length, at = read_varint(data, at + 1)
            stop = at + length
            if stop > end:
                raise BadData(BEYOND)
            ref = get(data[at : stop - SAMPLE_BYTES]) if length > SAMPLE_BYTES else None
            if ref is None:
                self._long_way(at, stop)
            else:
                add_ref(ref)
                add_end(stop)
            at = stop
        self._collect()
        return self.request

    def _other_field(self, at: int) -> int:
        tag, after = read_varint(self._data, at)
        if tag & 7 != BYTES:
            raise BadData("a field of a write request has an unknown wire type")
        length, start = read_varint(self._data, after)
        if start + length > len(self._data):
            raise BadData(BEYOND)
        if tag >> 3 == 3:
            self.request.metadata.append(_metadata(self._data, start, start + length))
        return start + length

    def _long_way(self, at: int, stop: int) -> None:
        data = self._data
        cut = stop - ZERO_SAMPLE_BYTES
        ref = self._ref_of.get(data[at:cut]) if cut > at else None
        if ref is not None and data[cut : cut + 3] == b"\x12\x07\x10":
            time, after = read_varint(data, cut + 3)
            if after == stop:
                self._long.append((ref, np.array([time], np.int64), np.zeros(1)))
                return
        pairs: list[tuple[str, str]] = []
        times: list[int] = []
        values: list[float] = []
        for number, kind, start, end in fields(data, at, stop):
            if number == 1 and kind == BYTES:
                pairs.append(_label(data, start, end))
            elif number == 2 and kind == BYTES:
                time, value = _sample(data, start, end)
                times.append(time)
                values.append(value)
            elif number == 4 and kind == BYTES:
                self.request.histograms += 1
        found = np.array(times, np.int64), np.array(values, np.float64)
        self.request.fresh.append((tuple(pairs), *found))

    def _collect(self) -> None:
        """Take out of all short series at once what stands in their last 18 bytes."""
        ends = np.array(self._ends, np.int64)
        refs = np.array(self._refs, np.int64)
        if len(ends):
            data = self._data + bytes(8)
            heads = _strided(data, np.uint32)[ends - 18] & 0xFFFFFF
            tags = _strided(data, np.uint8)[ends - 7]
            times, sound = _six_byte_varints(_strided(data, np.uint64)[ends - 6])
            values = _strided(data, np.float64)[ends - 15]
            sound &= (heads == 0x091012) & (tags == 0x10)
            if not sound.all():
                raise BadData("a sample is not written as Prometheus writes it")
        else:
            times, values = np.empty(0, np.int64), np.empty(0)
        long_refs = np.array([ref for ref, _, _ in self._long], np.int64)
        self.request.refs = np.concatenate((refs, long_refs))
        self.request.times = np.concatenate((times, *(t for _, t, _ in self._long)))
        self.request.values = np.concatenate((values, *(v for _, _, v in self._long)))


def _strided[N: np.generic](data: bytes, kind: type[N]) -> NDArray[N]:
    """Return the numbers that begin at every byte."""
    width = np.dtype(kind).itemsize
    return np.ndarray((len(data) - width + 1,), kind, data, strides=(1,))


def _six_byte_varints(words: NDArray[np.uint64]) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the numbers in the first six bytes of each, and whether six bytes is what they are."""
    more = words & np.uint64(0x808080808080)
    sound: NDArray[np.bool_] = more == np.uint64(0x008080808080)
    numbers = np.zeros(len(words), np.uint64)
    for place in range(6):
        part = (words >> np.uint64(8 * place)) & np.uint64(0x7F)
        numbers |= part << np.uint64(7 * place)
    return numbers.astype(np.int64), sound


def _label(data: bytes, start: int, stop: int) -> tuple[str, str]:
    name = value = ""
    for number, kind, left, right in fields(data, start, stop):
        if kind == BYTES and number == 1:
            name = utf8(data[left:right])
        elif kind == BYTES and number == 2:
            value = utf8(data[left:right])
    return name, value


def _sample(data: bytes, start: int, stop: int) -> tuple[int, float]:
    time, value = 0, 0.0
    for number, kind, left, _ in fields(data, start, stop):
        if kind == FIXED64 and number == 1:
            (value,) = struct.unpack_from("<d", data, left)
        elif kind == VARINT and number == 2:
            time = signed(left)
    return time, value


def _metadata(data: bytes, start: int, stop: int) -> Metadata:
    kind_number = 0
    texts = {2: "", 4: "", 5: ""}
    for number, kind, left, right in fields(data, start, stop):
        if kind == VARINT and number == 1:
            kind_number = left
        elif kind == BYTES and number in texts:
            texts[number] = utf8(data[left:right])
    kind_name = _KINDS[kind_number] if kind_number < len(_KINDS) else _KINDS[0]
    return Metadata(texts[2], kind_name, texts[4], texts[5])


def decode(data: bytes, ref_of: Mapping[Key, int]) -> Request:
    """Return the samples of a write request.

    Raises:
        BadData: the bytes are none, or a known series has a sample in an unusual form.
    """
    try:
        return _Reader(data, ref_of).read()
    except (BadData, ProtobufBroken):
        # A sample of another length may look like one: read everything the long way then.
        try:
            return _Reader(data, {}).read()
        except ProtobufBroken as error:
            raise BadData(str(error)) from error


def encode_request(series: Iterable[tuple[Key, Sequence[tuple[int, float]]]]) -> bytes:
    """Return the request of series and their samples (time, value), not yet compressed."""
    out = bytearray()
    for key, samples in series:
        body = bytearray(key)
        for time, value in samples:
            inner = (
                b"\x09" + struct.pack("<d", value) if struct.pack("<d", value).strip(b"\0") else b""
            )
            inner += b"\x10" + varint(time % 2**64) if time else b""
            body += b"\x12" + varint(len(inner)) + inner
        out += b"\x0a" + varint(len(body)) + body
    return bytes(out)


def snapped(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))
