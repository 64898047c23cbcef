"""Reading the parameters of a request, with Prometheus' words when they are wrong."""

import math
from collections.abc import Sequence
from datetime import datetime

from multidict import MultiDict, MultiMapping

from tsdb.errors import BadData
from tsdb.promql.lexer import duration_ms

type Parameters = MultiMapping[str]

FIRST_MS, LAST_MS = -(2**60), 2**60
_MS_MAX = 2**53


def text(parameters: Parameters, name: str) -> str:
    """Return a parameter that must be there."""
    value = parameters.get(name)
    if not value:
        raise BadData(f"invalid parameter {name!r}: it is missing")
    return value


def time_ms(parameters: Parameters, name: str, default_ms: int | None = None) -> int:
    """Return a moment: seconds since 1970 with a fraction, or RFC 3339."""
    value = parameters.get(name)
    if not value:
        if default_ms is None:
            raise BadData(f"invalid parameter {name!r}: cannot parse {value or ''!r}")
        return default_ms
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise BadData(f"invalid parameter {name!r}: {value!r} has no time zone")
            return round(moment.timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            said = f"invalid parameter {name!r}: cannot parse {value!r} to a valid timestamp"
            raise BadData(said) from error
    if not math.isfinite(seconds) or abs(seconds * 1000) > _MS_MAX:
        raise BadData(f"invalid parameter {name!r}: {value!r} is out of range")
    return round(seconds * 1000)


def span_ms(parameters: Parameters, name: str, default_ms: int | None = None) -> int:
    """Return a span: seconds, or a duration as 1m30s."""
    value = parameters.get(name)
    if not value:
        if default_ms is None:
            raise BadData(f"invalid parameter {name!r}: it is missing")
        return default_ms
    try:
        seconds = float(value)
    except ValueError:
        try:
            return duration_ms(value)
        except BadData as error:
            said = f"invalid parameter {name!r}: cannot parse {value!r} to a valid duration"
            raise BadData(said) from error
    if not math.isfinite(seconds) or abs(seconds * 1000) > _MS_MAX:
        raise BadData(f"invalid parameter {name!r}: {value!r} is out of range")
    return round(seconds * 1000)


def count(parameters: Parameters, name: str) -> int | None:
    """Return a whole number that may be missing."""
    value = parameters.get(name)
    if not value:
        return None
    if not value.lstrip("-").isdecimal():
        raise BadData(f"{name} must be a number")
    return int(value)


def selectors(parameters: Parameters, *, required: bool) -> Sequence[str]:
    """Return the match[] of a request."""
    found = parameters.getall("match[]", [])
    if required and not found:
        raise BadData("no match[] parameter provided")
    return found


def of_pairs(pairs: Sequence[tuple[str, str]]) -> Parameters:
    return MultiDict(pairs)
