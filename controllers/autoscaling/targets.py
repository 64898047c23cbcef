"""The workloads that autoscalers scale, and how often autoscalers look and tell."""

from datetime import datetime, timedelta

from cubernetes.api.autoscaling.metrictypes import CrossVersionObjectReference
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cubernetes.reconcile.plan import Patch, View

LOOK_S = 1.0
# So often is written what metrics are, where nothing else has changed.
TELL_S = 15.0
SCALED: tuple[type[Object], ...] = tuple(
    kind for kind in KINDS.all if "scale" in kind.resource.subresources
)


def target_of(reference: CrossVersionObjectReference, namespace: str, view: View) -> Object | None:
    """Return the workload that is scaled; None where it is absent, or of a kind without a scale."""
    for kind in SCALED:
        one = view.get(kind, reference.name, namespace) if _is_kind(reference, kind) else None
        if one is not None:
            return one
    return None


def resized(target: Object, replicas: int) -> Patch:
    """Return the change of a workload's size, as it was seen."""
    change = {
        "spec": {"replicas": replicas},
        "metadata": {"resourceVersion": target.metadata.resource_version},
    }
    return Patch(type(target), target.ref, target.metadata.uid, change)


def is_recent(told_at: datetime | None, now: datetime) -> bool:
    """Whether what metrics are was written a moment ago."""
    return told_at is not None and now < told_at + timedelta(seconds=TELL_S)


def names_it(reference: CrossVersionObjectReference, one: Object) -> bool:
    """Whether a reference means this object, of its namespace."""
    return reference.name == one.metadata.name and _is_kind(reference, type(one))


def _is_kind(reference: CrossVersionObjectReference, kind: type[Object]) -> bool:
    group, _, _ = reference.api_version.rpartition("/")
    resource = kind.resource
    is_group = not reference.api_version or group == resource.group
    return reference.kind == resource.kind and is_group
