"""The functions named _over_time, deriv and predict_linear: every sample of a window counts."""

from collections.abc import Callable, Iterator

import numpy as np

from tsdb.columns.codec import Floats, Ints, Rows
from tsdb.promql.functions.sums import compensated_sum, mean
from tsdb.promql.values import Bools, Range
from tsdb.promql.windows import (
    by_lane,
    gathered,
    over_windows,
    range_windows,
    reduced,
    spread,
)
from tsdb.steps import Steps

type OverTime = Callable[[Range], Steps[tuple[Floats, Bools]]]
type OfWindows = Callable[[Floats, Bools], Floats]

# So many numbers of windows are laid out beside each other at a time.
NUMBERS_AT_ONCE = 65_536
# Steps of one lane that are worked on between two pauses.
STEPS_PER_PAUSE = 16


def _some(found: Range, values: Floats, at_least: int = 1) -> tuple[Floats, Bools]:
    windows = range_windows(found)
    enough = windows.right - windows.left >= at_least
    return values, np.broadcast_to(spread(enough, found.frame), values.shape)


def _by_ufunc(ufunc: np.ufunc) -> OverTime:
    def reduce(values: Floats, left: Ints, right: Ints) -> Floats:
        with np.errstate(invalid="ignore"):
            return over_windows(ufunc, values, left, right)

    def over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
        values = yield from reduced(found.frame, range_windows(found), reduce)
        return _some(found, values)

    return over_time


def _of_windows(function: OfWindows) -> OverTime:
    """Return a function over windows: of (rows, steps, samples), and which of those are there."""

    def over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
        frame, windows = found.frame, range_windows(found)
        out = np.full((len(frame.lane_of), len(found.ends_ms)), np.nan)
        for lane, rows, values in by_lane(frame):
            left, right = windows.left[lane], windows.right[lane]
            for of_rows, of_steps in _tiles(len(rows), right - left):
                yield
                width = int((right[of_steps] - left[of_steps]).max(initial=0))
                columns = left[of_steps][:, None] + np.arange(width)
                there = columns < right[of_steps][:, None]
                inside = values[of_rows][:, np.minimum(columns, max(0, values.shape[1] - 1))]
                with np.errstate(all="ignore"):
                    out[rows[of_rows][:, None], of_steps] = function(inside, there)
        return _some(found, out)

    return over_time


def _tiles(row_count: int, widths: Ints) -> Iterator[tuple[slice, Rows]]:
    """Yield rows and steps of which the windows together are so many numbers, or one window."""
    steps = np.flatnonzero(widths)
    if not len(steps):
        return
    width = int(widths.max())
    step_count = max(1, min(len(steps), NUMBERS_AT_ONCE // width))
    rows_at_once = max(1, NUMBERS_AT_ONCE // (width * step_count))
    for first_step in range(0, len(steps), step_count):
        for first_row in range(0, row_count, rows_at_once):
            yield (
                slice(first_row, first_row + rows_at_once),
                steps[first_step : first_step + step_count],
            )


def _constant(values: Floats, there: Bools) -> Bools:
    """Say which windows hold one finite number again and again."""
    first = values[..., :1]
    same: Bools = ((values == first) | ~there).all(axis=-1) & np.isfinite(first[..., 0])
    return same


def _sum(values: Floats, there: Bools) -> Floats:
    return compensated_sum(np.where(there, values, 0.0))


def _average(values: Floats, there: Bools) -> Floats:
    average = mean(np.where(there, values, 0.0), there.sum(axis=-1, dtype=np.float64))
    return np.where(_constant(values, there), values[..., 0], average)


def _variance(values: Floats, there: Bools) -> Floats:
    counts = there.sum(axis=-1)
    away = np.where(there, values - _average(values, there)[..., None], 0.0)
    # The mean is rounded: what it is off by is in the sum of the distances from it.
    off = compensated_sum(away)
    varies = (compensated_sum(away * away) - off * off / counts) / counts
    return np.where(_constant(values, there), 0.0, np.maximum(varies, 0.0))


def _deviation(values: Floats, there: Bools) -> Floats:
    return np.sqrt(_variance(values, there))


def count_over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
    yield
    windows = range_windows(found)
    counts = spread((windows.right - windows.left).astype(np.float64), found.frame)
    shape = (len(found.frame.lane_of), len(found.ends_ms))
    return _some(found, np.broadcast_to(counts, shape))


def last_over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
    yield
    return _some(found, gathered(found.frame, range_windows(found).right - 1))


def present_over_time(found: Range) -> Steps[tuple[Floats, Bools]]:
    yield
    return _some(found, np.ones((len(found.frame.lane_of), len(found.ends_ms))))


def _stepwise(
    found: Range, of_window: Callable[[Ints, Floats, int], Floats], at_least: int = 1
) -> Steps[tuple[Floats, Bools]]:
    """Apply of_window(times, values, step) to the samples of each lane and step."""
    frame, windows = found.frame, range_windows(found)
    out = np.full((len(frame.lane_of), len(found.ends_ms)), np.nan)
    for lane, rows, values in by_lane(frame):
        left, right = windows.left[lane].tolist(), windows.right[lane].tolist()
        for step, (start, stop) in enumerate(zip(left, right, strict=True)):
            if step % STEPS_PER_PAUSE == 0:
                yield
            if stop - start >= at_least:
                times = frame.times[lane, start:stop]
                out[rows, step] = of_window(times, values[:, start:stop], step)
    return _some(found, out, at_least)


def quantile_over_time(found: Range, phi: Floats) -> Steps[tuple[Floats, Bools]]:
    def of_window(_times: Ints, values: Floats, step: int) -> Floats:
        return quantiles(values, float(phi[step]))

    return (yield from _stepwise(found, of_window))


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


def deriv(found: Range) -> Steps[tuple[Floats, Bools]]:
    def slope(times: Ints, values: Floats, _step: int) -> Floats:
        return _line(times, values, int(times[0]))[0]

    return (yield from _stepwise(found, slope, at_least=2))


def predict_linear(found: Range, ahead_s: Floats, steps_ms: Ints) -> Steps[tuple[Floats, Bools]]:
    def predicted(times: Ints, values: Floats, step: int) -> Floats:
        slope, intercept = _line(times, values, int(steps_ms[step]))
        ahead: Floats = slope * ahead_s[step] + intercept
        return ahead

    return (yield from _stepwise(found, predicted, at_least=2))


OVER_TIME: dict[str, OverTime] = {
    "avg_over_time": _of_windows(_average),
    "count_over_time": count_over_time,
    "deriv": deriv,
    "last_over_time": last_over_time,
    "max_over_time": _by_ufunc(np.fmax),
    "min_over_time": _by_ufunc(np.fmin),
    "present_over_time": present_over_time,
    "stddev_over_time": _of_windows(_deviation),
    "stdvar_over_time": _of_windows(_variance),
    "sum_over_time": _of_windows(_sum),
}
