"""Remote write 1.0: from the bytes of a request to columns of samples, and back.

A request of Prometheus has, for each series, its labels and mostly one sample of 18 bytes. The loop
over series therefore does one thing only: look up the bytes of the labels, which are the key of the
series (see labels.py). Values and times are then taken out for all series at once. What does not
look like that (zeros, several samples, unknown series) goes the long way.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
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
    varint,
)
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import Key, Pairs
from tsdb.errors import BadData, LimitExceeded, TsdbError
from tsdb.limits import Limits
from tsdb.steps import Steps

SAMPLE_BYTES = 18
ZERO_SAMPLE_BYTES = 9
# A copy of snappy's is three bytes for 64.
SNAPPY_RATIO_MAX = 22
SERIES_PER_PAUSE, FIELDS_PER_PAUSE = 256, 512
# A label and a sample have two fields, a description four: the rest is for what may come.
SMALL_MESSAGE_FIELDS_MAX = 64
UTF8_BYTES_MAX = 4
METADATA_PER_REQUEST_MAX, METADATA_BYTES_MAX = 20_000, 4096
COMPLAINTS_KEPT = 5
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


@dataclass(frozen=True)
class FreshSeries:
    """A series that was not known by its bytes: its labels, as they came, and its samples."""

    pairs: Pairs
    times: list[int]
    values: list[float]


@dataclass
class Request:
    """A decoded request: samples of known series as columns, and new series with theirs.

    Of the series that were refused while reading, the first few say why.
    """

    refs: NDArray[np.int64]
    times: Ints
    values: Floats
    fresh: list[FreshSeries] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    histograms: int = 0
    refused_samples: int = 0
    complaints: list[TsdbError] = field(default_factory=list)


@dataclass
class _Found:
    """What was read of a series so far; a complaint is why nothing of it is taken."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    complaint: TsdbError | None = None


def unsnapped(body: bytes, limit_bytes: int) -> bytes:
    """Return what a snappy block holds.

    Raises:
        BadData: it is none, or says that it holds more than so few bytes can.
        LimitExceeded: it says that it holds more than limit_bytes.
    """
    try:
        length, _ = read_varint(body, 0)
    except ProtobufBroken as error:
        raise BadData(str(error)) from error
    if length > limit_bytes:
        raise LimitExceeded("request_bytes", limit_bytes, length)
    if length > SNAPPY_RATIO_MAX * len(body):
        raise BadData(f"snappy: {len(body)} bytes cannot hold {length}")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadData(f"snappy: {error}") from error


class _Reader:
    """One pass over a request. It counts what it reads, and stops at the limits on the way."""

    def __init__(self, data: bytes, ref_of: Mapping[Key, int], limits: Limits) -> None:
        self._data, self._ref_of, self._limits = data, ref_of, limits
        self._refs: list[int] = []
        self._ends: list[int] = []
        self._long: list[tuple[int, int]] = []
        self._fields = self._samples = 0
        self.request = Request(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def read(self) -> Steps[Request]:
        data, get = self._data, self._ref_of.get
        add_ref, add_end = self._refs.append, self._ends.append
        at, end, count = 0, len(data), 0
        while at < end:
            count += 1
            if count % SERIES_PER_PAUSE == 0:
                self._count(SERIES_PER_PAUSE, 0)
                self._check_samples(len(self._refs))
                yield
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
            if ref is not None:
                add_ref(ref)
                add_end(stop)
            elif length:
                yield from self._long_way(at, stop)
            at = stop
        self._check_samples(len(self._refs))
        self._collect()
        return self.request

    def _count(self, field_count: int, sample_count: int) -> None:
        self._fields += field_count
        self._samples += sample_count
        if self._fields > self._limits.fields_per_request:
            limit = self._limits.fields_per_request
            raise LimitExceeded("fields_per_request", limit, self._fields)

    def _check_samples(self, known_count: int) -> None:
        if self._samples + known_count > self._limits.samples_per_request:
            limit = self._limits.samples_per_request
            raise LimitExceeded("samples_per_request", limit, self._samples + known_count)

    def _other_field(self, at: int) -> int:
        tag, after = read_varint(self._data, at)
        if tag & 7 != BYTES:
            raise BadData("a field of a write request has an unknown wire type")
        length, start = read_varint(self._data, after)
        if start + length > len(self._data):
            raise BadData(BEYOND)
        if tag >> 3 == 3 and len(self.request.metadata) < METADATA_PER_REQUEST_MAX:
            # What is not text says nothing, and costs itself.
            with suppress(NotText):
                self.request.metadata.append(_metadata(self._data, start, start + length))
        return start + length

    def _long_way(self, at: int, stop: int) -> Steps[None]:
        if self._took_a_zero(at, stop):
            return
        found = _Found()
        for count, (number, kind, start, end) in enumerate(fields(self._data, at, stop), 1):
            self._count(1, int(number == 2))
            if count % FIELDS_PER_PAUSE == 0:
                self._check_samples(len(self._refs))
                yield
            if kind == BYTES:
                self._series_field(found, number, start, end)
        if found.complaint is not None:
            self.request.refused_samples += len(found.times)
            if len(self.request.complaints) < COMPLAINTS_KEPT:
                self.request.complaints.append(found.complaint)
        elif found.times:
            # A series without samples says nothing.
            self.request.fresh.append(FreshSeries(tuple(found.pairs), found.times, found.values))

    def _took_a_zero(self, at: int, stop: int) -> bool:
        """Take a known series whose one sample is 0, which protobuf leaves out."""
        cut = stop - ZERO_SAMPLE_BYTES
        ref = self._ref_of.get(self._data[at:cut]) if cut > at else None
        if ref is None or self._data[cut : cut + 3] != b"\x12\x07\x10":
            return False
        time, after = read_varint(self._data, cut + 3)
        if after != stop:
            return False
        self._count(1, 1)
        self._long.append((ref, signed(time)))
        return True

    def _series_field(self, found: _Found, number: int, start: int, end: int) -> None:
        if number == 1 and found.complaint is None:
            try:
                found.pairs.append(self._label(start, end, len(found.pairs)))
            except (NotText, LimitExceeded) as error:
                found.complaint = error
        elif number == 2:
            time, value = _sample(self._data, start, end)
            found.times.append(time)
            found.values.append(value)
        elif number == 4:
            self.request.histograms += 1

    def _label(self, start: int, stop: int, label_count: int) -> tuple[str, str]:
        """Return a label, no more of them and no longer ones than the limits allow."""
        limits = self._limits
        if label_count >= limits.labels_per_series:
            raise LimitExceeded("labels_per_series", limits.labels_per_series, label_count + 1)
        name = value = b""
        for number, kind, left, right in _few_fields(self._data, start, stop):
            if kind == BYTES and number == 1:
                if right - left > UTF8_BYTES_MAX * limits.label_name_length:
                    raise LimitExceeded("label_name_length", limits.label_name_length, right - left)
                name = self._data[left:right]
            elif kind == BYTES and number == 2:
                if right - left > UTF8_BYTES_MAX * limits.label_value_length:
                    limit = limits.label_value_length
                    raise LimitExceeded("label_value_length", limit, right - left)
                value = self._data[left:right]
        return _text(name), _text(value)

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
        long_refs, long_times = np.array(self._long, np.int64).reshape(-1, 2).T
        self.request.refs = np.concatenate((refs, long_refs))
        self.request.times = np.concatenate((times, long_times))
        self.request.values = np.concatenate((values, np.zeros(len(long_refs))))


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


class NotText(BadData):
    """Bytes that should be UTF-8 are not: they cost the series that they stand in."""


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise NotText("a label is not UTF-8") from error


def _shortened(content: bytes) -> str:
    if len(content) <= METADATA_BYTES_MAX:
        return _text(content)
    return content[:METADATA_BYTES_MAX].decode(errors="ignore")


def _few_fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the fields of a small message: a label, a sample, a description."""
    for count, found in enumerate(fields(data, start, stop)):
        if count >= SMALL_MESSAGE_FIELDS_MAX:
            raise BadData(f"a label or sample of more than {SMALL_MESSAGE_FIELDS_MAX} fields")
        yield found


def _sample(data: bytes, start: int, stop: int) -> tuple[int, float]:
    time, value = 0, 0.0
    for number, kind, left, _ in _few_fields(data, start, stop):
        if kind == FIXED64 and number == 1:
            (value,) = struct.unpack_from("<d", data, left)
        elif kind == VARINT and number == 2:
            time = signed(left)
    return time, value


def _metadata(data: bytes, start: int, stop: int) -> Metadata:
    kind_number = 0
    texts = {2: "", 4: "", 5: ""}
    for number, kind, left, right in _few_fields(data, start, stop):
        if kind == VARINT and number == 1:
            kind_number = left
        elif kind == BYTES and number in texts:
            texts[number] = _shortened(data[left:right])
    kind_name = _KINDS[kind_number] if kind_number < len(_KINDS) else _KINDS[0]
    return Metadata(texts[2], kind_name, texts[4], texts[5])


def decode(data: bytes, ref_of: Mapping[Key, int], limits: Limits) -> Steps[Request]:
    """Return the samples of a write request.

    Raises:
        BadData: the bytes are none.
        LimitExceeded: it has more fields or samples than a request may; nothing behind is read.
    """
    try:
        return (yield from _Reader(data, ref_of, limits).read())
    except (BadData, ProtobufBroken):
        # A sample of another length may look like one: read everything the long way then.
        try:
            return (yield from _Reader(data, {}, limits).read())
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
