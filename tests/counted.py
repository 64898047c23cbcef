"""What a program has counted, as a test asks for it."""

from collections import defaultdict
from collections.abc import Mapping

from cubernetes.host.metrics import Metrics
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition

SERIES_MAX = 100_000


def counted(metrics: Metrics) -> Mapping[str, float]:
    """Return every series of a program, by its text; 0 for what it has not told of."""
    return read(metrics.text())


def read(text: bytes) -> Mapping[str, float]:
    """Read the text of metrics as our own store does."""
    found = finished(parse_exposition(text.decode(), SERIES_MAX))
    return defaultdict(float, zip(found.series, found.values, strict=True))
