"""Which volume will do for a claim: asked by the controller that binds, and by the scheduler."""

from collections.abc import Iterable

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.quantities import Quantity


def asked_size(claim: PersistentVolumeClaim) -> Quantity:
    return claim.spec.resources.requests.get("storage", Quantity(0))


def mismatch(claim: PersistentVolumeClaim, volume: PersistentVolume) -> str:
    """Return why a volume that is named outright will not do, in Kubernetes' words; or nothing."""
    if volume.size < asked_size(claim):
        return "requested PV is too small"
    if volume.spec.storage_class_name != (claim.spec.storage_class_name or ""):
        return "storageClassName does not match"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return ""


def is_held_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is the claim's, or kept for a claim of this name."""
    ref, meta = volume.spec.claim_ref, claim.metadata
    is_named = ref is not None and (ref.namespace, ref.name) == (meta.namespace, meta.name)
    return ref is not None and is_named and ref.uid in ("", meta.uid)


def is_free_for(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    """Whether nobody has the volume, and it is as the claim wants it."""
    if volume.spec.claim_ref is not None or volume.metadata.is_deleted:
        return False
    selector = claim.spec.selector
    is_chosen = selector is None or selector.selector.matches(volume.metadata.labels)
    return is_chosen and not mismatch(claim, volume)


def free_for(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume]
) -> list[PersistentVolume]:
    """Return the volumes that a claim may have, the smallest first, then by name."""
    found = [one for one in volumes if is_free_for(claim, one)]
    return sorted(found, key=lambda one: (one.size, one.metadata.name))


def held_for(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume]
) -> PersistentVolume | None:
    """Return the volume that is kept for a claim: its own incarnation's before one of its name."""
    found = [one for one in volumes if is_held_for(one, claim) and not one.metadata.is_deleted]
    return min(found, key=_rank, default=None)


def _rank(volume: PersistentVolume) -> tuple[bool, str]:
    ref = volume.spec.claim_ref
    return (ref is None or not ref.uid, volume.metadata.name)
