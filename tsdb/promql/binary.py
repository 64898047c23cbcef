"""Operators between two vectors: how series find each other, and what comes out."""

from dataclasses import dataclass

import numpy as np

from tsdb.columns.codec import Floats, Rows
from tsdb.columns.labels import NAME, Pairs
from tsdb.columns.series import Series
from tsdb.errors import QueryFailed
from tsdb.promql.functions.mathematics import RENAMING, computed
from tsdb.promql.tree import Cardinality, Matching
from tsdb.promql.values import ROWS_PER_PAUSE, Bools, Scalar, Vector, merge_twins, nameless
from tsdb.steps import Steps, mapped


def between_scalars(op: str, left: Scalar, right: Scalar) -> Scalar:
    values, holds = computed(op, left.values, right.values)
    return Scalar(values if holds is None else holds.astype(np.float64))


def with_scalar(
    op: str, vector: Vector, scalar: Scalar, *, swapped: bool, returns_bool: bool
) -> Vector:
    """Apply an operator to each sample and a number; swapped: the number stands on the left.

    A comparison keeps the sample, whichever side it stands on.
    """
    number = scalar.values[None, :]
    left, right = (number, vector.values) if swapped else (vector.values, number)
    values, holds = computed(op, left, right)
    if holds is None:
        result = Vector(vector.series, values, vector.present)
        return nameless(result) if op in RENAMING else result
    if returns_bool:
        return nameless(Vector(vector.series, holds.astype(np.float64), vector.present))
    return Vector(vector.series, vector.values, vector.present & holds)


def _signatures(series: Series, matching: Matching) -> Steps[list[Pairs]]:
    if matching.on and not matching.labels:
        return [()] * len(series)
    groups = yield from series.grouped(without=not matching.on, labels=matching.labels)
    of_group = groups.pairs.pairs
    return (yield from mapped(of_group.__getitem__, groups.group_of.tolist(), ROWS_PER_PAUSE))


@dataclass(frozen=True)
class _Side:
    """One vector, and the number of the match group of each of its rows."""

    vector: Vector
    group_of: Rows


def _sides(left: Vector, right: Vector, matching: Matching) -> Steps[tuple[_Side, _Side, int]]:
    number_of: dict[Pairs, int] = {}

    def number(signature: Pairs) -> int:
        return number_of.setdefault(signature, len(number_of))

    sides = []
    for vector in (left, right):
        found = yield from _signatures(vector.series, matching)
        numbers = yield from mapped(number, found, ROWS_PER_PAUSE)
        sides.append(_Side(vector, np.array(numbers, np.intp)))
    return sides[0], sides[1], len(number_of)


def _anywhere(side: _Side, group_count: int) -> Bools:
    """Return for each group and step whether any row of the side is there."""
    found = np.zeros((group_count, side.vector.values.shape[1]), bool)
    np.logical_or.at(found, side.group_of, side.vector.present)
    return found


def set_operation(op: str, left: Vector, right: Vector, matching: Matching) -> Steps[Vector]:
    """and, or, unless: by the presence of a partner, step by step."""
    one, two, count = yield from _sides(left, right, matching)
    if op == "or":
        stays = right.present & ~_anywhere(one, count)[two.group_of]
        both = Series([*(yield from left.series.read()), *(yield from right.series.read())])
        values = np.concatenate((left.values, right.values))
        whole = Vector(both, values, np.concatenate((left.present, stays)))
        return (yield from merge_twins(whole))
    partner = _anywhere(two, count)[one.group_of]
    if op == "unless":
        partner = ~partner
    return Vector(left.series, left.values, left.present & partner)


def between_vectors(
    op: str, left: Vector, right: Vector, matching: Matching, *, returns_bool: bool
) -> Steps[Vector]:
    """Apply an operator to partners. For one-to-many, the sides change places and back.

    Raises:
        QueryFailed: at some step a series has more than one partner where one is allowed.
    """
    swapped = matching.cardinality is Cardinality.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    many_side, one_side, count = yield from _sides(many, one, matching)
    needed = many.present.any(axis=0)
    partner, partner_present, partner_row = yield from _partners(one_side, count, needed)
    rows = np.flatnonzero(np.isin(many_side.group_of, one_side.group_of))
    groups = many_side.group_of[rows]
    mine, theirs = many.values[rows], partner[groups]
    present = many.present[rows] & partner_present[groups]
    values, holds = computed(op, theirs if swapped else mine, mine if swapped else theirs)
    if holds is not None:
        if returns_bool:
            values = holds.astype(np.float64)
        else:
            present = present & holds
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        _check_single(groups, present, count)
    series = yield from _result_series(op, many.series.take(rows.tolist()), matching, returns_bool)
    if matching.include:
        series = yield from _with_included(series, one.series, partner_row[groups], matching)
    return (yield from _merged_result(Vector(series, values, present), matching))


def _partners(side: _Side, group_count: int, needed: Bools) -> Steps[tuple[Floats, Bools, Rows]]:
    """Return the one value of each group and step, where it is, and a row of the group.

    Two values only matter at steps where the other side has something at all: `needed`.
    """
    shape = (group_count, side.vector.values.shape[1])
    values, present = np.full(shape, np.nan), np.zeros(shape, bool)
    row_of = np.zeros(group_count, np.intp)
    for row, group in enumerate(side.group_of.tolist()):
        if row % ROWS_PER_PAUSE == 0:
            yield
        here = side.vector.present[row]
        if (present[group] & here & needed).any():
            raise QueryFailed(
                "found duplicate series for the match group on one side of the operation; "
                "many-to-many matching not allowed: matching labels must be unique on one side"
            )
        values[group, here] = side.vector.values[row, here]
        present[group] |= here
        row_of[group] = row
    return values, present, row_of


def _check_single(groups: Rows, present: Bools, group_count: int) -> None:
    total = np.zeros((group_count, present.shape[1]), np.int64)
    np.add.at(total, groups, present)
    if (total > 1).any():
        raise QueryFailed(
            "multiple matches for labels: many-to-one matching must be explicit "
            "(group_left/group_right)"
        )


def _result_series(
    op: str, series: Series, matching: Matching, returns_bool: bool
) -> Steps[Series]:
    drops_name = op in RENAMING or returns_bool
    single = matching.cardinality is Cardinality.ONE_TO_ONE
    chosen = frozenset(matching.labels)

    def result(pairs: Pairs) -> Pairs:
        if single and matching.on:
            pairs = tuple(pair for pair in pairs if pair[0] in chosen)
        elif single:
            pairs = tuple(pair for pair in pairs if pair[0] not in chosen)
        return tuple(pair for pair in pairs if pair[0] != NAME) if drops_name else pairs

    return (yield from series.changed(result))


def _with_included(series: Series, one: Series, rows: Rows, matching: Matching) -> Steps[Series]:
    out: list[Pairs] = []
    included = frozenset(matching.include)
    of_one = yield from one.read()
    for pairs, row in zip(series.pairs, rows.tolist(), strict=True):
        if len(out) % ROWS_PER_PAUSE == 0:
            yield
        taken = tuple(pair for pair in of_one[row] if pair[0] in included)
        kept = tuple(pair for pair in pairs if pair[0] not in included)
        out.append(tuple(sorted(kept + taken)))
    return Series(out)


def _merged_result(vector: Vector, matching: Matching) -> Steps[Vector]:
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        return (yield from merge_twins(vector))
    try:
        return (yield from merge_twins(vector))
    except QueryFailed as error:
        raise QueryFailed(
            "multiple matches for labels: grouping labels must ensure unique matches"
        ) from error
