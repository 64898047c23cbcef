"""histogram_quantile: from cumulative buckets to a quantile, as Prometheus interpolates it."""

import math

import numpy as np

from tsdb.codec import Floats, Rows
from tsdb.labels import Pairs
from tsdb.promql.values import ROWS_PER_PAUSE, Bools, Vector
from tsdb.series import Groups
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
    if bounds[-1] != math.inf:
        return out
    bounds, counts = _coalesced(bounds, counts)
    if len(bounds) < 2:
        return out
    # Buckets that were read at different moments may fall: a later one has at least as many.
    counts = np.fmax.accumulate(counts, axis=0)
    observations = counts[-1]
    with np.errstate(all="ignore"):
        rank = phi * observations
        at = (counts[:-1] < rank[None, :]).sum(axis=0)
        last = at == len(bounds) - 1
        below = np.maximum(at - 1, 0)
        columns = np.arange(counts.shape[1])
        start = np.where(at > 0, bounds[below], 0.0)
        before = np.where(at > 0, counts[below, columns], 0.0)
        within = counts[np.minimum(at, len(bounds) - 1), columns] - before
        end = bounds[np.minimum(at, len(bounds) - 1)]
        out = start + (end - start) * ((rank - before) / within)
    out = np.where((at == 0) & (bounds[0] <= 0), bounds[0], out)
    out = np.where(last, bounds[-2], out)
    out = np.where(~(observations != 0), np.nan, out)
    out = np.where(phi < 0, -math.inf, out)
    out = np.where(phi > 1, math.inf, out)
    return np.where(np.isnan(phi), np.nan, out)


def _coalesced(bounds: Floats, counts: Floats) -> tuple[Floats, Floats]:
    if (np.diff(bounds) != 0).all() or len(bounds) < 2:
        return bounds, counts
    starts = np.flatnonzero(np.concatenate(([True], bounds[1:] != bounds[:-1])))
    return bounds[starts], np.add.reduceat(counts, starts, axis=0)
