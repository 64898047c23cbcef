"""label_replace and label_join: new labels from old ones."""

import re
from collections.abc import Iterable, Iterator

from tsdb.budget import Budget
from tsdb.columns.labels import Pairs, is_label_name
from tsdb.columns.matching import Groups, compiled_groups
from tsdb.columns.series import Series
from tsdb.errors import BadData, QueryFailed
from tsdb.promql.values import Vector
from tsdb.steps import Steps

# Text that a query makes counts as the samples that would fit in its place.
CHARACTERS_PER_SAMPLE = 8
GROUP_DIGITS_MAX = 4

_REFERENCE = re.compile(r"\$(?:\$|\{(\w++)\}|(\w++))")


def _with_label(pairs: Pairs, name: str, value: str) -> Pairs:
    kept = [pair for pair in pairs if pair[0] != name]
    if value:
        kept.append((name, value))
    return tuple(sorted(kept))


class Maker:
    """Makes label values for one query: each within the limit, and all charged to its budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def value(self, pieces: Iterable[str]) -> str:
        """Return the pieces as one value; one that would be too long is never put together.

        Raises:
            LimitExceeded: it has more characters than a label may, or the query has made too much.
        """
        kept: list[str] = []
        length = 0
        for piece in pieces:
            length += len(piece)
            self._budget.check_label(length)
            kept.append(piece)
        self._budget.charge_samples(length // CHARACTERS_PER_SAMPLE)
        return "".join(kept)


def _relabelled(vector: Vector, series: Series) -> Steps[Vector]:
    if (yield from series.has_twins()):
        raise QueryFailed("vector cannot contain metrics with the same labelset")
    return Vector(series, vector.values, vector.present)


def _pieces(template: str) -> list[tuple[str, str]]:
    """Return a template as (text, reference) pairs, either of which may be empty."""
    found, at = [], 0
    for match in _REFERENCE.finditer(template):
        name = match.group(1) or match.group(2)
        before = template[at : match.start()]
        found.append((before + "$", "") if name is None else (before, name))
        at = match.end()
    return [*found, (template[at:], "")]


def label_replace(
    vector: Vector, maker: Maker, target: str, template: str, source: str, pattern: str
) -> Steps[Vector]:
    """Set a label from a template with $1 or ${name}, where the source label fits the pattern."""
    compiled = compiled_groups(pattern)
    if not is_label_name(target):
        raise BadData(f"invalid destination label name in label_replace(): {target[:200]}")
    pieces = _pieces(template)

    def expanded(found: Groups) -> Iterator[str]:
        for text, name in pieces:
            yield text
            if name:
                yield _group(found, name)

    def replaced(pairs: Pairs) -> Pairs:
        found = compiled.fullmatch(dict(pairs).get(source, ""))
        return pairs if found is None else _with_label(pairs, target, maker.value(expanded(found)))

    return (yield from _relabelled(vector, (yield from vector.series.changed(replaced, 16))))


def _group(found: Groups, name: str) -> str:
    is_number = name.isascii() and name.isdigit() and len(name) <= GROUP_DIGITS_MAX
    try:
        return found.group(int(name) if is_number else name) or ""
    except (IndexError, KeyError):
        return ""


def label_join(
    vector: Vector, maker: Maker, target: str, separator: str, sources: list[str]
) -> Steps[Vector]:
    """Set a label to the values of others, with a separator between them."""
    for name in (target, *sources):
        if not is_label_name(name):
            raise BadData(f"invalid label name in label_join(): {name[:200]}")

    def values(labels: dict[str, str]) -> Iterator[str]:
        for number, name in enumerate(sources):
            yield (separator if number else "") + labels.get(name, "")

    def joined(pairs: Pairs) -> Pairs:
        return _with_label(pairs, target, maker.value(values(dict(pairs))))

    return (yield from _relabelled(vector, (yield from vector.series.changed(joined, 16))))
