"""What the planners of claims and volumes read of a view, and how they write."""

from collections.abc import Iterator
from datetime import datetime

from controllers.owners import revision_of
from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.persistentvolume import PersistentVolume, PersistentVolumeStatus
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import Action, UpdateStatus, View

VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again


def is_gone(one: Object, view: View) -> bool:
    """Whether an object that was seen is there no more, as this incarnation."""
    found = view.get(type(one), one.metadata.name, one.metadata.namespace)
    return found is None or found.metadata.uid != one.metadata.uid


def sees(view: View, kind: type[Object], speaker: Object) -> bool:
    """Whether the view of a kind is as new as an object that speaks of one of that kind."""
    return view.revision(kind) >= revision_of(speaker)


def claim_of(volume: PersistentVolume) -> Ref | None:
    """Return the claim that a volume is kept for, by name."""
    found = volume.spec.claim_ref
    if found is None:
        return None
    return Ref(PersistentVolumeClaim.resource.kind, found.namespace, found.name)


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    meta = claim.metadata
    return ObjectReference(
        api_version=claim.api_version,
        kind=claim.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


def told(
    volume: PersistentVolume, status: PersistentVolumeStatus, now: datetime
) -> Iterator[Action]:
    """Yield the phase of a volume where it is another than it says."""
    old = volume.status
    same = (old.phase, old.reason, old.message) == (status.phase, status.reason, status.message)
    if not same:
        since = old.last_phase_transition_time if old.phase == status.phase else now
        dated = replaced(status, last_phase_transition_time=since)
        yield UpdateStatus(replaced(volume, status=dated))
