"""Namespaces that are deleted: what is in them goes first, then they are let go."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from controllers.cleanup.remaining import told
from controllers.owners import revision_of, unknown_kinds
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Action, Delete, Finalize, RequeueAfter, View

FINALIZER = "kubernetes"
BURST = 500
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again

# Owners before dependents, services before their pods; what people read comes last.
_FIRST: tuple[type[Object], ...] = (ReplicaSet, Service, EndpointSlice, Pod)
_LAST: tuple[type[Object], ...] = (Lease, Event)


def _in_order(kinds: Kinds) -> tuple[type[Object], ...]:
    """Return the kinds in namespaces, in the order in which their objects go."""
    others = (one for one in kinds if one not in _FIRST and one not in _LAST)
    return tuple(
        one for one in (*_FIRST, *others, *_LAST) if one.resource.namespaced and one in kinds
    )


class Namespaces:
    """Plans by Namespace; only those that are deleted give it work."""

    name = "namespaces"

    def __init__(self, kinds: Kinds = KINDS) -> None:
        self._ours, self._all = kinds, kinds
        self._namespaced = _in_order(kinds)

    @property
    def kinds(self) -> tuple[type[Object], ...]:
        defined = (CustomResourceDefinition,) if CustomResourceDefinition in self._all else ()
        return (Namespace, *defined, *self._namespaced)

    def know(self, kinds: Sequence[type[Object]]) -> None:
        self._all = Kinds(*self._ours, *kinds)
        self._namespaced = _in_order(self._all)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        if isinstance(changed, Namespace):
            return (changed.ref,)
        namespace = view.get(Namespace, changed.metadata.namespace)
        is_going = namespace is not None and namespace.metadata.is_deleted
        return (namespace.ref,) if namespace is not None and is_going else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        namespace = view.get(Namespace, key.name)
        if namespace is None or not namespace.metadata.is_deleted:
            return
        found = [one for kind in self._namespaced for one in view.list(kind, key.name)]
        staying = [one for one in found if not one.metadata.is_deleted]
        for one in staying[:BURST]:
            yield Delete(type(one), one.ref, one.metadata.uid)
        if found:
            yield from told(namespace, found, now)
            return
        if FINALIZER not in namespace.spec.finalizers:
            return
        # That it is empty is known only where every view is as new as its deletion.
        is_seen = all(view.revision(kind) >= revision_of(namespace) for kind in self.kinds[1:])
        if is_seen and not unknown_kinds(view, self._all):
            left = tuple(one for one in namespace.spec.finalizers if one != FINALIZER)
            yield Finalize(replaced(namespace, spec=replaced(namespace.spec, finalizers=left)))
        else:
            yield RequeueAfter(VIEW_PAUSE_S)
