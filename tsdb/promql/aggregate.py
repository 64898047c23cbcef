"""Aggregations: many series become few, step by step."""

from collections.abc import Callable, Iterator

import numpy as np

from tsdb.columns.codec import Floats, Rows
from tsdb.columns.labels import Pairs, is_label_name
from tsdb.columns.series import Groups, Series
from tsdb.errors import BadData
from tsdb.promql.functions.overtime import quantiles
from tsdb.promql.functions.sums import DOWN
from tsdb.promql.text import number_text
from tsdb.promql.values import Bools, Vector
from tsdb.steps import Steps

GROUPS_PER_PAUSE, SAMPLES_PER_PAUSE = 64, 1024

type Fold = Callable[[Floats, Bools], Floats]


def aggregate(op: str, vector: Vector, groups: Groups) -> Steps[Vector]:
    """Apply sum, min, max, avg, count, group, stddev or stdvar to each group of rows."""
    steps = vector.values.shape[1]
    values = np.empty((len(groups.pairs), steps))
    present = np.empty((len(groups.pairs), steps), bool)
    fold = _FOLDS[op]
    for group, rows in _members(groups):
        if group % GROUPS_PER_PAUSE == 0:
            yield
        mine, there = _rows(vector, rows)
        present[group] = there.any(axis=0)
        with np.errstate(all="ignore"):
            values[group] = fold(mine, there)
    return Vector(groups.pairs, values, present)


def _members(groups: Groups) -> Iterator[tuple[int, Rows | None]]:
    """Yield each group and its rows; None means all of them."""
    count = len(groups.pairs)
    if count == 1:
        yield 0, None
        return
    order = np.argsort(groups.group_of, kind="stable")
    cuts = np.searchsorted(groups.group_of[order], np.arange(count + 1))
    for group in range(count):
        yield group, order[cuts[group] : cuts[group + 1]]


def _rows(vector: Vector, rows: Rows | None) -> tuple[Floats, Bools]:
    if rows is None:
        return vector.values, vector.present
    return vector.values[rows], vector.present[rows]


def _sum(values: Floats, present: Bools) -> Floats:
    if present.all():
        total: Floats = values.sum(axis=0)
        return total
    return np.where(present, values, 0.0).sum(axis=0)


def _count(_values: Floats, present: Bools) -> Floats:
    return present.sum(axis=0).astype(np.float64)


def _average(values: Floats, present: Bools) -> Floats:
    total, counts = _sum(values, present), present.sum(axis=0)
    least, most = _least(values, present), _most(values, present)
    average = total / counts
    # A sum may be too large for a float where no number is.
    is_over = ~np.isfinite(total) & np.isfinite(least) & np.isfinite(most) & ~np.isnan(total)
    if is_over.any():
        average = np.where(is_over, _sum(values * DOWN, present) / counts / DOWN, average)
    # What is the same everywhere is its own mean, to the last bit.
    return np.where((least == most) & ~np.isnan(total), least, average)


def _least(values: Floats, present: Bools) -> Floats:
    least: Floats = np.fmin.reduce(np.where(present, values, np.nan), axis=0)
    return least


def _most(values: Floats, present: Bools) -> Floats:
    most: Floats = np.fmax.reduce(np.where(present, values, np.nan), axis=0)
    return most


def _variance(values: Floats, present: Bools) -> Floats:
    away = np.where(present, values - _average(values, present), 0.0)
    count = present.sum(axis=0)
    # One sample does not vary, not even where it is infinite.
    return np.where(count == 1, 0.0, (away * away).sum(axis=0) / count)


def _deviation(values: Floats, present: Bools) -> Floats:
    return np.sqrt(_variance(values, present))


def _group(_values: Floats, present: Bools) -> Floats:
    return np.ones(present.shape[1])


_FOLDS: dict[str, Fold] = {
    "avg": _average,
    "count": _count,
    "group": _group,
    "max": _most,
    "min": _least,
    "stddev": _deviation,
    "stdvar": _variance,
    "sum": _sum,
}


def quantile(vector: Vector, groups: Groups, phi: Floats) -> Steps[Vector]:
    """Return the phi-quantile of each group and step, over the rows that are there."""
    steps = vector.values.shape[1]
    values = np.full((len(groups.pairs), steps), np.nan)
    present = np.zeros((len(groups.pairs), steps), bool)
    for group, rows in _members(groups):
        yield
        mine, there = _rows(vector, rows)
        present[group] = there.any(axis=0)
        constant = bool((phi == phi[0]).all()) if len(phi) else False
        if constant and there.all():
            values[group] = quantiles(np.ascontiguousarray(mine.T), float(phi[0]))
            continue
        for step in np.flatnonzero(present[group]).tolist():
            yield
            column = mine[there[:, step], step]
            values[group, step] = quantiles(column[None, :], float(phi[step]))[0]
    return Vector(groups.pairs, values, present)


def extremes(vector: Vector, groups: Groups, counts: Floats, *, largest: bool) -> Steps[Vector]:
    """topk and bottomk: of each group and step the rows with the k largest or smallest values.

    The rows come in the order of their values where there is one step. NaN comes last.
    """
    wanted = np.where(np.isfinite(counts), counts, 0).clip(0, len(vector.series)).astype(int)
    kept = np.zeros(vector.present.shape, bool)
    rank = -vector.values if largest else vector.values
    rank = np.where(np.isnan(rank), np.inf, rank)
    for _, rows in _members(groups):
        yield
        members = np.arange(len(vector.series)) if rows is None else rows
        mine = np.where(vector.present[members], rank[members], np.inf)
        # What is absent goes behind all that is there, NaN included.
        order = np.lexsort((mine, ~vector.present[members]), axis=0)
        for step, count in enumerate(wanted.tolist()):
            kept[members[order[:count, step]], step] = True
    kept &= vector.present
    rows = np.flatnonzero(kept.any(axis=1))
    if kept.shape[1] == 1:
        rows = rows[np.lexsort((rank[rows, 0], groups.group_of[rows]))]
    series = vector.series.take(rows.tolist())
    return Vector(series, vector.values[rows], kept[rows], ordered=True)


def count_values(
    vector: Vector, groups: Groups, label: str, charge: Callable[[int], None]
) -> Steps[Vector]:
    """Count the rows of each group by their value, which becomes a label.

    charge hears of the size of each new row before it is made: there may be one for each sample.
    """
    if not is_label_name(label):
        raise BadData(f"invalid label name {label!r}")
    steps = vector.values.shape[1]
    found: dict[Pairs, Floats] = {}
    rows, columns = np.nonzero(vector.present)
    for count, (row, step) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        if count % SAMPLES_PER_PAUSE == 0:
            yield
        pairs = groups.pairs.pairs[int(groups.group_of[row])]
        kept = tuple(pair for pair in pairs if pair[0] != label)
        text = number_text(float(vector.values[row, step]))
        name = tuple(sorted((*kept, (label, text))))
        if name not in found:
            charge(steps)
            found[name] = np.zeros(steps)
        found[name][step] += 1
    values = np.array(list(found.values())).reshape(-1, steps)
    return Vector(Series(list(found)), values, values > 0)
