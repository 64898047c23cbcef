"""PodDisruptionBudgets: how many evictions are allowed, counted from the pods that are healthy.

The API server grants an eviction in the transaction that deletes the pod: it takes one from
`disruptionsAllowed` and notes the pod in `disruptedPods`. So a status that is written here must
know of every grant before it: it is written only from a view of pods that is as new as the budget
as it was seen, and the write compares the budget's resourceVersion. A grant meanwhile makes it
fail, and the count begins again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.shares import share_of
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.condition import Condition, with_condition
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.meta import Object, OwnerReference, Ref, replaced
from cubernetes.api.policy.poddisruptionbudget import (
    DISRUPTION_ALLOWED,
    INSUFFICIENT,
    SUFFICIENT,
    SYNC_FAILED,
    PodDisruptionBudget,
    PodDisruptionBudgetStatus,
)
from cubernetes.client.cache import revision_of
from cubernetes.reconcile.plan import Action, Record, RequeueAfter, UpdateStatus, View

# After this long a pod whose eviction was granted, and which is not terminating, counts again.
GRANT_S = 120.0
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again

type Scaled = Deployment | ReplicaSet | StatefulSet
# The kinds that keep a number of pods, by the name that owner references have.
SCALED: Mapping[str, type[Scaled]] = {
    one.resource.kind: one for one in (ReplicaSet, Deployment, StatefulSet)
}


class Unscaled(Exception):
    """How many pods there should be cannot be told: a pod's controller has no number of them."""


class Budgets:
    """Plans by PodDisruptionBudget, and remembers nothing."""

    name = "disruption"
    kinds: tuple[type[Object], ...] = (PodDisruptionBudget, Pod, *SCALED.values())

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A pod concerns the budgets over it; a workload, those over pods of its template."""
        if isinstance(changed, PodDisruptionBudget):
            return (changed.ref,)
        meta = changed.metadata
        labels = meta.labels
        if isinstance(changed, Deployment | ReplicaSet | StatefulSet):
            labels = changed.spec.template.metadata.labels
        budgets = view.list(PodDisruptionBudget, meta.namespace)
        return [one.ref for one in budgets if one.guards(meta.namespace, labels)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        budget = view.get(PodDisruptionBudget, key.name, key.namespace)
        if budget is None or budget.metadata.is_deleted:
            return
        if view.revision(Pod) < revision_of(budget):
            yield RequeueAfter(VIEW_PAUSE_S)
            return
        pods = pods_under(budget, view)
        granted = _granted(budget, pods, now)
        status = status_of(budget, pods, granted, view, now)
        if status != budget.status:
            yield UpdateStatus(replaced(budget, status=status))
        for pod in pods:
            at = budget.status.disrupted_pods.get(pod.metadata.name)
            if at is not None and pod.metadata.name not in granted and not pod.metadata.is_deleted:
                place = f"{key.namespace}/{key.name}"
                told = f"Pod was expected by PDB {place} to be deleted but it wasn't"
                yield Record(pod, "NotDeleted", told, "Warning")
        soonest_s = min(((at - now).total_seconds() for at in granted.values()), default=0.0)
        if granted:
            yield RequeueAfter(max(VIEW_PAUSE_S, soonest_s + GRANT_S))


class Count(NamedTuple):
    """How many pods there should be, and how many of them must be healthy."""

    expected: int
    desired: int


def pods_under(budget: PodDisruptionBudget, view: View) -> Sequence[Pod]:
    selector = budget.spec.selector
    if selector is None:
        return ()
    return view.list(Pod, budget.metadata.namespace, selector.selector)


def status_of(
    budget: PodDisruptionBudget,
    pods: Sequence[Pod],
    granted: Mapping[str, datetime],
    view: View,
    now: datetime,
) -> PodDisruptionBudgetStatus:
    """Return what a budget allows; nothing where the number of pods cannot be told."""
    before = budget.status
    generation = budget.metadata.generation
    try:
        count = _count_of(budget, pods, view)
    except Unscaled as why:
        failed = _allowed(SYNC_FAILED, str(why), generation)
        return replaced(
            before,
            observed_generation=generation,
            disrupted_pods=granted,
            disruptions_allowed=0,
            conditions=with_condition(before.conditions, failed, now),
        )
    healthy = sum(_is_healthy(pod, granted) for pod in pods)
    allowed = max(0, healthy - count.desired) if count.expected else 0
    told = _allowed(SUFFICIENT if allowed else INSUFFICIENT, "", generation)
    return PodDisruptionBudgetStatus(
        observed_generation=generation,
        disrupted_pods=granted,
        disruptions_allowed=allowed,
        current_healthy=healthy,
        desired_healthy=count.desired,
        expected_pods=count.expected,
        conditions=with_condition(before.conditions, told, now),
    )


def _allowed(reason: str, message: str, generation: int) -> Condition:
    return Condition(
        type=DISRUPTION_ALLOWED,
        status="True" if reason == SUFFICIENT else "False",
        reason=reason,
        message=message,
        observed_generation=generation,
    )


def _is_healthy(pod: Pod, granted: Mapping[str, datetime]) -> bool:
    return is_ready(pod) and not pod.metadata.is_deleted and pod.metadata.name not in granted


def _granted(
    budget: PodDisruptionBudget, pods: Sequence[Pod], now: datetime
) -> dict[str, datetime]:
    """Return the grants that are still to be seen: of pods that are there and not terminating."""
    noted = budget.status.disrupted_pods
    until = timedelta(seconds=GRANT_S)
    return {
        name: noted[name]
        for pod in pods
        if (name := pod.metadata.name) in noted
        and not pod.metadata.is_deleted
        and noted[name] + until > now
    }


def _count_of(budget: PodDisruptionBudget, pods: Sequence[Pod], view: View) -> Count:
    """Return how many pods there should be, and must be healthy, as Kubernetes counts.

    Raises: Unscaled.
    """
    spec = budget.spec
    if spec.max_unavailable is not None:
        expected = _wanted(pods, view)
        missing = share_of(spec.max_unavailable, expected, rounded_up=True)
        return Count(expected, max(0, expected - missing))
    if isinstance(spec.min_available, int):
        return Count(len(pods), spec.min_available)
    if spec.min_available is None:
        return Count(0, 0)
    expected = _wanted(pods, view)
    return Count(expected, share_of(spec.min_available, expected, rounded_up=True))


def _wanted(pods: Sequence[Pod], view: View) -> int:
    """Return how many pods the controllers of these pods want together; one without counts not.

    Raises: Unscaled.
    """
    replicas: dict[str, int] = {}
    for pod in pods:
        owner = pod.metadata.controller
        if owner is None or owner.uid in replicas:
            continue
        found = _controller(owner, pod.metadata.namespace, view)
        if found is None:
            raise Unscaled(f'found no controllers for pod "{pod.metadata.name}"')
        above = found.metadata.controller
        top = _controller(above, pod.metadata.namespace, view) if above is not None else None
        # All ReplicaSets of a Deployment count once, as the Deployment.
        replicas[owner.uid] = 0 if top is not None else found.spec.replicas
        if top is not None:
            replicas[top.metadata.uid] = top.spec.replicas
    return sum(replicas.values())


def _controller(owner: OwnerReference, namespace: str, view: View) -> Scaled | None:
    kind = SCALED.get(owner.kind)
    found = view.get(kind, owner.name, namespace) if kind is not None else None
    return found if found is not None and found.metadata.uid == owner.uid else None
