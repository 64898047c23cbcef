"""A gentle rebalance: pods of a Deployment that allows it move to nodes that came or came back.

`cubernetes.io/rebalance: "true"` on the Deployment allows it. One pod of it moves at a time, and a
few of the whole cluster, surge first: the pod is marked with the node that has the fewest of its
siblings, its ReplicaSet makes another that would rather be there, and once as many as wanted are
available beside it, it is *evicted*, as far as its disruption budget allows.

**It ends**: a pod moves only to a node that has at least two fewer of its siblings, so that each
move makes the counts more even. Where the new pod came to another node all the same, is not
available in time, or the budget does not allow the eviction in time, the mark is taken away, the
ReplicaSet ends what is too many, and the Deployment is left alone for a while.

**What is remembered** is since when a pod moves, until when a Deployment is left alone, and since
when each node is seen to be ready (its own stamp is of another clock); forgotten, the spans begin
anew.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from controllers.availability import is_active, is_led_past, unavailable_s
from controllers.disruption.moving import destination, marked, moving
from controllers.naming import number_in
from controllers.owners import is_managed_by
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import condition_of
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.meta import Object, Ref
from cubernetes.api.policy.poddisruptionbudget import (
    DISRUPTION_ALLOWED,
    SYNC_FAILED,
    PodDisruptionBudget,
)
from cubernetes.reconcile.plan import Action, Evict, Record, RequeueAfter, View
from cubernetes.scheduling.nodeinfo import NodeInfo, NodeUsage, facts_of, requests_of
from cubernetes.scheduling.plan import first_refusing
from cubernetes.scheduling.registry import FILTERS

ALLOWED = "cubernetes.io/rebalance"
MOVES_MAX = 5  # pods of the cluster that move at once
LOOK_S = 30.0  # until a Deployment that could be more even is looked at again
MOVE_S = 300.0  # so long a move may take, until the old pod's eviction
HOLD_S = 600.0  # so long a Deployment is left alone after a move that failed
# Why a move took too long, by whether its successor was there.
TOO_LONG = {
    True: "its disruption budget does not allow it in time",
    False: "its successor is not available in time",
}
NODES_ASKED_MAX = 20  # emptier nodes that are asked whether they would take a pod


class Move(NamedTuple):
    """A pod, the node that it leaves, and the one to which it goes."""

    pod: Pod
    source: str
    target: str


@dataclass(slots=True)
class Rebalance:
    """Plans by Deployment. steady_s: a node must be ready for so long before pods move to it."""

    steady_s: float = 60.0
    since: dict[Ref, datetime] = field(default_factory=dict)  # of Deployments whose pod moves
    held_until: dict[Ref, datetime] = field(default_factory=dict)
    # The nodes that are ready: since which stamp of theirs, and when that was first seen.
    ready: dict[str, tuple[datetime | None, datetime]] = field(default_factory=dict)

    name = "rebalance"
    kinds: tuple[type[Object], ...] = (Deployment, ReplicaSet, Pod, Node, PodDisruptionBudget)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A node concerns every Deployment that allows a move, a pod the one above it."""
        if isinstance(changed, Deployment):
            return (changed.ref,)
        if isinstance(changed, Node):
            return [one.ref for one in view.list(Deployment) if is_allowed(one)]
        owner, namespace = changed.metadata.controller, changed.metadata.namespace
        if isinstance(changed, Pod) and owner is not None:
            above = view.get(ReplicaSet, owner.name, namespace)
            owner = above.metadata.controller if above is not None else None
        found = view.get(Deployment, owner.name, namespace) if owner is not None else None
        is_meant = found is not None and (is_allowed(found) or found.ref in self.since)
        return (found.ref,) if found is not None and is_meant else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(Deployment, key.name, key.namespace)
        if wanted is None or wanted.metadata.is_deleted:
            self._forget(key)
            return
        self._note_ready(view, now)
        sets = _sets_of(wanted, view)
        pods = [pod for one in sets for pod in _pods_of(one, view)]
        marks = moving(pods)
        if not marks:
            self.since.pop(key, None)
            yield from self._begun(wanted, sets, pods, view, now)
        elif is_allowed(wanted) and _is_calm(wanted, sets) and len(marks) == 1:
            yield from self._moved(wanted, marks[0], pods, now)
        else:
            # A rollout or somebody's change goes before it.
            self.since.pop(key, None)
            yield from (marked(pod, None) for pod in marks)

    def _forget(self, key: Ref) -> None:
        self.since.pop(key, None)
        self.held_until.pop(key, None)

    def _note_ready(self, view: View, now: datetime) -> None:
        """Note since when each node is seen to be ready; a clock that is set back begins anew."""
        before, self.ready = self.ready, {}
        for node in view.list(Node):
            told = condition_of(node.status.conditions, "Ready")
            if told is None or told.status != "True":
                continue
            stamp, name = told.last_transition_time, node.metadata.name
            known = before.get(name)
            is_known = known is not None and known[0] == stamp and known[1] <= now
            self.ready[name] = known if known is not None and is_known else (stamp, now)

    def _unsteady_s(self, node: Node, now: datetime) -> float:
        """Return how long a node must be ready yet; 0 or less is now."""
        known = self.ready.get(node.metadata.name)
        return self.steady_s - (now - known[1]).total_seconds() if known is not None else LOOK_S

    def _begun(
        self,
        wanted: Deployment,
        sets: Sequence[ReplicaSet],
        pods: Sequence[Pod],
        view: View,
        now: datetime,
    ) -> Iterator[Action]:
        """Mark a pod that should move, where nothing else goes on."""
        key = wanted.ref
        if not is_allowed(wanted) or not _is_calm(wanted, sets) or not _is_whole(wanted, pods, now):
            return
        held_until = self.held_until.get(key, now)
        # By a clock that has been set back, nothing is held for longer than HOLD_S.
        held_s = min((held_until - now).total_seconds(), HOLD_S)
        if held_s > 0:
            yield RequeueAfter(held_s)
            return
        counts = Counter(pod.spec.node_name for pod in pods)
        emptier = _emptier(counts, view)
        if not emptier:
            return
        unsteady_s = {node.metadata.name: self._unsteady_s(node, now) for node in emptier}
        steady = [node for node in emptier if unsteady_s[node.metadata.name] <= 0]
        move = _move(counts, steady, pods, view) if len(self.since) < MOVES_MAX else None
        if move is None:
            yield RequeueAfter(min((LOOK_S, *(one for one in unsteady_s.values() if one > 0))))
            return
        self.since[key] = now
        yield marked(move.pod, move.target)
        yield Record(
            wanted,
            "Rebalancing",
            f"Moving pod {move.pod.metadata.name} from {move.source} to {move.target}",
        )

    def _moved(
        self, wanted: Deployment, pod: Pod, pods: Sequence[Pod], now: datetime
    ) -> Iterator[Action]:
        """Evict a pod once there are as many as wanted without it, or let it stay."""
        key, target = wanted.ref, destination(pod)
        since = min(self.since.setdefault(key, now), now)
        others = [one for one in pods if one is not pod]
        is_late = (now - since).total_seconds() >= MOVE_S
        is_whole = _is_whole(wanted, others, now)
        # By its number: times of creation are whole seconds.
        newest = max(others, key=number_in, default=pod)
        if is_whole and newest.spec.node_name != target:
            yield from self._given_up(wanted, pod, "its successor came to another node", now)
        elif is_late:
            yield from self._given_up(wanted, pod, TOO_LONG[is_whole], now)
        else:
            if is_whole:
                yield Evict(pod.ref, pod.metadata.uid)
            yield RequeueAfter(LOOK_S)

    def _given_up(self, wanted: Deployment, pod: Pod, why: str, now: datetime) -> Iterator[Action]:
        self.since.pop(wanted.ref, None)
        self.held_until[wanted.ref] = now + timedelta(seconds=HOLD_S)
        yield marked(pod, None)
        told = f"Pod {pod.metadata.name} stays on {pod.spec.node_name}: {why}"
        yield Record(wanted, "RebalanceGivenUp", told, "Warning")


def is_allowed(wanted: Deployment) -> bool:
    return wanted.metadata.annotations.get(ALLOWED) == "true"


def _sets_of(wanted: Deployment, view: View) -> Sequence[ReplicaSet]:
    uid = wanted.metadata.uid
    return [one for one in view.owned(ReplicaSet, uid) if is_managed_by(one, uid)]


def _pods_of(one: ReplicaSet, view: View) -> Sequence[Pod]:
    uid = one.metadata.uid
    return [pod for pod in view.owned(Pod, uid) if is_managed_by(pod, uid) and is_active(pod)]


def _is_calm(wanted: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """Whether no rollout goes on: one ReplicaSet has all pods, and is as large as wanted."""
    live = [one for one in sets if one.spec.replicas or one.status.replicas]
    is_seen = wanted.status.observed_generation >= wanted.metadata.generation
    return (
        is_seen
        and not wanted.spec.paused
        and [one.spec.replicas for one in live] == [wanted.spec.replicas]
    )


def _is_whole(wanted: Deployment, pods: Sequence[Pod], now: datetime) -> bool:
    """Whether these are as many as wanted, and all available."""
    ready_s = wanted.spec.min_ready_seconds
    return len(pods) == wanted.spec.replicas and all(
        is_ready(pod) and not is_led_past(pod) and unavailable_s(pod, ready_s, now) <= 0
        for pod in pods
    )


def _emptier(counts: Mapping[str, int], view: View) -> Sequence[Node]:
    """Return the nodes that would still have fewer of the pods if one came, the emptiest first."""
    most = max(counts.values(), default=0)
    nodes = [
        one
        for one in view.list(Node)
        if counts.get(one.metadata.name, 0) + 2 <= most and not one.metadata.is_deleted
    ]
    return sorted(nodes, key=lambda one: (counts.get(one.metadata.name, 0), one.metadata.name))


def _move(
    counts: Mapping[str, int], nodes: Sequence[Node], pods: Sequence[Pod], view: View
) -> Move | None:
    """Return a pod of the fullest node, and the emptiest one that takes it."""
    source = min(counts, key=lambda name: (-counts[name], name), default="")
    there = [pod for pod in pods if pod.spec.node_name == source]
    pod = max(there, key=_created_s, default=None)
    # The volumes of claims are on one node's disk: such a pod stays with them.
    if pod is None or claims_of(pod.spec.volumes) or _is_kept(pod, view):
        return None
    for node in nodes[:NODES_ASKED_MAX]:
        if _fits(pod, node, view):
            return Move(pod, source, node.metadata.name)
    return None


def _is_kept(pod: Pod, view: View) -> bool:
    """Whether no eviction would be allowed, however many siblings there were."""
    meta = pod.metadata
    over = [
        one
        for one in view.list(PodDisruptionBudget, meta.namespace)
        if one.guards(meta.namespace, meta.labels)
    ]
    told = [condition_of(one.status.conditions, DISRUPTION_ALLOWED) for one in over]
    return len(over) > 1 or any(one is not None and one.reason == SYNC_FAILED for one in told)


def _fits(pod: Pod, node: Node, view: View) -> bool:
    """Whether a node would take a pod, rules about other pods aside: those the scheduler keeps."""
    usage = NodeUsage()
    for one in view.on_node(Pod, node.metadata.name):
        if not is_finished(one):
            usage = usage.plus(requests_of(one))
    return first_refusing(requests_of(pod), NodeInfo(facts_of(node), usage), FILTERS) is None


def _created_s(pod: Pod) -> tuple[float, str]:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created is not None else 0.0, pod.metadata.name
