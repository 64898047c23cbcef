"""Roads to pods: what proxies and gateways have acknowledged, concluded for each pod that waits.

Every road says on its Lease which revision of EndpointSlices is in force on it
(`cubernetes.api.coordination.road`). A pod waits in two directions:

* a terminating pod, until no road leads a new connection to it: RoutesRemoved is set, and its
  kubelet stops its containers. The revision to be acknowledged is the first one at which the slices
  say so. While no other pod of a service is ready, roads lead to one that is terminating and still
  serves, so this one waits for another to be ready, or for LAST_S where none is to come. Where a
  policy of the service is Local, only pods of the same node count: that node's road looks at no
  others. To a pod of a service that publishes pods that are not ready, roads lead for as long as it
  is there. A pod waits no longer than its kubelet lets it: that has a deadline of its own;
* a pod that has become ready, until every road leads to it: RoutesReady is set, and it counts as
  available. After READY_MAX_S it counts all the same: one proxy that is stuck must not hold up a
  rollout for ever.

A road whose node is not ready is not waited for: nobody knows whether it is there.

**What is remembered** is the revision that each pod waits for, by whom it is not acknowledged yet,
and since when. Forgotten, a pod waits for a newer revision. An acknowledgement costs one look at
each revision that is waited for, so that a burst of changes costs as many looks as there are roads.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from controllers.endpoints import ports_of
from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import (
    ROAD_NAMESPACE,
    ROUTES_READY,
    ROUTES_REMOVED,
    applied_revision,
    is_road,
)
from cubernetes.api.core.node import Node
from cubernetes.api.core.node import is_ready as is_node_ready
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import (
    SERVICE_LABEL,
    Endpoint,
    EndpointSlice,
    may_be_endpoint,
)
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.selectors import equal_to
from cubernetes.client.cache import revision_of
from cubernetes.reconcile.plan import Action, RequeueAfter, UpdateStatus, View

LAST_S = 1.0  # how long a service's last pod waits for a successor to be made
READY_MAX_S = 10.0  # how long a ready pod waits for roads
NAMES_MAX = 3  # of roads that a message names


class Standing(NamedTuple):
    """How the slices speak of a pod, as far as the view shows.

    revision: of the slices that say so; None where they do not say it yet.
    last_of: the services that lead to a terminating pod, since none of their pods is ready.
    """

    revision: int | None
    last_of: tuple[Service, ...] = ()


@dataclass(slots=True)
class Wait:
    """What a pod waits for. revision: to be acknowledged; None while the slices lead to it."""

    uid: str
    since: datetime
    revision: int | None = None


@dataclass(slots=True)
class Group:
    """The pods that wait for one revision, and the roads that have not acknowledged it."""

    behind: set[str]
    pods: set[Ref] = field(default_factory=set)


@dataclass(slots=True)
class Routes:
    """Plans by Pod; a Lease or a Node brings the pods that waited for it alone."""

    waits: dict[Ref, Wait] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)

    name = "routes"
    kinds: tuple[type[Object], ...] = (Pod, Service, EndpointSlice, Lease, Node)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        match changed:
            case Pod():
                is_meant = aim_of(changed) or changed.ref in self.waits
                return (changed.ref,) if is_meant else ()
            case EndpointSlice():
                return self._pods_of(changed, view)
            case Lease():
                return (changed.ref,) if is_road(changed) else ()
            case Node():
                return () if is_node_ready(changed) else (changed.ref,)
        # A service that takes another selector may have been all that a pod waited for.
        return [ref for ref in self.waits if ref.namespace == changed.metadata.namespace]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        if key.kind == Pod.resource.kind:
            yield from self._plan_pod(key, view, now)
            return
        for name in self._roads_of(key, view):
            self._acknowledged(name, view)
        # Also those of before whose writes failed: they stay until the pod shows its condition.
        free = [group for _, group in sorted(self.groups.items()) if not group.behind]
        for ref in [ref for group in free for ref in sorted(group.pods)]:
            yield from self._plan_pod(ref, view, now)

    def _pods_of(self, one: EndpointSlice, view: View) -> Iterator[Ref]:
        """Yield the pods that a slice speaks of and that wait, and those that wait for others."""
        namespace = one.metadata.namespace
        for endpoint in one.endpoints:
            pod = view.get(Pod, _name_of(endpoint), namespace)
            if pod is not None and aim_of(pod):
                yield pod.ref
        for ref, wait in self.waits.items():
            if wait.revision is None and ref.namespace == namespace:
                yield ref

    def _roads_of(self, key: Ref, view: View) -> list[str]:
        if key.kind == Lease.resource.kind:
            return [key.name]
        leases = view.list(Lease, ROAD_NAMESPACE)
        return [one.metadata.name for one in leases if one.spec.holder_identity == key.name]

    def _acknowledged(self, name: str, view: View) -> None:
        """Take a road out of the groups that need not wait for it any more."""
        lease = view.get(Lease, name, ROAD_NAMESPACE)
        for revision, group in self.groups.items():
            if name in group.behind and not _is_behind(lease, revision, view):
                group.behind.discard(name)

    def _plan_pod(self, ref: Ref, view: View, now: datetime) -> Iterator[Action]:
        pod = view.get(Pod, ref.name, ref.namespace)
        aim = aim_of(pod)
        if pod is None or not aim:
            self._forget(ref)
            return
        wait = self._wait_of(ref, pod, aim, now)
        waited_s = (now - wait.since).total_seconds()
        standing = standing_of(pod, view)
        if any(_has_other(service, pod, view) or waited_s < LAST_S for service in standing.last_of):
            self._leave(ref)
            yield RequeueAfter(LAST_S)
            return
        if standing.revision is None:
            self._leave(ref)
            yield from _deadline(pod, aim, waited_s, (), now)
            return
        behind = self._join(ref, wait, standing.revision, view)
        if behind:
            yield from _deadline(pod, aim, waited_s, sorted(behind), now)
        else:
            yield _concluded(pod, aim, "Acknowledged", "", now)

    def _wait_of(self, ref: Ref, pod: Pod, aim: str, now: datetime) -> Wait:
        mark = f"{pod.metadata.uid} {aim}"
        wait = self.waits.get(ref)
        if wait is None or wait.uid != mark:
            self._forget(ref)
            wait = self.waits[ref] = Wait(mark, now)
        # By a clock that has been set back, nothing was seen in the future.
        wait.since = min(wait.since, now)
        return wait

    def _join(self, ref: Ref, wait: Wait, revision: int, view: View) -> set[str]:
        """Let a pod wait for the first revision that served it; return the roads behind."""
        wait.revision = revision if wait.revision is None else wait.revision
        group = self.groups.get(wait.revision)
        if group is None:
            leases = view.list(Lease, ROAD_NAMESPACE)
            names = {one.metadata.name for one in leases if _is_behind(one, wait.revision, view)}
            group = self.groups[wait.revision] = Group(names)
        group.pods.add(ref)
        return group.behind

    def _leave(self, ref: Ref) -> None:
        """Take a pod out of its group: the slices speak of it otherwise now."""
        wait = self.waits.get(ref)
        if wait is None or wait.revision is None:
            return
        group = self.groups[wait.revision]
        group.pods.discard(ref)
        if not group.pods:
            del self.groups[wait.revision]
        wait.revision = None

    def _forget(self, ref: Ref) -> None:
        self._leave(ref)
        self.waits.pop(ref, None)


def aim_of(pod: Pod | None) -> str:
    """Return the condition that a pod waits for; empty where it waits for none."""
    if pod is None or is_finished(pod) or not pod.spec.node_name:
        return ""
    if pod.metadata.is_deleted:
        removed = condition_of(pod.status.conditions, ROUTES_REMOVED)
        return ROUTES_REMOVED if removed is None or removed.status != "True" else ""
    routes = condition_of(pod.status.conditions, ROUTES_READY)
    return ROUTES_READY if is_ready(pod) and routes and routes.status == "False" else ""


def standing_of(pod: Pod, view: View) -> Standing:
    """Return how the slices of a pod's services speak of it: as it is now, or not yet."""
    revision, last_of = 0, []
    for service in _services_of(pod, view):
        selector = equal_to({SERVICE_LABEL: service.metadata.name})
        slices = view.list(EndpointSlice, pod.metadata.namespace, selector)
        mine = [(one, each) for one in slices for each in one.endpoints if _is_of(each, pod)]
        if not mine and _is_expected(service, pod):
            return Standing(None)
        for one, endpoint in mine:
            conditions = endpoint.conditions
            if conditions.terminating != pod.metadata.is_deleted:
                return Standing(None)
            if not pod.metadata.is_deleted and not conditions.ready:
                return Standing(None)
            if conditions.terminating and conditions.ready and not service.is_headless:
                # It is published although it ends: every road leads to it until it is gone.
                return Standing(None)
            is_fallback = conditions.terminating and conditions.serving and not conditions.ready
            if is_fallback and not _has_ready(slices, one, _place_of(service, pod)):
                last_of.append(service)
        # All of them: the one by which another pod has become ready may be any.
        revision = max(revision, *(revision_of(one) for one in slices), 0)
    return Standing(revision, tuple(last_of))


def _services_of(pod: Pod, view: View) -> list[Service]:
    services = view.list(Service, pod.metadata.namespace)
    return [one for one in services if one.selects(pod.metadata.labels)]


def _is_expected(service: Service, pod: Pod) -> bool:
    """Whether the endpoints controller gives the pod a place in a slice of the service."""
    has_port = not service.spec.ports or bool(ports_of(service, pod))
    return may_be_endpoint(pod.status.pod_ip) and has_port


def _place_of(service: Service, pod: Pod) -> str:
    """Return the node whose pods alone can replace a pod; empty where those of any node can."""
    return pod.spec.node_name if service.spec.has_local_policy else ""


def _has_ready(slices: Sequence[EndpointSlice], like: EndpointSlice, node: str) -> bool:
    """Whether an endpoint is ready for every port of a slice; on a node, where one is given."""
    served = {
        (port.name, port.protocol)
        for one in slices
        if any(each.conditions.ready and node in ("", each.node_name) for each in one.endpoints)
        for port in one.ports
    }
    return all((port.name, port.protocol) in served for port in like.ports)


def _has_other(service: Service, pod: Pod, view: View) -> bool:
    """Whether another pod is there that may become ready for the service in the pod's place."""
    node = _place_of(service, pod)
    pods = view.list(Pod, service.metadata.namespace, equal_to(service.spec.selector))
    return any(
        one.metadata.uid != pod.metadata.uid
        and not one.metadata.is_deleted
        and not is_finished(one)
        and (not node or one.spec.node_name in ("", node))
        for one in pods
    )


def _is_behind(lease: Lease | None, revision: int, view: View) -> bool:
    """Whether a road must be waited for: its node is ready, and it has not acknowledged."""
    if lease is None or not is_road(lease) or applied_revision(lease) >= revision:
        return False
    node = view.get(Node, lease.spec.holder_identity)
    return node is not None and is_node_ready(node)


def _deadline(
    pod: Pod, aim: str, waited_s: float, behind: Sequence[str], now: datetime
) -> Iterator[Action]:
    """Count a ready pod as led to after a while. The end of a pod has its deadline elsewhere."""
    if aim != ROUTES_READY:
        return
    if waited_s < READY_MAX_S:
        yield RequeueAfter(READY_MAX_S - waited_s)
        return
    named = ", ".join(behind[:NAMES_MAX]) or "the endpoints"
    message = f"not acknowledged within {READY_MAX_S:g} s by {named}"
    yield _concluded(pod, aim, "DeadlineExceeded", message, now)


def _concluded(pod: Pod, aim: str, reason: str, message: str, now: datetime) -> UpdateStatus:
    new = Condition(type=aim, status="True", reason=reason, message=message)
    conditions = with_condition(pod.status.conditions, new, now)
    return UpdateStatus(replaced(pod, status=replaced(pod.status, conditions=conditions)))


def _is_of(endpoint: Endpoint, pod: Pod) -> bool:
    return endpoint.target_ref is not None and endpoint.target_ref.uid == pod.metadata.uid


def _name_of(endpoint: Endpoint) -> str:
    return endpoint.target_ref.name if endpoint.target_ref is not None else ""
