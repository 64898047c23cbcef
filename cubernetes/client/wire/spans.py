"""Spans of time as Go writes them: `500ms`, `32s`, `1m30s`. Pure."""

import re

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
SPAN_CHARS_MAX = 40
SPAN_S_MAX = 10 * 365 * 24 * 3600.0
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|ns|h|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+|0", re.ASCII)


class NoSpan(ValueError):
    """A text is no span of time; says why."""


def span_s(text: str) -> float:
    """Return the seconds of a span. Raises: NoSpan."""
    if len(text) > SPAN_CHARS_MAX or not _SPAN.fullmatch(text):
        raise NoSpan(f"{text[:40]!r} is not a span such as 500ms, 30s, 1m30s or 2h")
    found_s = sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(text))
    if found_s > SPAN_S_MAX:
        raise NoSpan(f"{text[:40]!r} is longer than ten years")
    return found_s
