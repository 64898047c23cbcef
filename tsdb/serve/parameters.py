"""Reading the parameters of a request, with Prometheus' words when they are wrong."""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qsl

from cubernetes.host.web.messages import Request
from tsdb.errors import BadData
from tsdb.promql.lexer import duration_ms

_COUNT = re.compile(r"-?[0-9]{1,18}")
FIELDS_MAX = 1000
FORM_BYTES_MAX = 2**20


class Parameters:
    """Names and values in the order in which they came; a name may have several values."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, name: str) -> str:
        """Return the first value of a name, or an empty one."""
        for found, value in self.pairs:
            if found == name:
                return value
        return ""

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.pairs if found == name]


def of_request(request: Request) -> Parameters:
    """Return what the URL says, and behind it what a form says that was posted."""
    pairs = list(request.query)
    if request.method == "POST" and request.body:
        kind = request.headers.get("content-type", "")
        if not kind.lower().startswith("application/x-www-form-urlencoded"):
            raise BadData("parameters are posted as application/x-www-form-urlencoded")
        if len(request.body) > FORM_BYTES_MAX:
            raise BadData(f"a form of more than {FORM_BYTES_MAX} bytes")
        pairs += _pairs(request.body.rstrip().decode(errors="replace"))
    return Parameters(pairs)


def of_url(request: Request) -> Parameters:
    return Parameters(request.query)


def _pairs(encoded: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise BadData(f"more than {FIELDS_MAX} parameters") from error


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
            raise BadData(f"invalid parameter {name!r}: cannot parse ''")
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
    if not _COUNT.fullmatch(value):
        raise BadData(f"{name} must be a whole number of at most 18 digits")
    return int(value)


def selectors(parameters: Parameters, *, required: bool) -> Sequence[str]:
    """Return the match[] of a request."""
    found = parameters.all("match[]")
    if required and not found:
        raise BadData("no match[] parameter provided")
    return found
