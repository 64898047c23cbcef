"""What the proxy counts: its turns, and what became of the kernel's rules."""

from cubernetes.host.metrics import Metrics
from proxy.services.backend import Outcome


class Counts:
    """The proxy's own families."""

    def __init__(self, metrics: Metrics) -> None:
        self.turns = metrics.histogram(
            "cube_proxy_turn_seconds", "Compiling the rules and bringing the kernel to them."
        )
        outcomes = metrics.counter(
            "cube_proxy_turns_total", "Turns, by what became of the kernel's rules.", "outcome"
        )
        self._written, self._unchanged, self.failed = (
            outcomes.labels(one) for one in ("written", "unchanged", "failed")
        )
        self._chains = metrics.gauge("cube_proxy_chains", "Chains of ours in the kernel.")
        self.skipped = metrics.gauge(
            "cube_proxy_skipped", "Parts of services that could not be compiled."
        )

    def applied(self, done: Outcome) -> None:
        """Count a turn that worked."""
        (self._written if done.is_written else self._unchanged).inc()
        self._chains.set(done.chain_count)
