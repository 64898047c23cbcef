"""What one query may use: samples, series and time. Every reader and operator charges it."""

from collections.abc import Callable

from tsdb.errors import LimitExceeded, QueryTimeout
from tsdb.limits import Limits


class Budget:
    """Counts down for one query; over a limit, the query ends with the limit's name."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float], deadline_s: float) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._deadline_s = deadline_s
        self.samples = 0

    def charge_samples(self, count: int) -> None:
        """Count samples that were read or made.

        Raises:
            LimitExceeded: there are more than query_samples.
        """
        self.samples += count
        if self.samples > self._limits.query_samples:
            raise LimitExceeded("query_samples", self._limits.query_samples, self.samples)

    def check_series(self, count: int) -> None:
        if count > self._limits.query_series:
            raise LimitExceeded("query_series", self._limits.query_series, count)

    def check_label(self, length: int) -> None:
        """Refuse a label value that a query would make longer than a series may have it."""
        if length > self._limits.label_value_length:
            raise LimitExceeded("label_value_length", self._limits.label_value_length, length)

    def check_time(self) -> None:
        """End the query when its deadline has passed.

        Raises:
            QueryTimeout: it has.
        """
        if self._monotonic() > self._deadline_s:
            raise QueryTimeout("query timed out in expression evaluation")


def unlimited() -> Budget:
    """Return a budget for a caller who is its own master: a test, a bench."""
    return Budget(Limits(query_samples=2**60, query_series=2**60), lambda: 0.0, 1.0)
