"""What is to be done for one volume: its phase is told, and it may go after its claim. Pure."""

from collections.abc import Iterator
from datetime import datetime

from controllers.owners import without_finalizer
from controllers.volumes.reading import VIEW_PAUSE_S, claim_of, sees, told
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume, PersistentVolumeStatus
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import replaced
from cubernetes.api.storagewords import (
    BOUND_BY_CONTROLLER,
    FOLDER_FINALIZER,
    NODE,
    VOLUME_PROTECTION,
)
from cubernetes.reconcile.plan import Action, Delete, Record, RequeueAfter, Update, View

NO_DELETER = "error getting deleter volume plugin for volume {}: no deletable volume plugin matched"


def plan(volume: PersistentVolume, view: View, now: datetime) -> Iterator[Action]:
    ref = claim_of(volume)
    claim = view.get(PersistentVolumeClaim, ref.name, ref.namespace) if ref is not None else None
    if ref is not None and claim is None and not sees(view, PersistentVolumeClaim, volume):
        yield RequeueAfter(VIEW_PAUSE_S)
        return
    if claim is not None and not _is_of(volume, claim):
        claim = None
    if volume.metadata.is_deleted:
        yield from _let_go(volume, claim, view)
    else:
        yield from _standing(volume, claim, view, now)


def _standing(
    volume: PersistentVolume, claim: PersistentVolumeClaim | None, view: View, now: datetime
) -> Iterator[Action]:
    uid = volume.spec.claim_ref.uid if volume.spec.claim_ref is not None else ""
    if not uid:
        # Free, or kept for a claim that is still to come.
        yield from told(volume, PersistentVolumeStatus(phase="Available"), now)
    elif claim is None:
        yield from _released(volume, now)
    elif claim.spec.volume_name == volume.metadata.name:
        yield from told(volume, PersistentVolumeStatus(phase="Bound"), now)
    elif claim.spec.volume_name:
        yield from _unused(volume, now)
    elif _is_stranded(volume, view):
        yield Delete(PersistentVolume, volume.ref, volume.metadata.uid)
    # Else it is about to be bound: the claim's own plan goes on with that.


def _is_of(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    ref = volume.spec.claim_ref
    return ref is not None and ref.uid in ("", claim.metadata.uid)


def _is_stranded(volume: PersistentVolume, view: View) -> bool:
    """Whether a folder was still to be made by a node that is gone."""
    return volume.is_provisioned and not volume.is_made and _has_lost_node(volume, view)


def _has_lost_node(volume: PersistentVolume, view: View) -> bool:
    name = volume.metadata.annotations.get(NODE, "")
    return view.get(Node, name) is None and sees(view, Node, volume)


def _released(volume: PersistentVolume, now: datetime) -> Iterator[Action]:
    """Its claim is gone: keep what is to be kept, remove what a provisioner made."""
    if volume.spec.persistent_volume_reclaim_policy == "Retain":
        yield from told(volume, PersistentVolumeStatus(phase="Released"), now)
    elif volume.is_provisioned:
        yield from told(volume, PersistentVolumeStatus(phase="Released"), now)
        yield Delete(PersistentVolume, volume.ref, volume.metadata.uid)
    else:
        message = NO_DELETER.format(f'"{volume.metadata.name}"')
        failed = PersistentVolumeStatus(
            phase="Failed", reason="VolumeFailedDelete", message=message
        )
        if volume.status.phase != "Failed":
            yield Record(volume, "VolumeFailedDelete", message, "Warning")
        yield from told(volume, failed, now)


def _unused(volume: PersistentVolume, now: datetime) -> Iterator[Action]:
    """Its claim has another volume: it is free again, unless it was made for just this claim."""
    if volume.is_provisioned:
        yield Delete(PersistentVolume, volume.ref, volume.metadata.uid)
    elif BOUND_BY_CONTROLLER in volume.metadata.annotations:
        notes = {
            key: text
            for key, text in volume.metadata.annotations.items()
            if key != BOUND_BY_CONTROLLER
        }
        meta = replaced(volume.metadata, annotations=notes)
        spec = replaced(volume.spec, claim_ref=None)
        yield Update(replaced(volume, metadata=meta, spec=spec))
    else:
        yield from told(volume, PersistentVolumeStatus(phase="Available"), now)


def _let_go(
    volume: PersistentVolume, claim: PersistentVolumeClaim | None, view: View
) -> Iterator[Action]:
    """Let a deleted volume go once no claim has it; its folder is its node's to remove."""
    finalizers = volume.metadata.finalizers
    if VOLUME_PROTECTION in finalizers:
        # A claim whose volume is still to be made has nothing in it.
        is_used = claim is not None and claim.spec.volume_name == volume.metadata.name
        if not is_used:
            yield without_finalizer(volume, VOLUME_PROTECTION)
    elif FOLDER_FINALIZER in finalizers:
        if volume.spec.persistent_volume_reclaim_policy == "Retain":
            yield without_finalizer(volume, FOLDER_FINALIZER)
        elif _has_lost_node(volume, view):
            name = volume.metadata.annotations.get(NODE, "")
            message = f"node {name} is gone: whatever its disk holds of this volume stays there"
            yield Record(volume, "FolderLeft", message, "Warning")
            yield without_finalizer(volume, FOLDER_FINALIZER)
