"""The small store of the unit tests, for the suites that run it through real files at length."""

from tests.unit.tsdb.conftest import open_small, small

__all__ = ["open_small", "small"]
