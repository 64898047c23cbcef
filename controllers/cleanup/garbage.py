"""Garbage: what nobody needs any more goes, and only what certainly nobody needs.

* an object whose owners are all gone, by uid, or wait for it to go. One owner that stays keeps it:
  then only its references to the others go. Where that is not certain, nothing is done: the owner's
  kind is unknown, or the view of it is older than the object (see owners.owners_of). Uids whose end
  was seen are remembered, the last GONE_MAX of them: of these nobody needs to wait;
* a deleted owner with the finalizer `orphan` first loses its dependents, which stay;
* one with `foregroundDeletion` outlives its dependents whose references block its deletion. They
  go as above, those that have dependents themselves in the foreground too: so a chain of owners
  goes from its end. In a circle one reference stops blocking, else all would wait for ever;
* a deleted pod that was never bound: no kubelet will ever confirm its end;
* a pod on a Node that does not exist. The name of such a node is remembered, with the time since
  when it is missed: a Node that is deleted by mistake is back within MISSING_GRACE_S, as its
  kubelet registers again. Forgotten, the wait begins anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from controllers.owners import (
    FOREGROUND,
    ORPHAN,
    blocking_in_circle,
    is_waiting,
    owners_of,
    refs_of_owners,
    revision_of,
    unblocked,
    unknown_kinds,
    with_owners,
    without_finalizer,
)
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object, Ref
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Action, Delete, Patch, RequeueAfter, View

MISSING_GRACE_S = 30.0
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again
GONE_MAX = 10_000
BURST = 500


@dataclass(slots=True)
class Garbage:
    """Plans by object, of any kind."""

    missing: dict[str, datetime] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)  # uids, the oldest first
    known: Kinds = KINDS

    name = "garbage"

    def know(self, kinds: Sequence[type[Object]]) -> None:
        ours = (one for one in self.known if not one.resource.is_custom)
        self.known = Kinds(*ours, *kinds)

    @property
    def kinds(self) -> tuple[type[Object], ...]:
        return self.known.all

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        meta = changed.metadata
        if meta.owner_references or meta.finalizers or isinstance(changed, Pod):
            yield changed.ref
        found = view.get(type(changed), meta.name, meta.namespace)
        if found is None or found.metadata.uid != meta.uid:
            self._remember(meta.uid)
            self._forget_node(changed, view)
            yield from (one.ref for one in _dependents(meta.uid, view, self.known))
            if isinstance(changed, Node):
                yield from (pod.ref for pod in view.on_node(Pod, meta.name))
        elif is_waiting(changed):
            yield from (one.ref for one in _dependents(meta.uid, view, self.known))
        if found is None or found.metadata.owner_references != meta.owner_references:
            # An owner that goes may be waiting for just this.
            yield from refs_of_owners(changed, self.known)

    def _remember(self, uid: str) -> None:
        self.gone[uid] = None
        if len(self.gone) > GONE_MAX:
            del self.gone[next(iter(self.gone))]

    def _forget_node(self, gone: Object, view: View) -> None:
        """With its last pod, a missing node is missed by nobody."""
        if isinstance(gone, Pod) and not view.on_node(Pod, gone.spec.node_name):
            self.missing.pop(gone.spec.node_name, None)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        kind = self.known.called(key.kind)
        thing = view.get(kind, key.name, key.namespace) if kind is not None else None
        if thing is None:
            return
        if thing.metadata.is_deleted and ORPHAN in thing.metadata.finalizers:
            yield from _orphaned(thing, view, self.known)
        elif is_waiting(thing):
            yield from _after_dependents(thing, view, self.known)
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
            yield RequeueAfter(VIEW_PAUSE_S)
        else:
            left_s = self._grace_left_s(node, now)
            if left_s <= 0:
                yield Delete(Pod, pod.ref, pod.metadata.uid, grace_s=0)
                return
            yield RequeueAfter(left_s)
        if not pod.metadata.is_deleted:
            yield from self._unowned(pod, view)

    def _unowned(self, thing: Object, view: View) -> Iterator[Delete | Patch | RequeueAfter]:
        """Delete it where no owner stays; the revision guards a new one."""
        owners = owners_of(thing, view, self.known, self.gone)
        leaving = {one.uid for one in (*owners.absent, *owners.waiting)}
        if owners.solid:
            if leaving:
                left = [one for one in thing.metadata.owner_references if one.uid not in leaving]
                yield with_owners(thing, left)
        elif leaving and not owners.unseen and not owners.foreign:
            yield _ended(thing, view, self.known, is_waited_for=bool(owners.waiting))
        if owners.unseen:
            yield RequeueAfter(VIEW_PAUSE_S)

    def _grace_left_s(self, node: str, now: datetime) -> float:
        since = self.missing.setdefault(node, now)
        if since > now:
            # The clock was set back: what it said before is no knowledge.
            since = self.missing[node] = now
        return MISSING_GRACE_S - (now - since).total_seconds()


def _ended(thing: Object, view: View, kinds: Kinds, *, is_waited_for: bool) -> Delete:
    """Return what ends an object that no owner keeps."""
    meta = thing.metadata
    is_owner = is_waited_for and any(_dependents(meta.uid, view, kinds))
    return Delete(
        type(thing),
        thing.ref,
        meta.uid,
        resource_version=meta.resource_version,
        propagation="Foreground" if is_owner else None,
    )


def _orphaned(owner: Object, view: View, kinds: Kinds) -> Iterator[Action]:
    count = 0
    for thing in _dependents(owner.metadata.uid, view, kinds):
        count += 1
        left = [one for one in thing.metadata.owner_references if one.uid != owner.metadata.uid]
        yield with_owners(thing, left)
        if count == BURST:
            return
    if count == 0:
        yield from _let_go(owner, ORPHAN, view, kinds)


def _after_dependents(owner: Object, view: View, kinds: Kinds) -> Iterator[Action]:
    """Let an owner go when nothing blocks its deletion: dependents are planned by themselves."""
    uid = owner.metadata.uid
    if not any(_blocks(one, uid) for one in _dependents(uid, view, kinds)):
        yield from _let_go(owner, FOREGROUND, view, kinds)
    elif circular := blocking_in_circle(owner, owners_of(owner, view, kinds).waiting, view, kinds):
        yield with_owners(owner, unblocked(owner, circular))


def _blocks(thing: Object, uid: str) -> bool:
    """Tell whether this owner waits for a dependent. Nothing waits for itself."""
    owners = thing.metadata.owner_references
    return thing.metadata.uid != uid and any(
        one.uid == uid and one.block_owner_deletion for one in owners
    )


def _let_go(owner: Object, finalizer: str, view: View, kinds: Kinds) -> Iterator[Action]:
    """Take the finalizer away, once every view is so new that no dependent can be missed."""
    is_seen = all(view.revision(kind) >= revision_of(owner) for kind in kinds)
    if is_seen and not unknown_kinds(view, kinds):
        yield without_finalizer(owner, finalizer)
    else:
        yield RequeueAfter(VIEW_PAUSE_S)


def _dependents(uid: str, view: View, kinds: Kinds) -> Iterator[Object]:
    for kind in kinds:
        yield from view.owned(kind, uid)
