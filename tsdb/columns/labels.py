"""The identity of a series: sorted label pairs, as one canonical string of bytes.

The canonical form of a label set is how Prometheus writes it in a remote write request: for each
pair, in the order of names, the protobuf field 1 of TimeSeries holding a Label message. A request
can therefore be looked up by the very bytes that came in: a known series is never decoded.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from cubernetes.host.protowire import read_varint, varint
from tsdb.errors import BadData, LimitExceeded
from tsdb.limits import Limits

type Key = bytes
type Pairs = tuple[tuple[str, str], ...]

NAME = "__name__"
LABELS_KEPT = 8192
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def key_of(pairs: Iterable[tuple[str, str]]) -> Key:
    """Return the canonical bytes of label pairs, in any order; empty values say nothing."""
    out = bytearray()
    for name, value in sorted(pairs):
        if not value:
            continue
        left, right = name.encode(), value.encode()
        label = b"\x0a" + varint(len(left)) + left + b"\x12" + varint(len(right)) + right
        out += b"\x0a" + varint(len(label)) + label
    return bytes(out)


def key_of_dict(labels: Mapping[str, str]) -> Key:
    return key_of(labels.items())


def pairs_of(key: Key) -> Pairs:
    """Return the label pairs of canonical bytes, in the order of names."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(key):
        # Nearly all lengths are one byte: only a longer one is read the general way.
        length, at = key[at + 1], at + 2
        if length >= 0x80:
            length, at = read_varint(key, at - 1)
        pairs.append(_pair(key[at : at + length]))
        at += length
    return tuple(pairs)


# Series share most of their labels: remembered, a pair takes a third of the time, and its texts
# are in memory once.
@lru_cache(maxsize=LABELS_KEPT)
def _pair(label: bytes) -> tuple[str, str]:
    length, at = read_varint(label, 1)
    name = label[at : at + length].decode()
    _, at = read_varint(label, at + length + 1)
    return name, label[at:].decode()


def check_labels(pairs: Iterable[tuple[str, str]], limits: Limits) -> Pairs:
    """Return the pairs in canonical order, or say what is wrong with them.

    Raises:
        BadData: a bad or repeated name, no metric name, a NUL or a lone surrogate.
        LimitExceeded: too many labels, or one that is too long.
    """
    some = [(name, value) for name, value in pairs if value]
    if len(some) > limits.labels_per_series:
        raise LimitExceeded("labels_per_series", limits.labels_per_series, len(some))
    found = tuple(sorted(some))
    before = ""
    for name, value in found:
        _check_pair(name, value, limits)
        if name == before:
            raise BadData(f"label {name!r} occurs twice in one series")
        before = name
    if not any(name == NAME for name, _ in found):
        raise BadData("a series needs the label __name__")
    return found


def _check_pair(name: str, value: str, limits: Limits) -> None:
    if len(name) > limits.label_name_length:
        raise LimitExceeded("label_name_length", limits.label_name_length, len(name))
    if len(value) > limits.label_value_length:
        raise LimitExceeded("label_value_length", limits.label_value_length, len(value))
    if not _LABEL_NAME.fullmatch(name):
        raise BadData(f"{name!r} is not a label name")
    if name == NAME and not _METRIC_NAME.fullmatch(value):
        raise BadData(f"{value!r} is not a metric name")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadData(f"the value of label {name!r} is not text") from error


def is_label_name(name: str) -> bool:
    return _LABEL_NAME.fullmatch(name) is not None


def is_metric_name(name: str) -> bool:
    return _METRIC_NAME.fullmatch(name) is not None


def metric_of(key: Key) -> str:
    return metric_in(pairs_of(key))


def metric_in(pairs: Pairs) -> str:
    """Return the metric name, or "" where there is none."""
    for name, value in pairs:
        if name == NAME:
            return value
    return ""
