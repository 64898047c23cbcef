"""DaemonSets: one pod on each node that is meant for it, placed by the scheduler.

**Names.** The name of a pod follows from the set's uid, its node and a number: the next number of a
node is above that of every pod of the set that the node has, whatever its state. So planning again,
also from a view without our last writes, asks for the very same pod.

**An exchange** without a surge ends old pods, as many as `maxUnavailable` leaves; the next plan
makes new ones in their place. With a surge it makes new pods beside the old ones, and ends an old
one when the new one beside it is available.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from controllers.availability import is_active, is_led_past, unavailable_s
from controllers.naming import NUMBER, child_name, number_in
from controllers.owners import adopted_by, disowned, is_managed_by
from controllers.refusals import RefusalsTold
from controllers.sets.eligible import Verdict, node_of, spec_for, verdict_of
from controllers.sets.revisions import History, adopted, cleaned, history_of, recorded
from cubernetes.api.apps.controllerrevision import REVISION_LABEL, ControllerRevision
from cubernetes.api.apps.daemonset import DaemonSet, DaemonSetStatus
from cubernetes.api.apps.shares import share_of
from cubernetes.api.core.node import Node
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

BURST = 250  # nodes whose pods are made or deleted in one plan; the next plan goes on
# A pod that ended by itself so soon after its creation is made again only then.
FAST_END_S = 10.0


class DaemonSets(RefusalsTold):
    """Plans by DaemonSet, and remembers nothing."""

    name = "daemonset"
    kinds: tuple[type[Object], ...] = (DaemonSet, Pod, Node, ControllerRevision)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A node concerns every set; what has no controller, every set that could adopt it."""
        if isinstance(changed, DaemonSet):
            return (changed.ref,)
        if isinstance(changed, Node):
            return [one.ref for one in view.list(DaemonSet)]
        meta, kind = changed.metadata, DaemonSet.resource.kind
        if (owner := meta.controller) is not None:
            return (Ref(kind, meta.namespace, owner.name),) if owner.kind == kind else ()
        wanted = view.list(DaemonSet, meta.namespace)
        return [one.ref for one in wanted if one.spec.selector.selector.matches(meta.labels)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(DaemonSet, key.name, key.namespace)
        # The pods of a set that goes are the garbage collector's.
        if wanted is None or wanted.metadata.is_deleted:
            return
        history = history_of(wanted, view)
        claims = [*adopted(wanted, view), *_claims(wanted, view)]
        # The next plan counts what is then its own, and of which revision it is.
        before: Sequence[Action] = claims or list(recorded(history, view))
        if before:
            yield from before
            return
        state = state_of(wanted, history, view, now)
        yield from _told(state)
        yield from _kept(state, view)
        if wanted.spec.update_strategy.type == "RollingUpdate":
            yield from _surged(state, view) if state.surge else _exchanged(state)
        live = {state.revision} | {_revision_of(pod) for place in state.places for pod in place.all}
        yield from cleaned(history, live)


class NodePods(NamedTuple):
    """One node, and the pods of the set that are on it or meant for it, the oldest first."""

    node: str
    verdict: Verdict
    all: Sequence[Pod]

    @property
    def active(self) -> Sequence[Pod]:
        return [pod for pod in self.all if is_active(pod)]


class State(NamedTuple):
    """What a plan decides on: the nodes in the order of their names, and the present revision."""

    wanted: DaemonSet
    places: Sequence[NodePods]
    revision: str
    now: datetime

    @property
    def meant(self) -> Sequence[NodePods]:
        """The nodes that should have a pod."""
        return [one for one in self.places if one.verdict == "runs"]

    @property
    def surge(self) -> int:
        """On how many nodes a new pod may be beside an old one."""
        bounds = self.wanted.spec.update_strategy.rolling_update
        share = bounds.max_surge if bounds is not None else 0
        return share_of(share, len(self.meant), rounded_up=True)

    @property
    def unavailable(self) -> int:
        """How many nodes may be without an available pod; never zero without a surge."""
        bounds = self.wanted.spec.update_strategy.rolling_update
        share = bounds.max_unavailable if bounds is not None else 1
        return max(1, share_of(share, len(self.meant), rounded_up=True))

    def is_available(self, pod: Pod) -> bool:
        return self.waits_s(pod) <= 0

    def waits_s(self, pod: Pod) -> float:
        """Return in how many seconds a pod that stays ready is available; inf if it is not."""
        if not is_active(pod) or not is_ready(pod) or is_led_past(pod):
            return float("inf")
        return unavailable_s(pod, self.wanted.spec.min_ready_seconds, self.now)

    def is_new(self, pod: Pod) -> bool:
        return _revision_of(pod) == self.revision


def state_of(wanted: DaemonSet, history: History[DaemonSet], view: View, now: datetime) -> State:
    """Return the state of a set whose present template is recorded."""
    pods: dict[str, list[Pod]] = {}
    for pod in _members(wanted, view):
        pods.setdefault(node_of(pod), []).append(pod)
    verdicts: dict[str, Verdict] = dict.fromkeys(pods, "gone")
    verdicts |= {one.metadata.name: verdict_of(wanted, one) for one in view.list(Node)}
    places = [
        NodePods(name, verdict, sorted(pods.get(name, ()), key=_age))
        for name, verdict in sorted(verdicts.items())
        if name in pods or verdict == "runs"
    ]
    revision = history.new.metadata.name if history.new is not None else ""
    return State(wanted, places, revision, now)


def _age(pod: Pod) -> tuple[float, int, str]:
    created = pod.metadata.creation_timestamp
    at = created.timestamp() if created is not None else float("inf")
    return at, number_in(pod), pod.metadata.name


def _members(wanted: DaemonSet, view: View) -> Iterator[Pod]:
    uid, selector = wanted.metadata.uid, wanted.spec.selector.selector
    for pod in view.owned(Pod, uid):
        if is_managed_by(pod, uid) and selector.matches(pod.metadata.labels):
            yield pod


def _claims(wanted: DaemonSet, view: View) -> Iterator[Patch]:
    """Yield what claims pods that fit and are nobody's, and lets go those that fit no more."""
    uid, selector = wanted.metadata.uid, wanted.spec.selector.selector
    for pod in view.owned(Pod, uid):
        is_left = not selector.matches(pod.metadata.labels) and not pod.metadata.is_deleted
        if is_managed_by(pod, uid) and is_left:
            yield disowned(pod, uid)
    for pod in view.list(Pod, wanted.metadata.namespace, selector):
        if pod.metadata.controller is None and is_active(pod) and node_of(pod):
            yield adopted_by(pod, wanted)


def _kept(state: State, view: View) -> Iterator[Action]:
    """Yield what makes and ends pods so that each node has as many as it should: one or none."""
    count = 0
    for place in state.places:
        if count >= BURST:
            return
        actions = list(_kept_on(state, place, view))
        count += bool(actions)
        yield from actions


def _kept_on(state: State, place: NodePods, view: View) -> Iterator[Action]:
    kept = [pod for pod in place.all if not pod.metadata.is_deleted]
    if place.verdict in ("goes", "gone"):
        # Pods that were bound to a node that is gone are not the set's to judge.
        judged = [pod for pod in kept if place.verdict == "goes" or not pod.spec.node_name]
        for pod in judged:
            yield from _deleted(state, pod)
        return
    finished = [pod for pod in kept if is_finished(pod)]
    held_s = max((_held_s(pod, state.now) for pod in finished), default=0.0)
    if held_s > 0:
        yield RequeueAfter(held_s)
    # A pod that is going still runs: the one in its place would be a second.
    is_taken = bool(place.active) or len(kept) < len(place.all)
    if place.verdict == "runs" and not is_taken and held_s <= 0:
        yield from _created(state, place, view)
    for pod in (*_settled(finished, state.now), *_doubles(state, place)):
        yield from _deleted(state, pod)


def _settled(finished: Sequence[Pod], now: datetime) -> Sequence[Pod]:
    return [pod for pod in finished if _held_s(pod, now) <= 0]


def _doubles(state: State, place: NodePods) -> Iterator[Pod]:
    """Yield the pods of a node that are too many: of a revision the oldest stays."""
    for is_new in (True, False):
        yield from [pod for pod in place.active if state.is_new(pod) is is_new][1:]


def _exchanged(state: State) -> Iterator[Action]:
    """Yield the end of old pods: of all that serve nobody, and of as many others as are allowed."""
    missing_count = 0
    serving: list[Pod] = []
    for place in state.meant:
        old = [pod for pod in place.active if not state.is_new(pod)]
        if not any(state.is_available(pod) for pod in place.active):
            missing_count += 1
            for pod in old:
                yield from _deleted(state, pod)
        elif len(place.active) > len(old):
            # A new one is there already, from an update with a surge.
            if any(state.is_available(pod) for pod in place.active if state.is_new(pod)):
                for pod in old:
                    yield from _deleted(state, pod)
        else:
            serving += old[:1]
    for pod in serving[: max(0, state.unavailable - missing_count)]:
        yield from _deleted(state, pod)


def _surged(state: State, view: View) -> Iterator[Action]:
    """Yield new pods beside old ones, as many as are allowed, and the end of those replaced."""
    surged_count = 0
    waiting: list[NodePods] = []
    for place in state.meant:
        old = [pod for pod in place.active if not state.is_new(pod)]
        new = [pod for pod in place.active if state.is_new(pod)]
        if not old:
            continue
        if any(state.is_available(pod) for pod in new):
            for pod in old:
                yield from _deleted(state, pod)
        elif new:
            surged_count += 1
        elif not any(state.is_available(pod) for pod in old):
            # It serves nobody: a new one beside it costs nothing.
            yield from _created(state, place, view)
        else:
            waiting.append(place)
    for place in waiting[: max(0, state.surge - surged_count)]:
        yield from _created(state, place, view)


def pod_made(state: State, place: NodePods, number: int) -> Pod:
    wanted = state.wanted
    template = wanted.spec.template
    meta = ObjectMeta(
        name=child_name(wanted.metadata.name, wanted.metadata.uid, place.node, number),
        namespace=wanted.metadata.namespace,
        labels={**template.metadata.labels, REVISION_LABEL: state.revision},
        annotations={**template.metadata.annotations, NUMBER: str(number)},
        owner_references=(wanted.owner_reference(),),
    )
    return Pod(metadata=meta, spec=spec_for(template.spec, place.node))


def _created(state: State, place: NodePods, view: View) -> Iterator[Action]:
    number = max((number_in(pod) for pod in place.all), default=-1)
    while True:
        number += 1
        pod = pod_made(state, place, number)
        # Somebody else's pod holds the name: 1 in 14 million.
        if view.get(Pod, pod.metadata.name, pod.metadata.namespace) is None:
            break
    yield Create(pod)
    yield Record(state.wanted, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")


def _deleted(state: State, pod: Pod) -> Iterator[Action]:
    yield Delete(Pod, pod.ref, pod.metadata.uid)
    yield Record(state.wanted, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")


def _held_s(pod: Pod, now: datetime) -> float:
    """Return how long a finished pod keeps its place: one that ended at once, for a while."""
    created = pod.metadata.creation_timestamp
    age_s = (now - created).total_seconds() if created is not None else FAST_END_S
    # An age below zero is a server whose clock is ahead: nothing to learn from it.
    return max(0.0, FAST_END_S - age_s) if age_s >= 0 else 0.0


def _told(state: State) -> Iterator[Action]:
    """Yield the status where it differs, and when to look again for pods to become available."""
    status = status_of(state)
    if status != state.wanted.status:
        yield UpdateStatus(replaced(state.wanted, status=status))
    waits_s = [state.waits_s(pod) for place in state.places for pod in place.active]
    soonest_s = min((one for one in waits_s if 0 < one < float("inf")), default=0.0)
    if soonest_s > 0:
        yield RequeueAfter(soonest_s)


def status_of(state: State) -> DaemonSetStatus:
    wanted, meant = state.wanted, state.meant
    there: Mapping[str, Sequence[Pod]] = {one.node: one.active for one in meant if one.active}
    available = sum(any(state.is_available(pod) for pod in pods) for pods in there.values())
    return DaemonSetStatus(
        current_number_scheduled=len(there),
        number_misscheduled=sum(
            bool(one.active) for one in state.places if one.verdict in ("stays", "goes")
        ),
        desired_number_scheduled=len(meant),
        number_ready=sum(any(is_ready(pod) for pod in pods) for pods in there.values()),
        observed_generation=wanted.metadata.generation,
        updated_number_scheduled=sum(
            all(state.is_new(pod) for pod in pods) for pods in there.values()
        ),
        number_available=available,
        number_unavailable=len(meant) - available,
        collision_count=wanted.status.collision_count,
        conditions=wanted.status.conditions,
    )


def _revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")
