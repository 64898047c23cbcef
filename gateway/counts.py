"""What the gateway counts of itself: its turns, and what it serves."""

from cubernetes.host.metrics import Metrics
from gateway.roads.model import Model


class Counts:
    """The gateway's own families."""

    def __init__(self, metrics: Metrics) -> None:
        outcomes = metrics.counter(
            "cube_gateway_turns_total", "Turns, by what became of nginx's configuration.", "outcome"
        )
        self._reloaded, self._unchanged, self.refused, self.failed = (
            outcomes.labels(one) for one in ("reloaded", "unchanged", "refused", "failed")
        )
        self._hosts = metrics.gauge("cube_gateway_hosts", "Hosts that are served.")
        self._routes = metrics.gauge("cube_gateway_routes", "Paths that are served.")
        self._problems = metrics.gauge(
            "cube_gateway_problems", "Objects of which something is not served."
        )

    def applied(self, model: Model, *, is_new: bool) -> None:
        """Count a turn that worked."""
        (self._reloaded if is_new else self._unchanged).inc()
        self._hosts.set(len(model.hosts))
        self._routes.set(sum(len(host.routes) for host in model.hosts))
        self._problems.set(len(model.problems))
