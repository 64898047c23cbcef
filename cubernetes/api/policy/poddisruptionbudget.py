"""PodDisruptionBudget: how many pods of a selection must stay while others are evicted."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from cubernetes.api.apps.shares import PERCENT_RULE, is_share, share_of
from cubernetes.api.condition import Condition
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, shown
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import LabelSelector

# The condition that says whether an eviction is allowed, and its reasons.
DISRUPTION_ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


class PodDisruptionBudgetSpec(Model):
    """Which pods, and how many of them must stay; one of the two bounds, not both.

    min_available: how many pods must be healthy after an eviction: a count, or a percentage of the
        wanted pods, rounded up.
    max_unavailable: how many of the wanted pods may be missing after an eviction: a count, or a
        percentage, rounded up.
    selector: which pods; an empty one is every pod of the namespace, none at all is no pod.
    unhealthy_pod_eviction_policy: when a pod that is not ready may be evicted: IfHealthyBudget, the
        default, only while as many as wanted are healthy; AlwaysAllow at any time.
    """

    min_available: Count | str | None = None
    max_unavailable: Count | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: Literal["IfHealthyBudget", "AlwaysAllow"] | None = None


class PodDisruptionBudgetStatus(Model):
    """How many evictions are allowed now, and why.

    observed_generation: the generation of the budget that this tells of.
    disrupted_pods: pods whose eviction is granted and not seen yet by the controller, by name, with
        the time of the grant.
    disruptions_allowed: how many evictions are allowed now.
    current_healthy: how many of the pods are ready, and not evicted or terminating.
    desired_healthy: how many must be.
    expected_pods: how many pods there should be.
    conditions: DisruptionAllowed.
    """

    observed_generation: int = 0
    disrupted_pods: Mapping[str, Instant] = msgspec.field(default_factory=dict)
    disruptions_allowed: Count = shown(0)
    current_healthy: Count = shown(0)
    desired_healthy: Count = shown(0)
    expected_pods: Count = shown(0)
    conditions: tuple[Condition, ...] = ()


def _bound(share: int | str | None) -> str:
    return "N/A" if share is None else str(share)


class PodDisruptionBudget(Object):
    resource = Resource(
        "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", ("pdb",),
        subresources=("status",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Min Available", lambda one, _: _bound(one.spec.min_available)),
        Column("Max Unavailable", lambda one, _: _bound(one.spec.max_unavailable)),
        Column("Allowed Disruptions", lambda one, _: one.status.disruptions_allowed),
        Column("Age", age_of),
    )

    api_version: str = shown("policy/v1")
    kind: str = shown("PodDisruptionBudget")
    spec: PodDisruptionBudgetSpec = msgspec.field(default_factory=PodDisruptionBudgetSpec)
    status: PodDisruptionBudgetStatus = msgspec.field(default_factory=PodDisruptionBudgetStatus)

    def guards(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether pods of these labels in a namespace are under this budget."""
        selector = self.spec.selector
        is_here = self.metadata.namespace == namespace
        return is_here and selector is not None and selector.selector.matches(labels)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        if spec.min_available is not None and spec.max_unavailable is not None:
            yield Problem("spec", "minAvailable and maxUnavailable cannot be both set")
        bounds = {"minAvailable": spec.min_available, "maxUnavailable": spec.max_unavailable}
        for name, share in bounds.items():
            if not is_share(share):
                yield Problem(f"spec.{name}", PERCENT_RULE)
            elif isinstance(share, str) and share_of(share, 100, rounded_up=True) > 100:
                yield Problem(f"spec.{name}", "must not be greater than 100%")
        if spec.selector is not None:
            yield from spec.selector.problems("spec.selector")
