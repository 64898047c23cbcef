"""What a program counts and times, by name, and the text of it that Prometheus reads.

Each program has its own `Metrics`, in its env: in a simulation many live in one process. A family
is declared where it is used; a second declaration returns the existing one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

__all__ = ["SECONDS", "TEXT_FORMAT", "Counter", "Gauge", "Histogram", "Metrics", "following"]

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
# Upper bounds of the buckets of spans: from a call in memory to an image that is pulled.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# A series with the time at which another was made doubles their number and is read by nobody.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there


@contextmanager
def following(gauge: Gauge, read: Callable[[], float]) -> Iterator[None]:
    """Let a gauge say what read returns, for the length of the block; then 0, and hold nothing.

    A former leader reports no work, and keeps no copy of the cluster for the report.
    """
    gauge.set_function(read)
    try:
        yield
    finally:
        gauge.set_function(_nothing)


def _nothing() -> float:
    return 0.0


class Metrics:
    """The families of one program. Counting never fails and never waits.

    A family's name is `cube_<program or part>_<noun>_<unit>`; its labels have few values each:
    kinds, verbs, outcomes, never names of objects.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, told: str, *labels: str) -> Counter:
        """Return the counter of that name, which ends in `_total`; told is its help."""
        return self._family(
            name, Counter, lambda: Counter(name, told, labels, registry=self._registry)
        )

    def gauge(self, name: str, told: str, *labels: str) -> Gauge:
        """Return the gauge of that name; `set_function` lets it be read when it is asked for."""
        return self._family(name, Gauge, lambda: Gauge(name, told, labels, registry=self._registry))

    def histogram(
        self, name: str, told: str, *labels: str, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """Return the histogram of that name, which ends in its unit: `_seconds`."""
        return self._family(
            name,
            Histogram,
            lambda: Histogram(name, told, labels, buckets=buckets, registry=self._registry),
        )

    def tell_process(self, program: str, version: str) -> None:
        """Add who we are, and what this process costs: its CPU, memory and files."""
        ProcessCollector(registry=self._registry)
        built = self.gauge("cube_build_info", "1, by program and version.", "program", "version")
        built.labels(program, version).set(1)

    def text(self) -> bytes:
        """Return every series, in TEXT_FORMAT."""
        return generate_latest(self._registry)

    def _family[F: (Counter, Gauge, Histogram)](
        self, name: str, kind: type[F], make: Callable[[], F]
    ) -> F:
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = make()
        if not isinstance(found, kind):
            raise TypeError(f"{name} is declared as {type(found).__name__} and as {kind.__name__}")
        return found
