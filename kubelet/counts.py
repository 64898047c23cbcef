"""What the kubelet counts: the steps of its plans, how long pods take to run, and what fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from cubernetes.host.clock import Clock
from cubernetes.host.metrics import Metrics


class Counts:
    """The kubelet's own families."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._steps = metrics.histogram(
            "cube_kubelet_step_seconds", "Steps of plans, as they were carried out.", "step"
        )
        self.starts = metrics.histogram(
            "cube_kubelet_pod_start_seconds", "From first hearing of a pod until it runs."
        )
        self._troubles = metrics.counter(
            "cube_kubelet_troubles_total", "Parts of pods that did not start, by reason.", "reason"
        )
        self.held_up = metrics.counter(
            "cube_kubelet_held_rounds_total",
            "Rounds that the runtime, the network or the API held up.",
        )
        self.pods = metrics.gauge("cube_kubelet_pods", "Pods that are wanted on this node.")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of that name, whether it succeeds or not."""
        began_at = self._clock.monotonic()
        try:
            yield
        finally:
            spent_s = self._clock.monotonic() - began_at
            self._steps.labels(name).observe(spent_s)

    def trouble(self, reason: str) -> None:
        self._troubles.labels(reason).inc()
