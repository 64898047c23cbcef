"""What the scheduler counts: decisions, bindings, and who waits."""

from cubernetes.host.metrics import Metrics
from scheduler.waiting import Waiting

# A decision takes some 50 us on ten nodes.
DECISION_S = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2)


class Counts:
    """The scheduler's own families."""

    def __init__(self, metrics: Metrics, waiting: Waiting) -> None:
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
        gauge.labels("ready").set_function(lambda: waiting.ready_count)
        gauge.labels("parked").set_function(lambda: waiting.parked_count)
