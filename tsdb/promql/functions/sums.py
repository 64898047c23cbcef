"""Sums and means that do not lose what small numbers add to large ones.

Numbers are added pair by pair, and the errors of these additions, which are floats themselves, are
added too (the two-sum of Knuth; the pairs are those of a tree, so that numpy adds whole halves).
"""

import numpy as np

from tsdb.columns.codec import Floats

# What is scaled down by this and up again loses nothing but what is below the smallest floats.
DOWN = 2.0**-64


def compensated_sum(values: Floats) -> Floats:
    """Return the sum of the last axis: infinite and NaN where adding one by one would give that."""
    total, error = _two_sum_tree(values)
    return np.where(np.isfinite(total), total + error, total)


def mean(values: Floats, counts: Floats) -> Floats:
    """Return the mean of the last axis, which is filled up with zeros beyond the counts.

    Neither infinite where the sum is too large for a float, nor off where all are the same.
    """
    total, error = _two_sum_tree(values)
    whole = (total + error) / counts
    if np.isfinite(total).all():
        return whole
    scaled, error = _two_sum_tree(values * DOWN)
    scaled = np.where(np.isfinite(scaled), scaled + error, scaled)
    return np.where(np.isfinite(total), whole, scaled / counts / DOWN)


def _two_sum_tree(values: Floats) -> tuple[Floats, Floats]:
    """Return the sum of the last axis, and the sum of what its additions have rounded away."""
    errors = np.zeros(values.shape[:-1])
    while (width := values.shape[-1]) > 1:
        half = width // 2
        left, right = values[..., :half], values[..., half : 2 * half]
        total = left + right
        virtual = total - left
        errors += ((left - (total - virtual)) + (right - virtual)).sum(axis=-1)
        values = np.concatenate((total, values[..., 2 * half :]), axis=-1)
    if not values.shape[-1]:
        return errors, errors
    return values[..., 0], errors
