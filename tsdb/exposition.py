"""The text format of metrics: what exporters answer, and what is pushed.

# TYPE name counter
# HELP name What it means.
name{label="value"} 12.5 1700000000000
"""

import re
from dataclasses import dataclass, field

from tsdb.errors import BadData
from tsdb.labels import NAME
from tsdb.remote import Metadata

_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|$)')
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE = re.compile(r"\\.")
KINDS = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown"})


@dataclass
class Exposition:
    """Series as they stand in the text, each with a time in milliseconds or None, and a value."""

    series: list[str] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)


def parse_exposition(text: str, sample_limit: int) -> Exposition:
    """Return what a text says; labels are not looked into yet, see series_pairs.

    Raises:
        BadData: a line is wrong, or there are more samples than the limit; says which line.
    """
    found = Exposition()
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.isspace():
            continue
        if line[0] == "#":
            _comment(line, found.metadata)
            continue
        try:
            _sample(line, found)
        except ValueError as error:
            raise BadData(f"line {number}: {error}") from error
        if len(found.series) > sample_limit:
            raise BadData(f"more samples than the limit of {sample_limit}")
    return found


def _sample(line: str, found: Exposition) -> None:
    # The last brace closes the labels, whatever their values hold: numbers have none.
    brace = line.rfind("}") + 1
    if brace:
        series, rest = line[:brace], line[brace:].split()
    else:
        series, *rest = line.split()
    if not rest or len(rest) > 2:
        raise ValueError("a sample needs a value and perhaps a timestamp")
    found.values.append(_number(rest[0]))
    found.times.append(int(rest[1]) if len(rest) == 2 else None)
    found.series.append(series)


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _comment(line: str, metadata: dict[str, Metadata]) -> None:
    words = line.split(None, 3)
    if len(words) < 3 or words[0] != "#" or words[1] not in ("TYPE", "HELP"):
        return
    metric, rest = words[2], words[3] if len(words) > 3 else ""
    known = metadata.get(metric, Metadata(metric, "unknown", "", ""))
    if words[1] == "TYPE":
        kind = rest.strip()
        kind = "unknown" if kind not in KINDS or kind == "untyped" else kind
        metadata[metric] = Metadata(metric, kind, known.help, "")
    else:
        metadata[metric] = Metadata(metric, known.kind, rest.replace("\\n", "\n"), "")


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(), match.group())


def series_pairs(series: str) -> list[tuple[str, str]]:
    """Return the labels of a series as the text has it, the metric name among them.

    Raises:
        BadData: it is not written as the format has it.
    """
    metric, brace, rest = series.partition("{")
    metric = metric.strip()
    pairs: list[tuple[str, str]] = []
    if metric:
        if not _METRIC.fullmatch(metric):
            raise BadData(f"{metric!r} is not a metric name")
        pairs.append((NAME, metric))
    if not brace:
        return pairs
    inside, at = rest[:-1], 0
    while inside[at:].strip():
        match = _LABEL.match(inside, at)
        if match is None:
            raise BadData(f"the labels of {series[:200]!r} are not well formed")
        value = match.group(2)
        pairs.append((match.group(1), _ESCAPE.sub(_unescaped, value) if "\\" in value else value))
        at = match.end()
    return pairs
