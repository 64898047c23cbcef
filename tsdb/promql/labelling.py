"""label_replace and label_join: new labels from old ones."""

import re

import re2

from tsdb.errors import BadData, QueryFailed
from tsdb.labels import Pairs, is_label_name
from tsdb.matching import Matcher, Op
from tsdb.promql.values import Vector
from tsdb.series import Series

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


def _with_label(pairs: Pairs, name: str, value: str) -> Pairs:
    kept = [pair for pair in pairs if pair[0] != name]
    if value:
        kept.append((name, value))
    return tuple(sorted(kept))


def _relabelled(vector: Vector, series: Series) -> Vector:
    if series.has_twins():
        raise QueryFailed("vector cannot contain metrics with the same labelset")
    return Vector(series, vector.values, vector.present)


def label_replace(vector: Vector, target: str, template: str, source: str, pattern: str) -> Vector:
    """Set a label from a template with $1 or ${name}, where the source label fits the pattern."""
    # The matcher refuses what RE2 refuses, with the same words as a selector.
    Matcher(source, Op.LIKE, pattern)
    compiled = re2.compile(f"(?s:{pattern})")
    if not is_label_name(target):
        raise BadData(f"invalid destination label name in label_replace(): {target}")

    def replaced(pairs: Pairs) -> Pairs:
        found = compiled.fullmatch(dict(pairs).get(source, ""))
        if found is None:
            return pairs

        def expanded(reference: re.Match[str]) -> str:
            name = reference.group(1) or reference.group(2)
            if name is None:
                return "$"
            try:
                value = found.group(int(name) if name.isdigit() else name)
            except (IndexError, KeyError):
                return ""
            return value or ""

        return _with_label(pairs, target, _REFERENCE.sub(expanded, template))

    return _relabelled(vector, vector.series.changed(replaced))


def label_join(vector: Vector, target: str, separator: str, sources: list[str]) -> Vector:
    """Set a label to the values of others, with a separator between them."""
    for name in (target, *sources):
        if not is_label_name(name):
            raise BadData(f"invalid label name in label_join(): {name}")

    def joined(pairs: Pairs) -> Pairs:
        labels = dict(pairs)
        return _with_label(pairs, target, separator.join(labels.get(n, "") for n in sources))

    return _relabelled(vector, vector.series.changed(joined))
