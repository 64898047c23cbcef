"""A tiny world that carries plans out: what laws about planners are tested in.

It keeps objects, revisions and every state it has been in, so that a planner can be shown a view
that is some writes behind. Writes follow the API's rules as far as planners depend on them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from apiserver.verbs.delete import finalizers_after
from cubernetes.api.coding import codec
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.patches.patch import merged
from cubernetes.reconcile.plan import (
    Action,
    Bind,
    Create,
    Delete,
    Evict,
    Finalize,
    Patch,
    Planner,
    Record,
    RequeueAfter,
    StillView,
    Update,
    UpdateStatus,
)
from tests.given import NOW


class Refused(Exception):
    """The API says no: a precondition does not hold, or the name is another's."""


class World:
    """Objects by ref; `writes` counts what really changed."""

    def __init__(self, objects: Iterable[Object] = (), now: datetime = NOW) -> None:
        self.now = now
        self.records: list[Record] = []
        self.writes = 0
        self._objects: dict[Ref, Object] = {}
        self._past: list[tuple[int, dict[Ref, Object]]] = []
        self._uids = 0
        self.revision = 100
        for one in objects:
            self.put(one)

    def put(self, *ones: Object) -> None:
        """Let these stand, by one write, as their writer has them but for the revision."""
        dated = {one.ref: self._dated(one) for one in ones}
        self._keep({**self._objects, **dated})

    def _dated(self, one: Object) -> Object:
        meta = one.metadata
        self._uids += not meta.uid
        dated = replaced(
            meta,
            uid=meta.uid or f"made-{self._uids}",
            creation_timestamp=meta.creation_timestamp or self.now,
            resource_version=str(self.revision + 1),
        )
        return replaced(one, metadata=dated)

    def remove(self, ref: Ref) -> None:
        self._keep({key: one for key, one in self._objects.items() if key != ref})

    def get[O: Object](self, kind: type[O], name: str, namespace: str = "") -> O | None:
        return self.view().get(kind, name, namespace)

    def all[O: Object](self, kind: type[O]) -> Sequence[O]:
        return self.view().list(kind)

    def view(self, behind: int = 0) -> StillView:
        """Return the world as it was `behind` writes ago."""
        past = [*self._past, (self.revision, self._objects)]
        revision, objects = past[max(0, len(past) - 1 - behind)]
        return StillView(list(objects.values()), as_of=revision)

    def carry_out(self, actions: Iterable[Action], limit: int | None = None) -> int:
        """Do the first `limit` actions, up to the first that is refused; return how many."""
        done = 0
        for action in list(actions)[:limit]:
            try:
                self._do(action)
            except Refused:
                break
            done += 1
        return done

    def settle(self, planner: Planner, rounds: int) -> int:
        """Plan every key and carry it out, until nothing is left; return how many rounds it took.

        Raises:
            AssertionError: there is still something to do after `rounds`.
        """
        for count in range(rounds + 1):
            todo = [action for key in self.keys(planner) for action in self.plan(planner, key)]
            if not todo:
                return count
            assert count < rounds, f"after {rounds} rounds there is still to do: {todo[:3]}"
            for key in self.keys(planner):
                self.carry_out(self.plan(planner, key))
        raise AssertionError("unreachable")

    def keys(self, planner: Planner, behind: int = 0) -> list[Ref]:
        """Return every key that any object concerns."""
        view = self.view(behind)
        found = [planner.keys(one, view) for one in view.objects if isinstance(one, planner.kinds)]
        return sorted({key for keys in found for key in keys})

    def plan(self, planner: Planner, key: Ref, behind: int = 0) -> list[Action]:
        """Return what changes something: records and pauses are left out."""
        actions = planner.plan(key, self.view(behind), self.now)
        return [one for one in actions if not isinstance(one, RequeueAfter | Record)]

    def _keep(self, objects: dict[Ref, Object]) -> None:
        self._past.append((self.revision, self._objects))
        self._objects = objects
        self.revision += 1
        self.writes += 1

    def _do(self, action: Action) -> None:
        match action:
            case Create(one):
                self._create(one)
            case Update(one) | UpdateStatus(one) | Finalize(one):
                self._update(one)
            case Patch():
                self._patch(action)
            case Delete():
                self._delete(action)
            case Bind():
                self._bind(action)
            case Evict(ref, uid):
                # No budget is here that could refuse it.
                self._delete(Delete(Pod, ref, uid))
            case Record():
                self.records.append(action)

    def _create(self, one: Object) -> None:
        found = self._objects.get(one.ref)
        if found is None:
            self.put(one)
            return
        ours, theirs = one.metadata.controller, found.metadata.controller
        if (ours and ours.uid) != (theirs and theirs.uid) or found.metadata.is_deleted:
            raise Refused

    def _update(self, one: Object) -> None:
        found = self._objects.get(one.ref)
        if found is None or found.metadata.resource_version != one.metadata.resource_version:
            raise Refused
        if isinstance(one, Namespace) and one.metadata.is_deleted and not one.spec.finalizers:
            self.remove(one.ref)
        elif found != one:
            self.put(one)

    def _patch(self, patch: Patch) -> None:
        found = self._incarnation(patch.ref, patch.uid)
        tree = merged(codec.to_tree(found), dict(patch.change))
        if tree["metadata"]["resourceVersion"] != found.metadata.resource_version:
            raise Refused
        new = codec.from_tree(patch.kind, tree).model
        meta = new.metadata
        grace_s = meta.deletion_grace_period_seconds if isinstance(new, Pod) else 0
        waits = meta.finalizers or grace_s
        if meta.is_deleted and not waits:
            self.remove(patch.ref)
        elif new != found:
            self.put(new)

    def _delete(self, delete: Delete) -> None:
        found = self._objects.get(delete.ref)
        if found is None or found.metadata.uid != delete.uid:
            return
        if delete.resource_version not in ("", found.metadata.resource_version):
            raise Refused
        is_bound = isinstance(found, Pod) and bool(found.spec.node_name) and delete.grace_s != 0
        finalizers = finalizers_after(found.metadata.finalizers, delete.propagation)
        if not is_bound and not finalizers:
            self.remove(delete.ref)
        elif not found.metadata.is_deleted or finalizers != found.metadata.finalizers:
            meta = replaced(
                found.metadata,
                deletion_timestamp=found.metadata.deletion_timestamp or self.now,
                deletion_grace_period_seconds=30 if is_bound else 0,
                finalizers=finalizers,
            )
            self.put(replaced(found, metadata=meta))

    def _bind(self, bind: Bind) -> None:
        pod = self._incarnation(bind.ref, bind.uid)
        assert isinstance(pod, Pod)
        if pod.spec.node_name not in ("", bind.node):
            raise Refused
        self.put(replaced(pod, spec=replaced(pod.spec, node_name=bind.node)))

    def _incarnation(self, ref: Ref, uid: str) -> Object:
        found = self._objects.get(ref)
        if found is None or found.metadata.uid != uid:
            raise Refused
        return found
