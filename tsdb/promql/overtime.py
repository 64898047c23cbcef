"""The functions named _over_time, deriv and predict_linear: every sample of a window counts."""

from collections.abc import Callable

import numpy as np

from tsdb.codec import Floats, Ints
from tsdb.promql.values import Bools, Range
from tsdb.promql.windows import (
    by_lane,
    gathered,
    over_windows,
    range_windows,
    reduced,
    spread,
)

type OverTime = Callable[[Range], tuple[Floats, Bools]]


def _some(found: Range, values: Floats, at_least: int = 1) -> tuple[Floats, Bools]:
    windows = range_windows(found)
    enough = windows.right - windows.left >= at_least
    return values, np.broadcast_to(spread(enough, found.frame), values.shape)


def _by_ufunc(ufunc: np.ufunc) -> OverTime:
    def over_time(found: Range) -> tuple[Floats, Bools]:
        def reduce(values: Floats, left: Ints, right: Ints) -> Floats:
            return over_windows(ufunc, values, left, right)

        with np.errstate(invalid="ignore"):
            return _some(found, reduced(found.frame, range_windows(found), reduce))

    return over_time


def count_over_time(found: Range) -> tuple[Floats, Bools]:
    windows = range_windows(found)
    counts = spread((windows.right - windows.left).astype(np.float64), found.frame)
    shape = (len(found.frame.lane_of), len(found.ends_ms))
    return _some(found, np.broadcast_to(counts, shape))


def avg_over_time(found: Range) -> tuple[Floats, Bools]:
    total, present = OVER_TIME["sum_over_time"](found)
    count, _ = count_over_time(found)
    with np.errstate(all="ignore"):
        return total / count, present


def last_over_time(found: Range) -> tuple[Floats, Bools]:
    return _some(found, gathered(found.frame, range_windows(found).right - 1))


def present_over_time(found: Range) -> tuple[Floats, Bools]:
    return _some(found, np.ones((len(found.frame.lane_of), len(found.ends_ms))))


def _stepwise(
    found: Range, of_window: Callable[[Ints, Floats, int], Floats], at_least: int = 1
) -> tuple[Floats, Bools]:
    """Apply of_window(times, values, step) to the samples of each lane and step."""
    frame, windows = found.frame, range_windows(found)
    out = np.full((len(frame.lane_of), len(found.ends_ms)), np.nan)
    for lane, rows, values in by_lane(frame):
        left, right = windows.left[lane].tolist(), windows.right[lane].tolist()
        for step, (start, stop) in enumerate(zip(left, right, strict=True)):
            if stop - start >= at_least:
                times = frame.times[lane, start:stop]
                out[rows, step] = of_window(times, values[:, start:stop], step)
    return _some(found, out, at_least)


def stddev_over_time(found: Range) -> tuple[Floats, Bools]:
    with np.errstate(invalid="ignore"):
        return _stepwise(found, lambda _times, values, _step: values.std(axis=1))


def stdvar_over_time(found: Range) -> tuple[Floats, Bools]:
    with np.errstate(invalid="ignore"):
        return _stepwise(found, lambda _times, values, _step: values.var(axis=1))


def quantile_over_time(found: Range, phi: Floats) -> tuple[Floats, Bools]:
    return _stepwise(found, lambda _times, values, step: quantiles(values, float(phi[step])))


def quantiles(values: Floats, phi: float) -> Floats:
    """Return the phi-quantile of every row, between its two nearest numbers; NaN is least."""
    rows, count = values.shape
    if np.isnan(phi) or not count:
        return np.full(rows, np.nan)
    if phi < 0 or phi > 1:
        return np.full(rows, np.copysign(np.inf, phi - 0.5))
    nan = np.isnan(values)
    ordered = np.sort(np.where(nan, -np.inf, values), axis=1)
    if nan.any():
        ordered[np.arange(count)[None, :] < nan.sum(axis=1)[:, None]] = np.nan
    rank = phi * (count - 1)
    low = int(max(0.0, np.floor(rank)))
    high = min(count - 1, low + 1)
    weight = rank - np.floor(rank)
    with np.errstate(invalid="ignore"):
        found: Floats = ordered[:, low] * (1 - weight) + ordered[:, high] * weight
    return found


def _line(times: Ints, values: Floats, origin_ms: int) -> tuple[Floats, Floats]:
    """Return slope per second and value at origin_ms of the line of least squares of each row."""
    seconds = (times - origin_ms) / 1000.0
    count = len(seconds)
    sum_x, sum_xx = seconds.sum(), (seconds * seconds).sum()
    # Prometheus takes the first value away where all are the same: then the slope is exactly 0.
    same = (values == values[:, :1]).all(axis=1)
    sum_y, sum_xy = values.sum(axis=1), values @ seconds
    with np.errstate(all="ignore"):
        cov = sum_xy - sum_x * sum_y / count
        var = sum_xx - sum_x * sum_x / count
        slope = cov / var
        intercept = sum_y / count - slope * sum_x / count
    finite = np.isfinite(values[:, 0])
    slope = np.where(same, np.where(finite, 0.0, np.nan), slope)
    intercept = np.where(same, np.where(finite, values[:, 0], np.nan), intercept)
    return slope, intercept


def deriv(found: Range) -> tuple[Floats, Bools]:
    return _stepwise(found, lambda t, v, _step: _line(t, v, int(t[0]))[0], at_least=2)


def predict_linear(found: Range, ahead_s: Floats, steps_ms: Ints) -> tuple[Floats, Bools]:
    def predicted(times: Ints, values: Floats, step: int) -> Floats:
        slope, intercept = _line(times, values, int(steps_ms[step]))
        ahead: Floats = slope * ahead_s[step] + intercept
        return ahead

    return _stepwise(found, predicted, at_least=2)


OVER_TIME: dict[str, OverTime] = {
    "avg_over_time": avg_over_time,
    "count_over_time": count_over_time,
    "deriv": deriv,
    "last_over_time": last_over_time,
    "max_over_time": _by_ufunc(np.fmax),
    "min_over_time": _by_ufunc(np.fmin),
    "present_over_time": present_over_time,
    "stddev_over_time": stddev_over_time,
    "stdvar_over_time": stdvar_over_time,
    "sum_over_time": _by_ufunc(np.add),
}
