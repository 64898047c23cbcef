"""Times to the microsecond: Go's clients read them only with all six digits of the fraction. Pure.

Kubernetes calls the type of `eventTime`, `lastObservedTime` and `renewTime` MicroTime. Its parser
(time.Parse with RFC3339Micro) refuses `2026-01-01T00:00:00Z`.
"""

from datetime import datetime


class MicroTime(datetime):
    """A time that is written with six digits, also where all are zero."""


def with_micros(at: datetime | None) -> datetime | None:
    """Return a time that is written with its six digits: JSON's encoder leaves out zeros alone."""
    if at is None or at.microsecond:
        return at
    return MicroTime(at.year, at.month, at.day, at.hour, at.minute, at.second, tzinfo=at.tzinfo)
