"""Garbage: what nobody needs any more goes, and only what certainly nobody needs.

* an object whose owners are all gone, by uid. Where that is not certain, nothing is deleted: the
  owner's kind is unknown, or the view of it is older than the object (see owners.presence). Uids
  whose end was seen are remembered, the last GONE_LIMIT of them: of these nobody needs to wait;
* a deleted owner with the finalizer `orphan` first loses its dependents, which stay; one with
  `foregroundDeletion` outlives them;
* a deleted pod that was never bound: no kubelet will ever confirm its end;
* a pod on a Node that does not exist. The name of such a node is remembered, with the time since
  when it is missed: a Node that is deleted by mistake is back within MISSING_GRACE_S, as its
  kubelet registers again. Forgotten, the wait begins anew.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controllers.owners import owning_kind, presence, revision_of, with_owners, without_finalizer
from cubernetes.api.meta import Object, Ref
from cubernetes.api.node import Node
from cubernetes.api.pod import Pod
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Action, Again, Delete, View

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
MISSING_GRACE_S = 30.0
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again
GONE_LIMIT = 10_000
BURST = 500

_BY_NAME: Mapping[str, type[Object]] = {kind.resource.kind: kind for kind in KINDS}


@dataclass(slots=True)
class Garbage:
    """Plans by object, of any kind."""

    missing: dict[str, datetime] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)  # uids, the oldest first

    name = "garbage"
    kinds: tuple[type[Object], ...] = KINDS

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        meta = changed.metadata
        if meta.owner_references or meta.finalizers or isinstance(changed, Pod):
            yield changed.ref
        found = view.get(type(changed), meta.name, meta.namespace)
        if found is None or found.metadata.uid != meta.uid:
            self._remember(meta.uid)
            self._forget_node(changed, view)
            yield from (one.ref for one in _dependents(meta.uid, view))
            if isinstance(changed, Node):
                yield from (pod.ref for pod in view.on_node(Pod, meta.name))
        if found is None or found.metadata.owner_references != meta.owner_references:
            # An owner that goes may be waiting for just this.
            yield from _known_owners(changed)

    def _remember(self, uid: str) -> None:
        self.gone[uid] = None
        if len(self.gone) > GONE_LIMIT:
            del self.gone[next(iter(self.gone))]

    def _forget_node(self, gone: Object, view: View) -> None:
        """With its last pod, a missing node is missed by nobody."""
        if isinstance(gone, Pod) and not view.on_node(Pod, gone.spec.node_name):
            self.missing.pop(gone.spec.node_name, None)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        kind = _BY_NAME[key.kind]
        thing = view.get(kind, key.name, key.namespace)
        if thing is None:
            return
        if thing.metadata.is_deleted and ORPHAN in thing.metadata.finalizers:
            yield from _orphaned(thing, view)
        elif thing.metadata.is_deleted and FOREGROUND in thing.metadata.finalizers:
            yield from _dependents_first(thing, view)
        elif isinstance(thing, Pod) and thing.spec.node_name:
            yield from self._plan_bound(thing, view, now)
        elif isinstance(thing, Pod) and thing.metadata.is_deleted:
            yield Delete(Pod, thing.ref, thing.metadata.uid, grace_s=0)
        elif not thing.metadata.is_deleted:
            yield from self._unowned(thing, view)

    def _plan_bound(self, pod: Pod, view: View, now: datetime) -> Iterator[Action]:
        node = pod.spec.node_name
        if view.get(Node, node) is not None:
            self.missing.pop(node, None)
        elif view.revision(Node) < revision_of(pod):
            yield Again(VIEW_PAUSE_S)
        else:
            left_s = self._grace_left_s(node, now)
            if left_s <= 0:
                yield Delete(Pod, pod.ref, pod.metadata.uid, grace_s=0)
                return
            yield Again(left_s)
        if not pod.metadata.is_deleted:
            yield from self._unowned(pod, view)

    def _unowned(self, thing: Object, view: View) -> Iterator[Delete | Again]:
        """Delete it where it had owners and all are gone; the revision guards a new owner."""
        states = {
            "absent" if owner.uid in self.gone else presence(owner, thing, view)
            for owner in thing.metadata.owner_references
        }
        if states == {"absent"}:
            meta = thing.metadata
            yield Delete(type(thing), thing.ref, meta.uid, resource_version=meta.resource_version)
        elif "present" not in states and _is_ours_to_wait_for(thing):
            yield Again(VIEW_PAUSE_S)

    def _grace_left_s(self, node: str, now: datetime) -> float:
        since = self.missing.setdefault(node, now)
        if since > now:
            # The clock was set back: what it said before is no knowledge.
            since = self.missing[node] = now
        return MISSING_GRACE_S - (now - since).total_seconds()


def _known_owners(thing: Object) -> Iterator[Ref]:
    for owner in thing.metadata.owner_references:
        kind = _BY_NAME.get(owner.kind)
        if kind is not None:
            namespace = thing.metadata.namespace if kind.resource.namespaced else ""
            yield Ref(owner.kind, namespace, owner.name)


def _is_ours_to_wait_for(thing: Object) -> bool:
    """True where every owner is of a kind that the view has, and may only lag."""
    owners = thing.metadata.owner_references
    return bool(owners) and all(owning_kind(owner, thing) is not None for owner in owners)


def _orphaned(owner: Object, view: View) -> Iterator[Action]:
    count = 0
    for thing in _dependents(owner.metadata.uid, view):
        count += 1
        left = [one for one in thing.metadata.owner_references if one.uid != owner.metadata.uid]
        yield with_owners(thing, left)
        if count == BURST:
            return
    if count == 0:
        yield from _let_go(owner, ORPHAN, view)


def _dependents_first(owner: Object, view: View) -> Iterator[Action]:
    dependents = list(_dependents(owner.metadata.uid, view))
    staying = [one for one in dependents if not one.metadata.is_deleted]
    for thing in staying[:BURST]:
        yield Delete(type(thing), thing.ref, thing.metadata.uid)
    if not dependents:
        yield from _let_go(owner, FOREGROUND, view)


def _let_go(owner: Object, finalizer: str, view: View) -> Iterator[Action]:
    """Take the finalizer away, once every view is so new that no dependent can be missed."""
    if all(view.revision(kind) >= revision_of(owner) for kind in KINDS):
        yield without_finalizer(owner, finalizer)
    else:
        yield Again(VIEW_PAUSE_S)


def _dependents(uid: str, view: View) -> Iterator[Object]:
    for kind in KINDS:
        yield from view.owned(kind, uid)
