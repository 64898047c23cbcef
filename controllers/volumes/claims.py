"""What is to be done for one claim: a volume is found or made for it, and bound to it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from controllers.owners import without_finalizer
from controllers.volumes.reading import VIEW_PAUSE_S, reference_to, sees
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import (
    LocalVolume,
    PersistentVolume,
    PersistentVolumeSpec,
    on_node,
)
from cubernetes.api.core.persistentvolumeclaim import (
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
)
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.storage.matching import free_for, held_for, is_held_for, mismatch
from cubernetes.api.storage.storageclass import StorageClass, default_of
from cubernetes.api.storagewords import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIM_PROTECTION,
    FOLDER_FINALIZER,
    LOCAL,
    LOCAL_FOLDERS,
    NODE,
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
)
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Patch,
    Record,
    RequeueAfter,
    Update,
    UpdateStatus,
    View,
)

NO_PROVISIONER = "kubernetes.io/no-provisioner"
# A folder on one node's disk is mounted by pods of that node.
LOCAL_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})
# A claim without a volume looks again, should it have missed one that became free.
LOOK_AGAIN_S = 60.0


def plan(claim: PersistentVolumeClaim, view: View) -> Iterator[Action]:
    if claim.metadata.is_deleted:
        yield from _let_go(claim, view)
    elif claim.spec.volume_name:
        yield from _with_volume(claim, view)
    else:
        yield from _told(claim, PersistentVolumeClaimStatus())
        yield from _without_volume(claim, view)


def _let_go(claim: PersistentVolumeClaim, view: View) -> Iterator[Action]:
    """Let a deleted claim go once no pod uses it; what pods there are must be known for sure."""
    if CLAIM_PROTECTION not in claim.metadata.finalizers:
        return
    if not sees(view, Pod, claim):
        yield RequeueAfter(VIEW_PAUSE_S)
    elif not any(_uses(pod, claim) for pod in view.list(Pod, claim.metadata.namespace)):
        yield without_finalizer(claim, CLAIM_PROTECTION)


def _uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Whether a pod may have the volume mounted: it has a node and has not finished."""
    is_there = bool(pod.spec.node_name) and not is_finished(pod)
    return is_there and claim.metadata.name in claims_of(pod.spec.volumes)


# A claim without a volume


def _without_volume(claim: PersistentVolumeClaim, view: View) -> Iterator[Action]:
    if claim.spec.storage_class_name is None:
        given = default_of(view.list(StorageClass))
        if given is not None:
            spec = replaced(claim.spec, storage_class_name=given.metadata.name)
            yield Update(replaced(claim, spec=spec))
            return
    volumes = view.list(PersistentVolume)
    held = held_for(claim, volumes)
    why = mismatch(claim, held) if held is not None else ""
    if held is not None and not why:
        yield from _bound_to(claim, held)
        return
    if held is not None:
        yield _warn(claim, "VolumeMismatch", f'cannot bind volume "{held.metadata.name}": {why}')
    yield from _chosen(claim, view, volumes)


def _chosen(
    claim: PersistentVolumeClaim, view: View, volumes: Sequence[PersistentVolume]
) -> Iterator[Action]:
    """Choose among what is free, or have a volume made; late, once the claim's node is known."""
    name = claim.spec.storage_class_name
    made_by = view.get(StorageClass, name) if name else None
    selected = claim.metadata.annotations.get(SELECTED_NODE, "")
    if not selected and made_by is not None and made_by.is_late:
        message = "waiting for first consumer to be created before binding"
        yield Record(claim, "WaitForFirstConsumer", message)
        return
    node = view.get(Node, selected) if selected else None
    if selected and node is None:
        yield from _unselected(claim, f"node {selected} is gone", view)
        return
    free = free_for(claim, volumes)
    if node is not None:
        free = [one for one in free if one.is_reached_from(selected, node.metadata.labels)]
    if free:
        yield from _bound_to(claim, free[0])
    else:
        yield from _provisioned(claim, made_by, node)


def _unselected(claim: PersistentVolumeClaim, why: str, view: View | None) -> Iterator[Action]:
    """Take the scheduler's choice of a node back, so that it chooses again."""
    if view is not None and not sees(view, Node, claim):
        yield RequeueAfter(VIEW_PAUSE_S)
        return
    yield _warn(claim, "ProvisioningFailed", why)
    change: Mapping[str, object] = {"metadata": {"annotations": {SELECTED_NODE: None}}}
    yield Patch(PersistentVolumeClaim, claim.ref, claim.metadata.uid, change)


def _provisioned(
    claim: PersistentVolumeClaim, made_by: StorageClass | None, node: Node | None
) -> Iterator[Action]:
    """Have a volume made, or say why none is."""
    name = claim.spec.storage_class_name
    if made_by is not None and made_by.provisioner == LOCAL:
        yield from _local(claim, made_by, node)
        return
    if made_by is not None and made_by.provisioner != NO_PROVISIONER:
        yield from _left_to(claim, made_by.provisioner)
        return
    if node is not None:
        message = f"no persistent volume that node {node.metadata.name} reaches is left"
        yield from _unselected(claim, message, None)
        return
    if name and made_by is None:
        reason, message = "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found'
    else:
        reason = "FailedBinding"
        message = "no persistent volumes available for this claim and no storage class is set"
    yield _warn(claim, reason, message)
    yield RequeueAfter(LOOK_AGAIN_S)


def _left_to(claim: PersistentVolumeClaim, provisioner: str) -> Iterator[Action]:
    """Ask a provisioner that is somebody else's program."""
    if claim.metadata.annotations.get(PROVISIONER) != provisioner:
        change: Mapping[str, object] = {"metadata": {"annotations": {PROVISIONER: provisioner}}}
        yield Patch(PersistentVolumeClaim, claim.ref, claim.metadata.uid, change)
    message = (
        "Waiting for a volume to be created either by the external provisioner "
        f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, "
        "please verify that the provisioner is running and correctly registered."
    )
    yield Record(claim, "ExternalProvisioning", message)
    yield RequeueAfter(LOOK_AGAIN_S)


def _local(
    claim: PersistentVolumeClaim, made_by: StorageClass, node: Node | None
) -> Iterator[Action]:
    assert node is not None  # noqa: S101  the class waits for a node, by its validation
    if claim.spec.selector is not None:
        message = "claim.Spec.Selector is not supported for dynamic provisioning"
        yield _warn(claim, "ProvisioningFailed", message)
    elif others := sorted(set(claim.spec.access_modes) - LOCAL_MODES):
        message = f"{LOCAL} makes no volumes of the access mode {', '.join(others)}"
        yield _warn(claim, "ProvisioningFailed", f"{message}: one node reaches them")
    elif not made_by.allows(node.metadata.labels):
        message = f"allowedTopologies of {made_by.metadata.name} do not have {node.metadata.name}"
        yield from _unselected(claim, message, None)
    else:
        volume = local_volume(claim, made_by, node)
        yield Create(volume)
        message = f"node {node.metadata.name} is asked to make volume {volume.metadata.name}"
        yield Record(claim, "Provisioning", message)


def local_volume(
    claim: PersistentVolumeClaim, made_by: StorageClass, node: Node
) -> PersistentVolume:
    """Return the volume whose folder the kubelet of a node is to make for a claim."""
    name = f"pvc-{claim.metadata.uid}"
    return PersistentVolume(
        metadata=ObjectMeta(
            name=name,
            annotations={PROVISIONED_BY: LOCAL, NODE: node.metadata.name},
            finalizers=(FOLDER_FINALIZER,),
        ),
        spec=PersistentVolumeSpec(
            capacity={"storage": claim.spec.resources.requests["storage"]},
            local=LocalVolume(path=f"{LOCAL_FOLDERS}/{name}"),
            access_modes=claim.spec.access_modes,
            claim_ref=reference_to(claim),
            persistent_volume_reclaim_policy=made_by.reclaim_policy,
            storage_class_name=made_by.metadata.name,
            node_affinity=on_node(node),
        ),
    )


def _bound_to(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Iterator[Action]:
    """Yield the next step of a binding: first the volume says it, then the claim."""
    if not _is_given(volume, claim):
        yield _given(volume, claim)
    elif volume.is_made:
        name = volume.metadata.name
        notes = {**claim.metadata.annotations, BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}
        named = replaced(claim.spec, volume_name=name)
        meta = replaced(claim.metadata, annotations=notes)
        yield Update(replaced(claim, metadata=meta, spec=named))
        if volume.is_provisioned:
            message = f"Successfully provisioned volume {name}"
            yield Record(claim, "ProvisioningSucceeded", message)


def _is_given(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    ref = volume.spec.claim_ref
    return ref is not None and ref.uid == claim.metadata.uid


def _given(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Update:
    """Return the write by which a volume becomes a claim's, refused where it was written since."""
    meta = volume.metadata
    if volume.spec.claim_ref is None:
        # Should the claim not take it after all, it is free again; one that people kept is not.
        notes = {**meta.annotations, BOUND_BY_CONTROLLER: "yes"}
        meta = replaced(meta, annotations=notes)
    spec = replaced(volume.spec, claim_ref=reference_to(claim))
    return Update(replaced(volume, metadata=meta, spec=spec))


# A claim that names its volume


def _with_volume(claim: PersistentVolumeClaim, view: View) -> Iterator[Action]:
    is_complete = BIND_COMPLETED in claim.metadata.annotations
    volume = view.get(PersistentVolume, claim.spec.volume_name)
    if volume is None:
        yield from _missing(claim, view, is_complete=is_complete)
    elif volume.spec.claim_ref is None:
        yield from _named(claim, volume, is_complete=is_complete)
    elif is_held_for(volume, claim):
        yield from _completed(claim, volume, is_complete=is_complete)
    elif is_complete:
        message = "Two claims are bound to the same volume, this one is bound incorrectly"
        yield from _lost(claim, "ClaimMisbound", message)
    else:
        yield from _told(claim, PersistentVolumeClaimStatus())
        message = f'volume "{volume.metadata.name}" already bound to a different claim.'
        yield _warn(claim, "FailedBinding", message)


def _missing(claim: PersistentVolumeClaim, view: View, *, is_complete: bool) -> Iterator[Action]:
    if not sees(view, PersistentVolume, claim):
        yield RequeueAfter(VIEW_PAUSE_S)
    elif is_complete:
        message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        yield from _lost(claim, "ClaimLost", message)
    else:
        yield from _told(claim, PersistentVolumeClaimStatus())
        yield _warn(claim, "FailedBinding", f'volume "{claim.spec.volume_name}" not found')


def _named(
    claim: PersistentVolumeClaim, volume: PersistentVolume, *, is_complete: bool
) -> Iterator[Action]:
    """Bind a volume that is nobody's to the claim that names it."""
    if not is_complete and (why := mismatch(claim, volume)):
        yield from _told(claim, PersistentVolumeClaimStatus())
        message = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
        yield _warn(claim, "VolumeMismatch", message)
    elif not volume.metadata.is_deleted:
        yield _given(volume, claim)


def _completed(
    claim: PersistentVolumeClaim, volume: PersistentVolume, *, is_complete: bool
) -> Iterator[Action]:
    if not _is_given(volume, claim):
        yield _given(volume, claim)
    elif not is_complete:
        meta = claim.metadata
        notes = {**meta.annotations, BIND_COMPLETED: "yes"}
        yield Update(replaced(claim, metadata=replaced(meta, annotations=notes)))
    else:
        size, modes = {"storage": volume.size}, volume.spec.access_modes
        bound = PersistentVolumeClaimStatus(phase="Bound", access_modes=modes, capacity=size)
        yield from _told(claim, bound)


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Iterator[Action]:
    yield from _told(claim, replaced(claim.status, phase="Lost", access_modes=(), capacity={}))
    yield _warn(claim, reason, message)


def _told(
    claim: PersistentVolumeClaim, status: PersistentVolumeClaimStatus
) -> Iterator[UpdateStatus]:
    status = replaced(status, conditions=claim.status.conditions)
    if status != claim.status:
        yield UpdateStatus(replaced(claim, status=status))


def _warn(claim: PersistentVolumeClaim, reason: str, message: str) -> Record:
    return Record(claim, reason, message, "Warning")
