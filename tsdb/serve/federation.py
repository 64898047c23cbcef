"""Samples as the text that a Prometheus scrapes: for /federate."""

from collections.abc import Mapping, Sequence

from tsdb.columns.labels import NAME, Pairs
from tsdb.promql.text import number_text
from tsdb.query import Line
from tsdb.wire.remote import Metadata


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def series_text(pairs: Pairs) -> str:
    """Return a series as the text format writes it."""
    labels = dict(pairs)
    name = labels.pop(NAME, "")
    inside = ",".join(f'{label}="{escaped(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def federated(lines: Sequence[Line], metadata: Mapping[str, Metadata]) -> bytes:
    """Return lines of one sample each, grouped by metric, each group with its type."""
    out: list[str] = []
    before = ""
    for line in sorted(set_of(lines), key=lambda found: (dict(found.pairs)[NAME], found.pairs)):
        name = dict(line.pairs)[NAME]
        if name != before:
            kind = metadata[name].kind if name in metadata else "unknown"
            out.append(f"# TYPE {name} {'untyped' if kind == 'unknown' else kind}")
            before = name
        value = number_text(float(line.values[0]))
        out.append(f"{series_text(line.pairs)} {value} {int(line.times_ms[0])}")
    return "\n".join([*out, ""]).encode()


def set_of(lines: Sequence[Line]) -> list[Line]:
    """Return each series once: two selectors may both have found it."""
    return list({line.pairs: line for line in lines}.values())
