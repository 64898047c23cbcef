"""The text format of metrics: what exporters answer, and what is pushed.

# TYPE name counter
# HELP name What it means.
name{label="value"} 12.5 1700000000000

What is a line and what is not is as in Prometheus 2.42, but for two things that it takes and the
format does not allow: a line break within a label value, and a label __name__.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tsdb.columns.labels import NAME
from tsdb.errors import BadData, LimitExceeded
from tsdb.limits import Limits
from tsdb.steps import Steps
from tsdb.wire.remote import Metadata

# Every repetition is possessive: a line that does not fit is left at once, not tried again.
_LABEL = re.compile(
    r"([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"
    r'"((?:[^"\\\n]|\\.)*+)"[ \t]*+(?:,[ \t]*+)?'
)
_METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*+")
_OPENING = re.compile(r"\{[ \t]*+")
_NUMBERS = r"[ \t]*+([!-z|}~]++)(?:[ \t]++([0-9]++))?[ \t]*+"
_BARE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*+)" + _NUMBERS)
_BEHIND_LABELS = re.compile(_NUMBERS)
_COMMENT = re.compile(r"[ \t]*+#")
_ABOUT = re.compile(r"[ \t]*+#[ \t]++(TYPE|HELP)[ \t]++([a-zA-Z_:][a-zA-Z0-9_:]*+)?(.*+)")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE = re.compile(r"\\.")
KINDS = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown"})

LINES_PER_PAUSE = 500
# A text has a TYPE and a HELP for a metric, which has a sample at least; the rest is slack.
LINES_PER_SAMPLE_MAX, LINES_SLACK = 4, 1000
TIMESTAMP_MAX, TIMESTAMP_DIGITS_MAX = 2**63 - 1, 19
# Blanks and signs that may stand around the name and the value of one label.
LABEL_SLACK = 64
# The longest number that says something: the smallest float has 1075 digits.
NUMBER_CHARS_MAX = 1100
# How much of a text an error shows.
SHOWN_CHARS = 200


@dataclass
class Exposition:
    """Series as they stand in the text, each with a time in milliseconds or None, and a value."""

    series: list[str] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)


def parse_exposition(text: str, sample_limit: int) -> Steps[Exposition]:
    """Return what a text says; labels are not looked into yet, see series_pairs.

    Raises:
        BadData: a line is wrong, or there is more than the limit; says which line.
    """
    found = Exposition()
    lines_max = LINES_PER_SAMPLE_MAX * sample_limit + LINES_SLACK
    for number, line in enumerate(_lines(text), 1):
        if number % LINES_PER_PAUSE == 0:
            yield
        if number > lines_max:
            raise BadData(f"more lines than the limit of {lines_max}")
        try:
            _line(line, found)
        except ValueError as error:
            raise BadData(f"line {number}: {error}") from error
        if len(found.series) > sample_limit:
            raise BadData(f"more samples than the limit of {sample_limit}")
    return found


def _lines(text: str) -> Iterator[str]:
    """Yield the lines one by one: a list of them may take more memory than the text."""
    at = 0
    while (end := text.find("\n", at)) >= 0:
        yield text[at:end]
        at = end + 1
    yield text[at:]


def _line(line: str, found: Exposition) -> None:
    if not line or not line.strip(" \t"):
        return
    if _COMMENT.match(line):
        _comment(line, found.metadata)
        return
    # The last brace closes the labels, whatever their values hold: numbers have none.
    brace = line.rfind("}") + 1
    match = _BEHIND_LABELS.fullmatch(line, brace) if brace else _BARE.fullmatch(line)
    if match is None:
        raise ValueError("a sample is a series, a value and perhaps a timestamp in milliseconds")
    value, time = match.groups()[-2:]
    found.values.append(_number(value))
    found.times.append(None if time is None else _timestamp(time))
    found.series.append(line[:brace] if brace else match.group(1))


def _number(text: str) -> float:
    # Python reads more than Go: underscores, and a NaN with a sign.
    if len(text) <= NUMBER_CHARS_MAX and "_" not in text:
        with suppress(ValueError):
            value = float(text)
            letters = text.lstrip("+-")[:1].isalpha()
            if math.isfinite(value) or (letters and not (math.isnan(value) and text[0] in "+-")):
                return value
    raise ValueError(f"{text[:SHOWN_CHARS]!r} is not a number of 64 bits")


def _timestamp(text: str) -> int:
    digits = text.lstrip("0") or "0"
    if len(digits) > TIMESTAMP_DIGITS_MAX or int(digits) > TIMESTAMP_MAX:
        raise ValueError(f"{text[:SHOWN_CHARS]!r} is no timestamp in 64 bits of milliseconds")
    return int(digits)


def _comment(line: str, metadata: dict[str, Metadata]) -> None:
    about = _ABOUT.fullmatch(line)
    if about is None:
        return
    word, metric, rest = about.groups()
    if metric is None or rest[:1] not in ("", " ", "\t"):
        raise ValueError(f"{word} is followed by the name of a metric")
    known = metadata.get(metric, Metadata(metric, "unknown", "", ""))
    if word == "TYPE":
        kind = rest.strip(" \t")
        if kind not in KINDS:
            raise ValueError(f"{kind[:SHOWN_CHARS]!r} is not a type: {', '.join(sorted(KINDS))}")
        kind = "unknown" if kind == "untyped" else kind
        metadata[metric] = Metadata(metric, kind, known.help, "")
    else:
        metadata[metric] = Metadata(metric, known.kind, _ESCAPE.sub(_unescaped, rest[1:]), "")


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(), match.group())


def series_pairs(series: str, limits: Limits) -> list[tuple[str, str]]:
    """Return the labels of a series as the text has it, the metric name first.

    Raises:
        BadData: it is not written as the format has it, or has a label twice.
        LimitExceeded: too many labels, or one that is too long; nothing behind it is read.
    """
    metric = _METRIC.match(series)
    if metric is None:
        raise BadData(f"{series[:SHOWN_CHARS]!r} does not begin with the name of a metric")
    pairs = {NAME: metric.group(1)}
    at = metric.end()
    if at == len(series):
        return list(pairs.items())
    opening = _OPENING.match(series, at)
    at = opening.end() if opening else len(series)
    while at < len(series) and series[at] != "}":
        if len(pairs) >= limits.labels_per_series:
            raise LimitExceeded("labels_per_series", limits.labels_per_series, len(pairs) + 1)
        match = _label_at(series, at, limits)
        name, value = match.groups()
        if name in pairs:
            raise BadData(f"label {name!r} occurs twice in {series[:SHOWN_CHARS]!r}")
        pairs[name] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        at = match.end()
    if at != len(series) - 1:
        raise BadData(
            f"the labels of {series[:SHOWN_CHARS]!r} are not closed by a brace at the end"
        )
    return list(pairs.items())


def _label_at(series: str, at: int, limits: Limits) -> re.Match[str]:
    """Return the label that begins at a place. Looks no further than the longest one may go."""
    longest = limits.label_name_length + 2 * limits.label_value_length + LABEL_SLACK
    match = _LABEL.match(series, at, at + longest)
    if match is None:
        if len(series) > at + longest:
            raise LimitExceeded("label_value_length", limits.label_value_length, longest)
        raise BadData(f"the labels of {series[:SHOWN_CHARS]!r} are not well formed")
    return match
