"""What the scheduler counts: decisions, bindings, and waiting pods."""

from collections.abc import Iterator
from contextlib import contextmanager

from cubernetes.host.metrics import Metrics, following
from scheduler.waiting import Waiting

# A decision takes some 50 us on ten nodes.
DECISION_S = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2)


class Counts:
    """The scheduler's own families."""

    def __init__(self, metrics: Metrics) -> None:
        decisions = metrics.counter(
            "cube_scheduler_decisions_total", "Decisions on pods, by what was decided.", "decision"
        )
        self.placed, self.unplaced = (decisions.labels(one) for one in ("placed", "no_node"))
        self.deciding = metrics.histogram(
            "cube_scheduler_decision_seconds", "Finding a node for a pod.", buckets=DECISION_S
        )
        self.binding = metrics.histogram(
            "cube_scheduler_binding_seconds", "Writing a binding, its retries included."
        )
        self.failures = metrics.counter(
            "cube_scheduler_failures_total",
            "Writes that were refused or whose outcome is unknown; they are repeated.",
        )
        gauge = metrics.gauge("cube_scheduler_waiting_pods", "Pods without a node.", "state")
        self._ready, self._parked = (gauge.labels(one) for one in ("ready", "parked"))

    @contextmanager
    def of(self, waiting: Waiting) -> Iterator[None]:
        """Tell who waits, for the length of the block."""
        ready = following(self._ready, lambda: waiting.ready_count)
        with ready, following(self._parked, lambda: waiting.parked_count):
            yield
