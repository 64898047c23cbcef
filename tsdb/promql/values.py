"""What expressions are worth: for every step at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsdb.columns.codec import Floats, Ints
from tsdb.columns.frame import Frame
from tsdb.columns.labels import Pairs
from tsdb.columns.series import Series
from tsdb.errors import QueryFailed
from tsdb.steps import Steps, mapped

# Rows that a loop over them works on between two pauses.
ROWS_PER_PAUSE = 256

type Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scalar:
    """One number for each step."""

    values: Floats


@dataclass(frozen=True)
class Words:
    """A string."""

    text: str


@dataclass(frozen=True)
class Vector:
    """Series by steps: values count where present is true. ordered: keep the order of rows."""

    series: Series
    values: Floats
    present: Bools
    ordered: bool = False


@dataclass(frozen=True)
class Range:
    """Samples of series, without stale markers, and for each step the window that counts.

    The window of step j goes from ends_ms[j] - range_ms to ends_ms[j], both included.
    """

    series: Series
    frame: Frame
    ends_ms: Ints
    range_ms: int


type Value = Scalar | Words | Vector | Range


def merge_twins(vector: Vector) -> Steps[Vector]:
    """Put rows with the same labels together, which is fine as long as they are never both there.

    Raises:
        QueryFailed: they are, at some step.
    """
    if not (yield from vector.series.has_twins()):
        return vector
    number_of: dict[Pairs, int] = {}
    rows = yield from mapped(
        lambda pairs: number_of.setdefault(pairs, len(number_of)),
        vector.series.pairs,
        ROWS_PER_PAUSE,
    )
    values = np.full((len(number_of), vector.values.shape[1]), np.nan)
    present = np.zeros(values.shape, bool)
    for row, target in enumerate(rows):
        if row % ROWS_PER_PAUSE == 0:
            yield
        here = vector.present[row]
        if (present[target] & here).any():
            raise QueryFailed("vector cannot contain metrics with the same labelset")
        values[target, here] = vector.values[row, here]
        present[target] |= here
    return Vector(Series(list(number_of)), values, present)


def nameless(vector: Vector) -> Vector:
    """Take the metric names away: what was computed is no longer that metric."""
    return Vector(vector.series.without_name(), vector.values, vector.present)
