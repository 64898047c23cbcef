"""What an autoscaler tells of a round: its status and conditions, in Kubernetes' words. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from controllers.autoscaling.measured import amount_of
from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.api.autoscaling.horizontalpodautoscaler import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
)
from cubernetes.api.autoscaling.metrictypes import (
    MetricSpec,
    MetricStatus,
    MetricValueStatus,
    status_for,
)
from cubernetes.api.condition import Truth
from cubernetes.api.meta import replaced
from cubernetes.autoscaling.engine import Decision, NoProposal, Proposal

STEADIED = {
    "ScaleUpStabilized": "recent recommendations were lower than current one, applying the lowest"
    " recent recommendation",
    "ScaleDownStabilized": "recent recommendations were higher than current one, applying the"
    " highest recent recommendation",
}
LIMITED = {
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
}


class Outcome(NamedTuple):
    """What one metric asks for, and how it is told of: `cpu resource utilization (...)`."""

    spec: MetricSpec
    found: Proposal | NoProposal
    name: str
    measured: Measured


class Told:
    """Collected while a round is planned."""

    def __init__(self, found: HorizontalPodAutoscaler) -> None:
        self._found = found
        self.current = found.status.current_replicas
        self.desired = found.status.desired_replicas
        self.scaled_at = found.status.last_scale_time
        self.metrics: tuple[MetricStatus, ...] = found.status.current_metrics
        self.facts: dict[str, tuple[Truth, str, str]] = {}
        self.cause = ""
        self.failure: tuple[str, str] | None = None
        self._best: Outcome | None = None
        self._measured: tuple[Measured, ...] = ()

    @property
    def was_failing(self) -> bool:
        """Whether the status says already that nothing can be computed."""
        conditions = self._found.status.conditions
        active = next((one for one in conditions if one.type == "ScalingActive"), None)
        return active is not None and active.status == "False"

    def cannot_get(self, why: str) -> None:
        message = f"the HPA controller was unable to get the target's current scale: {why}"
        self.facts["AbleToScale"] = ("False", "FailedGetScale", message)
        self.failure = ("FailedGetScale", message)

    def begin(self, current: int) -> None:
        self.current = self.desired = current
        message = "the HPA controller was able to get the target's current scale"
        self.facts["AbleToScale"] = ("True", "SucceededGetScale", message)

    def disabled(self) -> None:
        message = "scaling is disabled since the replica count of the target is zero"
        self.facts["ScalingActive"] = ("False", "ScalingDisabled", message)

    def out_of_bounds(self, *, is_above: bool) -> None:
        where = "above Spec.MaxReplicas" if is_above else "below Spec.MinReplicas"
        self.cause = f"Current number of replicas {where}"
        reason = "TooManyReplicas" if is_above else "TooFewReplicas"
        self.facts["ScalingLimited"] = ("True", reason, LIMITED[reason])

    def is_ambiguous(self, rivals: Sequence[str]) -> None:
        message = f"pods are controlled by multiple HPAs: {', '.join(rivals[:5])} as well"
        self.facts["ScalingActive"] = ("False", "AmbiguousSelector", message)
        self.failure = ("AmbiguousSelector", message)

    def measured(self, outcomes: Sequence[Outcome]) -> int | None:
        """Return the most that a metric asks for; None where too little is known: hold.

        With one metric missing, more may be asked for by the others, and never less.
        """
        self._measured = tuple(one.measured for one in outcomes)
        known = [(one.found.replicas, one) for one in outcomes if isinstance(one.found, Proposal)]
        missing = [one for one in outcomes if isinstance(one.found, NoProposal)]
        self.metrics = tuple(
            _metric(one.spec, one.found) for one in outcomes if isinstance(one.found, Proposal)
        )
        best = max((count for count, _ in known), default=None)
        if best is None or (missing and best < self.current):
            self._unable(missing)
            return None
        self._best = next(one for count, one in known if count == best)
        message = "the HPA was able to successfully calculate a replica count from"
        fact: tuple[Truth, str, str]
        fact = ("True", "ValidMetricFound", f"{message} {self._best.name}")
        self.facts["ScalingActive"] = fact
        return best

    def _unable(self, missing: Sequence[Outcome]) -> None:
        first = missing[0] if missing else None
        reason = f"FailedGet{first.spec.type if first is not None else 'Resource'}Metric"
        why = ""
        if first is not None and isinstance(first.found, NoProposal):
            why = f"failed to get {first.name}: {first.found.message}"
        message = f"the HPA was unable to compute the replica count: {why}"
        self.facts["ScalingActive"] = ("False", reason, message)
        self.failure = (reason, message)

    def decided(self, decision: Decision, best: int) -> None:
        self.desired = decision.replicas
        if decision.steadied:
            self.facts["AbleToScale"] = ("True", decision.steadied, STEADIED[decision.steadied])
        else:
            message = "recommended size matches current size"
            self.facts["AbleToScale"] = ("True", "ReadyForNewScale", message)
        if decision.limited:
            self.facts["ScalingLimited"] = ("True", decision.limited, LIMITED[decision.limited])
        else:
            message = "the desired count is within the acceptable range"
            self.facts["ScalingLimited"] = ("False", "DesiredWithinRange", message)
        if best > self.current and self._best is not None:
            self.cause = f"{self._best.name} above target"
        else:
            self.cause = "All metrics below target"

    def rescaled(self, wanted: int, now: datetime) -> None:
        self.desired, self.scaled_at = wanted, now.replace(microsecond=0)
        message = f"the HPA controller was able to update the target scale to {wanted}"
        self.facts["AbleToScale"] = ("True", "SucceededRescale", message)

    def entry(self, minimum: int, maximum: int, now: datetime) -> Entry:
        """Return what is kept of the round: what was found, and what was done."""
        return Entry(
            at=now,
            replicas=self.current,
            wanted=self.desired,
            minimum=minimum,
            maximum=maximum,
            reason=self._reason,
            measured=self._measured,
        )

    @property
    def _reason(self) -> str:
        """Why there are to be so many: what failed, what held it back, or that all is well."""
        able = self.facts.get("AbleToScale", ("True", "", ""))
        active = self.facts.get("ScalingActive", ("True", "", ""))
        limited = self.facts.get("ScalingLimited", ("False", "", ""))
        for status, reason, _ in (able, active):
            if status == "False":
                return reason
        if able[1] in STEADIED:
            return able[1]
        if limited[0] == "True":
            return limited[1]
        return "Rescaled" if self.desired != self.current else "AsWanted"


def status_of(
    found: HorizontalPodAutoscaler, told: Told, now: datetime
) -> HorizontalPodAutoscalerStatus:
    """Return the status after a round; a condition that says the same keeps its time."""
    conditions = {one.type: one for one in found.status.conditions}
    for kind, (status, reason, message) in told.facts.items():
        old = conditions.get(kind)
        since = now.replace(microsecond=0)
        if old is not None and old.status == status and old.last_transition_time is not None:
            since = old.last_transition_time
        conditions[kind] = HorizontalPodAutoscalerCondition(
            type=kind, status=status, reason=reason, message=message, last_transition_time=since
        )
    return replaced(
        found.status,
        observed_generation=found.metadata.generation,
        last_scale_time=told.scaled_at,
        current_replicas=told.current,
        desired_replicas=told.desired,
        current_metrics=told.metrics,
        conditions=tuple(conditions.values()),
    )


def _metric(spec: MetricSpec, found: Proposal) -> MetricStatus:
    source = spec.source
    resource = getattr(source, "name", "cpu")  # other metrics are told in thousandths too
    is_value = source is not None and source.target.type == "Value" and found.value is not None
    current = MetricValueStatus(
        average_utilization=found.share,
        average_value=None if is_value else amount_of(resource, found.average),
        value=amount_of(resource, found.value or 0.0) if is_value else None,
    )
    return status_for(spec, current)
