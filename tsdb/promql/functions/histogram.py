"""histogram_quantile: from cumulative buckets to a quantile, as Prometheus interpolates it."""

import math

import numpy as np

from tsdb.columns.codec import Floats, Rows
from tsdb.columns.labels import Pairs
from tsdb.columns.series import Groups
from tsdb.promql.values import ROWS_PER_PAUSE, Bools, Vector
from tsdb.steps import Steps, mapped

BOUND = "le"


def histogram_quantile(phi: Floats, vector: Vector) -> Steps[Vector]:
    """Return the phi-quantile of every histogram: series that differ in le alone."""
    every = yield from vector.series.read()
    bounds = np.array((yield from mapped(_bound, every, ROWS_PER_PAUSE)), np.float64)
    usable = np.flatnonzero(~np.isnan(bounds))
    series = vector.series.take(usable.tolist())
    groups: Groups = yield from series.grouped(without=True, labels=(BOUND,))
    steps = vector.values.shape[1]
    values = np.full((len(groups.pairs), steps), np.nan)
    present = np.zeros((len(groups.pairs), steps), bool)
    order = np.lexsort((bounds[usable], groups.group_of))
    cuts = np.searchsorted(groups.group_of[order], np.arange(len(groups.pairs) + 1))
    for group in range(len(groups.pairs)):
        rows = usable[order[cuts[group] : cuts[group + 1]]]
        there = vector.present[rows]
        present[group] = there.any(axis=0)
        for columns, buckets in _alike(there):
            yield
            counts = vector.values[np.ix_(rows[buckets], columns)]
            values[group, columns] = _quantiles(phi[columns], bounds[rows[buckets]], counts)
    return Vector(groups.pairs, values, present)


def _bound(pairs: Pairs) -> float:
    text = dict(pairs).get(BOUND, "")
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan


def _alike(there: Bools) -> list[tuple[Rows, Rows]]:
    """Return steps that have the same buckets, and those buckets."""
    if there.all():
        return [(np.arange(there.shape[1]), np.arange(len(there)))]
    patterns, inverse = np.unique(there, axis=1, return_inverse=True)
    return [
        (np.flatnonzero(inverse == index), np.flatnonzero(patterns[:, index]))
        for index in range(patterns.shape[1])
        if patterns[:, index].any()
    ]


def _quantiles(phi: Floats, bounds: Floats, counts: Floats) -> Floats:
    """Return a quantile for each column of counts; bounds ascend."""
    out = np.full(counts.shape[1], np.nan)
    if bounds[-1] == math.inf:
        bounds, counts = _coalesced(bounds, counts)
        if len(bounds) > 1:
            out = _interpolated(phi, bounds, counts)
    # What is no quantile is answered whatever the buckets are.
    out = np.where(phi < 0, -math.inf, out)
    out = np.where(phi > 1, math.inf, out)
    return np.where(np.isnan(phi), np.nan, out)


def _interpolated(phi: Floats, bounds: Floats, counts: Floats) -> Floats:
    # Buckets that were read at different moments may fall: a later one has at least as many.
    counts = np.where(np.isnan(counts), np.nan, np.fmax.accumulate(counts, axis=0))
    observations = counts[-1]
    with np.errstate(all="ignore"):
        rank = phi * observations
        at = _first_at_least(counts[:-1], rank)
        below = np.maximum(at - 1, 0)
        columns = np.arange(counts.shape[1])
        start = np.where(at > 0, bounds[below], 0.0)
        before = np.where(at > 0, counts[below, columns], 0.0)
        within = counts[at, columns] - before
        out = start + (bounds[at] - start) * ((rank - before) / within)
    out = np.where((at == 0) & (bounds[0] <= 0), bounds[0], out)
    out = np.where(at == len(bounds) - 1, bounds[-2], out)
    return np.where(observations == 0, np.nan, out)


def _first_at_least(counts: Floats, rank: Floats) -> Rows:
    """Return for each column the first row that is at least the rank, or the number of rows.

    Found by halving, as Prometheus does: of counts that are NaN, it depends on where one looks.
    """
    low = np.zeros(len(rank), np.intp)
    high = np.full(len(rank), len(counts), np.intp)
    columns = np.arange(len(rank))
    while (open_ := low < high).any():
        middle = (low + high) // 2
        reaches = counts[np.minimum(middle, len(counts) - 1), columns] >= rank
        high = np.where(open_ & reaches, middle, high)
        low = np.where(open_ & ~reaches, middle + 1, low)
    return low


def _coalesced(bounds: Floats, counts: Floats) -> tuple[Floats, Floats]:
    if (np.diff(bounds) != 0).all() or len(bounds) < 2:
        return bounds, counts
    starts = np.flatnonzero(np.concatenate(([True], bounds[1:] != bounds[:-1])))
    return bounds[starts], np.add.reduceat(counts, starts, axis=0)
