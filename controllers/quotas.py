"""ResourceQuotas: what a namespace uses, counted anew.

The API server adds what a new object uses in the transaction that makes it. Here is counted what
is given back, and what was there before a quota. A count is written only from views that are as
new as the quota as it was seen, and the write compares the quota's resourceVersion: so it knows of
every object that the quota has been charged for, and a charge meanwhile makes it fail.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from controllers.owners import revision_of
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.core.event import Event
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.quota.usage import COUNT, count_of, counts, quantity_of, usage_of
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import Service
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Amounts, Object, Ref, replaced
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Action, RequeueAfter, UpdateStatus, View

VIEW_PAUSE_S = 0.5  # until a view that lags is looked at again
# What no event tells of, such as a quota that one API server did not know yet, is found so late.
LOOK_S = 300.0


class Quotas:
    """Plans by ResourceQuota, and remembers nothing."""

    name = "resourcequota"

    def __init__(self, known: Kinds = KINDS) -> None:
        self._ours = known
        self.know(())

    @property
    def kinds(self) -> tuple[type[Object], ...]:
        defined = (CustomResourceDefinition,) if CustomResourceDefinition in self._ours else ()
        return (*defined, *self._counted)

    def know(self, kinds: Sequence[type[Object]]) -> None:
        self._counted: tuple[type[Object], ...] = tuple(
            kind for kind in (*self._ours, *kinds) if kind.resource.namespaced and kind is not Event
        )

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """What is gone or has ended gives back; what is new was charged when it was made.

        But an object of a custom kind may have been there before the kind was followed.
        """
        if isinstance(changed, ResourceQuota):
            yield changed.ref
        meta, kind = changed.metadata, type(changed)
        found = view.get(kind, meta.name, meta.namespace)
        is_gone = found is None or found.metadata.uid != meta.uid
        has_ended = isinstance(found, Pod) and is_finished(found)
        if is_gone or has_ended or isinstance(changed, Service):
            yield from (one.ref for one in view.list(ResourceQuota, meta.namespace))
        elif kind.resource.is_custom:
            quotas = view.list(ResourceQuota, meta.namespace)
            yield from (one.ref for one in quotas if count_of(kind) in one.spec.hard)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        quota = view.get(ResourceQuota, key.name, key.namespace)
        if quota is None or quota.metadata.is_deleted:
            return
        kinds = [kind for kind in self.kinds if _may_count(quota, kind)]
        if any(view.revision(kind) < revision_of(quota) for kind in kinds):
            yield RequeueAfter(VIEW_PAUSE_S)
            return
        counted = (kind for kind in kinds if kind.resource.namespaced)
        there = (one for kind in counted for one in view.list(kind, key.namespace))
        used = {**used_of(quota, there), **self._unfollowed(quota, view)}
        status = replaced(quota.status, hard=quota.spec.hard, used=used)
        if status != quota.status:
            yield UpdateStatus(replaced(quota, status=status))
        yield RequeueAfter(LOOK_S)

    def _unfollowed(self, quota: ResourceQuota, view: View) -> Amounts:
        """Return what stands of custom kinds that are defined, but whose objects are not seen."""
        known = {count_of(kind) for kind in self._counted}
        return {
            name: amount
            for name, amount in quota.status.used.items()
            if name in quota.spec.hard
            and name.startswith(COUNT)
            and name not in known
            and view.get(CustomResourceDefinition, name.removeprefix(COUNT)) is not None
        }


def used_of(quota: ResourceQuota, there: Iterable[Object]) -> Amounts:
    """Return what objects use of each thing that a quota bounds."""
    used = dict.fromkeys(quota.spec.hard, Decimal(0))
    for one in there:
        if not counts(quota.spec, one):
            continue
        for name, amount in usage_of(one).items():
            if name in used:
                used[name] += amount
    return {name: quantity_of(name, amount) for name, amount in used.items()}


def _may_count(quota: ResourceQuota, kind: type[Object]) -> bool:
    """Whether a quota names anything that objects of a kind use."""
    resource = kind.resource
    if kind is Pod:
        return True
    if kind is CustomResourceDefinition:
        # Which custom kinds there are is to be as new as what they were charged for.
        return any(name.startswith(COUNT) for name in quota.spec.hard)
    if kind is PersistentVolumeClaim and any("storage" in name for name in quota.spec.hard):
        return True
    is_named = count_of(kind) in quota.spec.hard
    return is_named or (
        not resource.group
        and any(name.partition(".")[0] == resource.plural for name in quota.spec.hard)
    )
