"""ReplicaSet: as many pods as are wanted, whatever happens to them.

**Names.** A pod made here carries a number (annotation `cubernetes.io/number`), and its name is
derived from the ReplicaSet's uid and that number. The next numbers are those above the highest that
any pod of the set has, living, going or finished. So:

* planning again from the same view, or from one that lacks our own last creates, asks for the very
  same names: a lost reply ends in AlreadyExists, never in a twin;
* a name that a going or finished pod still holds is never asked for, since its number counts;
* a plan from a view in which pods still live that are gone by now may overshoot, by at most one pod
  for each that others took away meanwhile; the next round takes the surplus down.

**Finished pods** (Failed, Succeeded) are replaced, then deleted: replaced first, so that their
number is not used again should the round end between. One that ended within FAST_END_S of its
creation keeps its place that long, or a pod that fails at once would be remade as fast as the loop
turns. **What is remembered** for that is when each pod was first seen alive, by our clock: when it
was created is told by the API server's, which may differ. Forgotten, what it says is believed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from controllers import refusals
from controllers.availability import is_active, is_led_past, unavailable_s
from controllers.disruption.moving import destination, drawn_to, moving
from controllers.naming import NUMBER, child_name, number_in
from controllers.owners import adopted_by, disowned, is_managed_by
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.coding import codec
from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Patch,
    Record,
    RequeueAfter,
    UpdateStatus,
    View,
)

FAILURE = "ReplicaFailure"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
COST = re.compile(r"-?[0-9]{1,10}", re.ASCII)
BURST = 500  # pods made or deleted in one plan; the next plan goes on
FAST_END_S = 10.0


class Claim(NamedTuple):
    """The pods that a ReplicaSet finds, told apart; each in the order of their names."""

    adoptable: Sequence[Pod]  # match, and nobody controls them
    released: Sequence[Pod]  # ours, and no longer match
    active: Sequence[Pod]  # ours or adoptable; neither finished nor asked to go
    finished: Sequence[Pod]
    every: Sequence[Pod]  # all that are ours, whatever their state


@dataclass(slots=True)
class ReplicaSets:
    """Plans by ReplicaSet. alive_since has the pods of each set, by uid."""

    alive_since: dict[Ref, dict[str, datetime]] = field(default_factory=dict)

    name = "replicaset"
    kinds: tuple[type[Object], ...] = (ReplicaSet, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A pod concerns its controller; one that has none, every set that could adopt it."""
        if isinstance(changed, ReplicaSet):
            return (changed.ref,)
        owner = changed.metadata.controller
        namespace = changed.metadata.namespace
        if owner is not None:
            is_ours = owner.kind == ReplicaSet.resource.kind
            return (Ref(owner.kind, namespace, owner.name),) if is_ours else ()
        labels = changed.metadata.labels
        sets = view.list(ReplicaSet, namespace)
        return [one.ref for one in sets if one.spec.selector.selector.matches(labels)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(ReplicaSet, key.name, key.namespace)
        # The pods of a set that goes are the garbage collector's.
        if wanted is None or wanted.metadata.is_deleted:
            self.alive_since.pop(key, None)
            return
        claim = claim_of(wanted, view)
        since = self._looked(key, claim, now)
        wanted_count = wanted.spec.replicas
        # One that is to move stays until there are as many as wanted beside it.
        wanted_count += len(moving(claim.active)) if wanted_count else 0
        extra_count = len(claim.active) - wanted_count
        yield from _status_of(wanted, claim.active, now, is_settled=extra_count == 0)
        for pod in claim.released:
            yield disowned(pod, wanted.metadata.uid)
        for pod in claim.adoptable:
            yield adopted_by(pod, wanted)
        ended, held_s = _settled(claim.finished, since, now)
        held_count = len(claim.finished) - len(ended)
        missing_count = wanted_count - len(claim.active) - held_count
        yield from _made(wanted, claim, view, min(missing_count, BURST))
        for pod in ended[:BURST]:
            yield Delete(Pod, pod.ref, pod.metadata.uid)
        for pod in surplus(claim.active, wanted_count)[:BURST]:
            yield Delete(Pod, pod.ref, pod.metadata.uid)
            yield Record(wanted, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
        if held_s > 0:
            yield RequeueAfter(held_s)

    def refused(
        self, key: Ref, action: Action, why: str, view: View, now: datetime
    ) -> Iterator[Action]:
        """Tell at the set why its pods are not as many as wanted, until they are."""
        wanted = view.get(ReplicaSet, key.name, key.namespace)
        if wanted is None:
            return
        for record in refusals.told(ReplicaSet, key, action, why, view):
            yield record
            yield _failing(wanted, record.reason, why, now)

    def _looked(self, key: Ref, claim: Claim, now: datetime) -> Mapping[str, datetime]:
        """Return since when each pod was seen, of those that were seen alive."""
        before = self.alive_since.get(key, {})
        alive = {pod.metadata.uid for pod in claim.active}
        found = alive | {pod.metadata.uid for pod in claim.finished}
        # By a clock that has been set back, nothing was seen in the future.
        since = {uid: min(at, now) for uid, at in before.items() if uid in found}
        self.alive_since[key] = since | dict.fromkeys(alive - since.keys(), now)
        return self.alive_since[key]


def claim_of(wanted: ReplicaSet, view: View) -> Claim:
    """Tell the pods apart by their controller and by the selector."""
    uid, namespace = wanted.metadata.uid, wanted.metadata.namespace
    selector = wanted.spec.selector.selector
    every = [pod for pod in view.owned(Pod, uid) if is_managed_by(pod, uid)]
    mine = [pod for pod in every if selector.matches(pod.metadata.labels)]
    adoptable = [
        pod
        for pod in view.list(Pod, namespace, selector)
        if pod.metadata.controller is None and is_active(pod)
    ]
    return Claim(
        adoptable=adoptable,
        released=[
            pod
            for pod in every
            if not pod.metadata.is_deleted and not selector.matches(pod.metadata.labels)
        ],
        active=[pod for pod in mine if is_active(pod)] + adoptable,
        finished=[pod for pod in mine if is_finished(pod) and not pod.metadata.is_deleted],
        every=every,
    )


def surplus(active: Sequence[Pod], wanted_count: int) -> Sequence[Pod]:
    """Choose pods to delete, as Kubernetes does.

    First those without a node, then those that do not run, are not ready, cost the least to delete,
    have the most siblings on their node, are ready the shortest, restarted the most, are the
    youngest; then by name.
    """
    extra_count = max(0, len(active) - wanted_count)
    siblings = Counter(pod.spec.node_name for pod in active)

    def worth(pod: Pod) -> tuple[bool, bool, bool, int, int, float, int, float, str]:
        return (
            bool(pod.spec.node_name),
            pod.status.phase == "Running",
            is_ready(pod),
            _deletion_cost(pod),
            -siblings[pod.spec.node_name],
            -_ready_since_s(pod),
            -sum(one.restart_count for one in pod.status.container_statuses),
            -_created_s(pod),
            pod.metadata.name,
        )

    return sorted(active, key=worth)[:extra_count]


def _deletion_cost(pod: Pod) -> int:
    """Return what its annotation says; 0 where it says no number of 32 bits."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    is_number = COST.fullmatch(text) is not None and abs(int(text)) < 2**31
    return int(text) if is_number else 0


def _ready_since_s(pod: Pod) -> float:
    ready = condition_of(pod.status.conditions, "Ready")
    at = ready.last_transition_time if ready is not None and ready.status == "True" else None
    return at.timestamp() if at is not None else 0.0


def pod_made(wanted: ReplicaSet, number: int, towards: str = "") -> Pod:
    """Return the pod of that number, as the template has it; towards: where it would rather be."""
    template = wanted.spec.template
    spec = drawn_to(template.spec, towards) if towards else template.spec
    meta = ObjectMeta(
        name=child_name(wanted.metadata.name, wanted.metadata.uid, number),
        namespace=wanted.metadata.namespace,
        labels=template.metadata.labels,
        annotations={**template.metadata.annotations, NUMBER: str(number)},
        owner_references=(wanted.owner_reference(),),
    )
    return Pod(metadata=meta, spec=spec)


def _made(wanted: ReplicaSet, claim: Claim, view: View, count: int) -> Iterator[Action]:
    number = max((number_in(pod) for pod in claim.every), default=-1)
    towards = next((destination(pod) for pod in moving(claim.active)), "")
    while count > 0:
        number += 1
        pod = pod_made(wanted, number, towards)
        # Somebody else's pod holds the name: 1 in 14 million, or an orphan of an earlier set.
        if view.get(Pod, pod.metadata.name, pod.metadata.namespace) is not None:
            continue
        count -= 1
        yield Create(pod)
        yield Record(wanted, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")


def _failing(wanted: ReplicaSet, reason: str, why: str, now: datetime) -> Patch:
    """Return the change of the status that says why pods could not be made or ended."""
    fact = Condition(type=FAILURE, status="True", reason=reason, message=why)
    told = with_condition(wanted.status.conditions, fact, now)
    trees = [codec.to_tree(one) for one in told]
    change = {"status": {"conditions": trees}}
    return Patch(ReplicaSet, wanted.ref, wanted.metadata.uid, change, subresource="status")


def _status_of(
    wanted: ReplicaSet, active: Sequence[Pod], now: datetime, *, is_settled: bool
) -> Iterator[Action]:
    """Yield the status where it differs, and when to look again for pods to become available.

    is_settled: there are as many pods as wanted: what kept them from that is over.
    """
    ready = [pod for pod in active if is_ready(pod)]
    led_to = [pod for pod in ready if not is_led_past(pod)]
    waits_s = [unavailable_s(pod, wanted.spec.min_ready_seconds, now) for pod in led_to]
    labels = wanted.spec.template.metadata.labels.items()
    status = ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(labels <= pod.metadata.labels.items() for pod in active),
        ready_replicas=len(ready),
        available_replicas=sum(wait_s <= 0 for wait_s in waits_s),
        observed_generation=wanted.metadata.generation,
        conditions=tuple(
            one for one in wanted.status.conditions if one.type != FAILURE or not is_settled
        ),
    )
    if status != wanted.status:
        yield UpdateStatus(replaced(wanted, status=status))
    soonest_s = min((wait_s for wait_s in waits_s if wait_s > 0), default=0.0)
    if soonest_s > 0:
        yield RequeueAfter(soonest_s)


def _settled(
    finished: Sequence[Pod], since: Mapping[str, datetime], now: datetime
) -> tuple[Sequence[Pod], float]:
    """Return the finished pods to replace now, and in how many seconds the next one is due."""
    waits_s = {
        pod.metadata.name: _held_s(since.get(pod.metadata.uid, _created_at(pod)), now)
        for pod in finished
    }
    ended = [pod for pod in finished if waits_s[pod.metadata.name] <= 0]
    return ended, min((wait_s for wait_s in waits_s.values() if wait_s > 0), default=0.0)


def _held_s(since: datetime | None, now: datetime) -> float:
    age_s = (now - since).total_seconds() if since is not None else FAST_END_S
    # An age below zero is a server whose clock is ahead: nothing to learn from it.
    return FAST_END_S - age_s if age_s >= 0 else 0.0


def _created_at(pod: Pod) -> datetime | None:
    return pod.metadata.creation_timestamp


def _created_s(pod: Pod) -> float:
    created = _created_at(pod)
    return created.timestamp() if created is not None else 0.0
