"""Functions and operators of single numbers, applied to whole matrices."""

from collections.abc import Callable

import numpy as np

from tsdb.columns.codec import Floats, Ints
from tsdb.promql.values import Bools


def _quiet(function: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    def quietly(values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return function(values)

    return quietly


UNARY: dict[str, Callable[[Floats], Floats]] = {
    name: _quiet(function)
    for name, function in {
        "abs": np.abs,
        "acos": np.arccos,
        "acosh": np.arccosh,
        "asin": np.arcsin,
        "asinh": np.arcsinh,
        "atan": np.arctan,
        "atanh": np.arctanh,
        "ceil": np.ceil,
        "cos": np.cos,
        "cosh": np.cosh,
        "deg": np.degrees,
        "exp": np.exp,
        "floor": np.floor,
        "ln": np.log,
        "log10": np.log10,
        "log2": np.log2,
        "rad": np.radians,
        "sgn": np.sign,
        "sin": np.sin,
        "sinh": np.sinh,
        "sqrt": np.sqrt,
        "tan": np.tan,
        "tanh": np.tanh,
    }.items()
}


def rounded(values: Floats, nearest: Floats) -> Floats:
    """Return multiples of nearest, halves going up."""
    with np.errstate(all="ignore"):
        inverse = 1.0 / nearest
        out: Floats = np.floor(values * inverse + 0.5) / inverse
    return out


def clamped(values: Floats, low: Floats, high: Floats) -> Floats:
    """Return max(low, min(high, values)), NaN where any of them is."""
    out: Floats = np.maximum(low, np.minimum(high, values))
    return out


def _divided(left: Floats, right: Floats) -> Floats:
    out: Floats = left / right
    return out


def _modulo(left: Floats, right: Floats) -> Floats:
    out: Floats = np.fmod(left, right)
    return out


ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divided,
    "%": _modulo,
    "^": lambda left, right: np.power(left, right),
    "atan2": lambda left, right: np.arctan2(left, right),
}
# What comes out of these is no longer the metric that went in. (Prometheus 2.42 leaves atan2 out.)
RENAMING = frozenset(ARITHMETIC) - {"atan2"}
COMPARISON: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def computed(op: str, left: Floats, right: Floats) -> tuple[Floats, Bools | None]:
    """Return the result of an operator; for a comparison, the left side and where it holds."""
    with np.errstate(all="ignore"):
        if op in ARITHMETIC:
            return ARITHMETIC[op](left, right), None
        return left, COMPARISON[op](left, right)


_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def calendar(name: str, seconds: Floats) -> Floats:
    """Return what a clock in UTC shows at seconds since 1970: hour, month, day_of_week, ..."""
    odd = ~(np.abs(seconds) < 2**53)
    whole = np.where(odd, 0, np.trunc(seconds)).astype(np.int64)
    days = np.floor_divide(whole, 86_400)
    stamps = days.astype("datetime64[D]")
    months = stamps.astype("datetime64[M]")
    years = stamps.astype("datetime64[Y]")
    month = months.astype(np.int64) - years.astype("datetime64[M]").astype(np.int64) + 1
    year = years.astype(np.int64) + 1970
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    found: dict[str, Ints] = {
        "minute": whole // 60 % 60,
        "hour": whole // 3600 % 24,
        "day_of_week": (days + 4) % 7,
        "day_of_month": (stamps - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "day_of_year": (stamps - years.astype("datetime64[D]")).astype(np.int64) + 1,
        "days_in_month": _DAYS[month - 1] + (leap & (month == 2)),
        "month": month,
        "year": year,
    }
    return np.where(odd, np.nan, found[name])
