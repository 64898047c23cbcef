"""Nodes that fall silent: told by their Leases, kept out of service, and in the end given up.

A kubelet renews its Lease every 2 s. What counts is when *we* see a renewal, by our own clock, and
never the time that the writer put into it: clocks differ, and get set.

* no renewal seen for `silent_after_s`: Ready becomes Unknown, and its pods' Ready False;
* for as long again as a pod tolerates (`tolerated_s`): it is deleted, some at a time. It stays in
  the API, going, until the kubelet is back or the Node is deleted. A pod that a controller replaces
  is given up soon: that costs a pod, and not doing it costs the service. A bare pod is nobody's to
  replace: its deletion loses it, so that the node has minutes to come back with it;
* seen again for `steady_s`: Ready as before. A kubelet that speaks for itself comes first;
* its Node and Lease deleted: its pods' Ready is False at once, and garbage goes as ever;
* nothing is evicted while more than half of all nodes are silent: that trouble is probably ours.

**What is remembered**, per node: the renewal last seen, and when (`LastRenewal`). It may be lost:
the clocks of all nodes then begin anew, so a restart makes us slower, never wrong. The same is done
where no lease at all was seen to change for `pulse_s` (leaders' leases count): an API server that
was away, a watch that hung or a wall clock that was set says nothing about nodes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controllers.nodes.evictions import evicted
from cubernetes.api.condition import Condition, Truth, condition_of, is_true, with_condition
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.coordination.road import ROUTES_READY
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.toleration import unreachable_s
from cubernetes.api.core.podstatus import lasting_statuses
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import Action, Record, RequeueAfter, UpdateStatus, View

UNKNOWN = "NodeStatusUnknown"
NODE_NOT_READY = "NodeNotReady"
SILENT_PAUSE_S = 2.0  # between two looks at a silent node
SILENT_SHARE_MAX = 0.5  # of all nodes: beyond it nothing is evicted
LOOK_AGAIN_S = 1.0
REVIVAL_S = 60.0  # how long after its return a node's pods are looked through


@dataclass(frozen=True, slots=True)
class Timing:
    """silent_after_s counts from the last renewal, what is given up later counts from there on.

    evict_after_s is for pods that a controller replaces, evict_bare_after_s for the others; a pod
    that states its own tolerationSeconds goes by that.
    """

    silent_after_s: float = 10.0
    evict_after_s: float = 30.0
    evict_bare_after_s: float = 300.0
    steady_s: float = 4.0
    pulse_s: float = 6.0


@dataclass(slots=True)
class LastRenewal:
    """The signs of life of one node."""

    renewal: str
    at: datetime
    since: datetime | None  # of an unbroken run of renewals; None until a change has been seen


@dataclass(slots=True)
class Nodes:
    """Plans by Node; each renewal of its Lease makes it look."""

    timing: Timing = field(default_factory=Timing)
    seen: dict[str, LastRenewal] = field(default_factory=dict)
    pulse_at: datetime | None = None
    awake_since: datetime | None = None

    name = "nodes"
    kinds: tuple[type[Object], ...] = (Node, Lease, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        if isinstance(changed, Lease):
            # A leader's lease is no node's, but shows that leases are seen to change at all.
            is_node = changed.metadata.namespace == NODE_LEASE_NAMESPACE
            return (_ref(changed.metadata.name) if is_node else changed.ref,)
        # Pods are looked at when their node is: every renewal, and while it is silent.
        return () if isinstance(changed, Pod) else (changed.ref,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        is_lease = key.kind == Lease.resource.kind
        place = (key.name, key.namespace) if is_lease else (key.name, NODE_LEASE_NAMESPACE)
        lease = view.get(Lease, *place)
        seen = self._observe(str(key), lease, now)
        node = None if is_lease else view.get(Node, key.name)
        if node is None or node.metadata.is_deleted:
            if seen is not None and (not is_lease or lease is None):
                del self.seen[str(key)]
            if not is_lease and node is None and lease is None:
                # The other nodes have taken the ways to its pods away: nobody can reach them.
                yield from _unready(view.on_node(Pod, key.name), now)
            return
        if self._holds(now):
            yield RequeueAfter(LOOK_AGAIN_S)
            return
        if seen is None:
            # It has no Lease yet: from its first look on, it has as long as any other.
            seen = self.seen.setdefault(str(key), LastRenewal("", now, None))
        yield from self._plan_node(node, seen, view, now)

    def silence_s(self, seen: LastRenewal, now: datetime) -> float:
        """Return for how long we have listened to a node in vain."""
        begin = max(seen.at, self.awake_since or seen.at)
        return (now - begin).total_seconds()

    def _observe(self, key: str, lease: Lease | None, now: datetime) -> LastRenewal | None:
        """Take note of a renewal, where there is one that was not seen before."""
        old = self.seen.get(key)
        if lease is None:
            return old
        renewal = f"{lease.metadata.uid} {lease.spec.renew_time} {lease.spec.holder_identity}"
        if old is not None and old.renewal == renewal:
            return old
        self._feel_pulse(now)
        # The first look shows that a Lease is there, not that anybody renews it.
        since = self._run_begin(old, now) if old is not None and old.renewal else None
        self.seen[key] = LastRenewal(renewal, now, since)
        return self.seen[key]

    def _run_begin(self, old: LastRenewal, now: datetime) -> datetime:
        is_unbroken = (now - old.at).total_seconds() < self.timing.pulse_s
        return old.since if is_unbroken and old.since is not None else now

    def _feel_pulse(self, now: datetime) -> None:
        """Some lease has changed. After a gap, or a clock set back, all nodes' time begins anew."""
        if self._holds(now):
            self.awake_since = now
            for seen in self.seen.values():
                # By a clock that has been set back, nothing was seen in the future.
                seen.at = min(seen.at, now)
        self.pulse_at = now

    def _holds(self, now: datetime) -> bool:
        """True while no lease at all is seen to change: then silence is no knowledge."""
        if self.pulse_at is None:
            return True
        return not 0 <= (now - self.pulse_at).total_seconds() <= self.timing.pulse_s

    def _plan_node(
        self, node: Node, seen: LastRenewal, view: View, now: datetime
    ) -> Iterator[Action]:
        timing, silence_s = self.timing, self.silence_s(seen, now)
        if silence_s < timing.silent_after_s:
            run_s = (now - seen.since).total_seconds() if seen.since is not None else 0.0
            if timing.steady_s <= run_s:
                yield from _heard_again(node, now)
            if timing.steady_s <= run_s <= REVIVAL_S:
                yield from _ready_again(node, view, now)
            yield RequeueAfter(max(LOOK_AGAIN_S, timing.silent_after_s - silence_s))
            return
        yield from _silenced(node, now)
        pods = [pod for pod in view.on_node(Pod, node.metadata.name) if not is_finished(pod)]
        yield from _unready(pods, now)
        due = [pod for pod in pods if self._is_due(pod, silence_s - timing.silent_after_s)]
        if due and self._may_evict(view, now):
            yield from evicted(due, f"node {node.metadata.name} is silent")
        yield RequeueAfter(SILENT_PAUSE_S)

    def _is_due(self, pod: Pod, lost_s: float) -> bool:
        """Whether a pod is to be given up, its node having been out of reach for so long."""
        return not pod.metadata.is_deleted and lost_s >= tolerated_s(pod, self.timing)

    def _may_evict(self, view: View, now: datetime) -> bool:
        nodes = view.list(Node)
        silent_count = sum(self._is_silent(node, now) for node in nodes)
        return silent_count <= len(nodes) * SILENT_SHARE_MAX

    def _is_silent(self, node: Node, now: datetime) -> bool:
        """A node never looked at counts as silent: not knowing must not lead to evictions."""
        seen = self.seen.get(str(node.ref))
        return seen is None or self.silence_s(seen, now) >= self.timing.silent_after_s


def tolerated_s(pod: Pod, timing: Timing) -> float:
    """Return how long a pod stays on a node that is out of reach; it may be for ever."""
    asked_s = unreachable_s(pod.spec.tolerations)
    if asked_s is not None:
        return asked_s
    is_replaced = pod.metadata.controller is not None
    return timing.evict_after_s if is_replaced else timing.evict_bare_after_s


def _silenced(node: Node, now: datetime) -> Iterator[Action]:
    ready = condition_of(node.status.conditions, "Ready")
    if ready is not None and ready.status == "Unknown":
        return
    message = "Kubelet stopped renewing the node's lease."
    yield _with_ready(node, "Unknown", UNKNOWN, message, now)
    yield Record(node, NODE_NOT_READY, f"Node {node.metadata.name} is silent", "Warning")


def _heard_again(node: Node, now: datetime) -> Iterator[Action]:
    """Take back what was said of a silent node; what its kubelet says of it stays."""
    ready = condition_of(node.status.conditions, "Ready")
    if ready is not None and (ready.status, ready.reason) == ("Unknown", UNKNOWN):
        message = "Kubelet renews the node's lease again."
        yield _with_ready(node, "True", "KubeletReady", message, now)
        yield Record(node, "NodeReady", f"Node {node.metadata.name} is heard again")


def _ready_again(node: Node, view: View, now: datetime) -> Iterator[Action]:
    """Take back what was said of the pods, where their containers were ready to the last."""
    if not is_true(node.status.conditions, "Ready"):
        return
    for pod in view.on_node(Pod, node.metadata.name):
        ready = condition_of(pod.status.conditions, "Ready")
        containers = lasting_statuses(pod.spec, pod.status)
        is_ours = ready is not None and ready.reason == NODE_NOT_READY and not is_finished(pod)
        gates = (one.condition_type for one in pod.spec.readiness_gates)
        is_open = all(is_true(pod.status.conditions, one) for one in gates)
        if is_ours and is_open and containers and all(one.ready for one in containers):
            yield _with_ready(pod, "True", "", "", now)


def _unready(pods: Sequence[Pod], now: datetime) -> Iterator[Action]:
    for pod in pods:
        if is_true(pod.status.conditions, "Ready"):
            # In one write: roads that led to it do so no more, once they have heard of it.
            led = _routes_lost(pod, now)
            yield _with_ready(led, "False", NODE_NOT_READY, "The node is silent.", now)


def _routes_lost(pod: Pod, now: datetime) -> Pod:
    if not is_true(pod.status.conditions, ROUTES_READY):
        return pod
    lost = Condition(type=ROUTES_READY, status="False", reason=NODE_NOT_READY)
    conditions = with_condition(pod.status.conditions, lost, now)
    return replaced(pod, status=replaced(pod.status, conditions=conditions))


def _with_ready[O: (Node, Pod)](
    thing: O, status: Truth, reason: str, message: str, now: datetime
) -> UpdateStatus:
    new = Condition(type="Ready", status=status, reason=reason, message=message)
    conditions = with_condition(thing.status.conditions, new, now)
    return UpdateStatus(replaced(thing, status=replaced(thing.status, conditions=conditions)))


def _ref(name: str) -> Ref:
    return Ref(Node.resource.kind, "", name)
