"""What tests of claims begin with: volumes, claims, classes, and pods that mount them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.persistentvolume import (
    PersistentVolume,
    PersistentVolumeSpec,
    on_node,
)
from cubernetes.api.core.persistentvolumeclaim import (
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    VolumeResources,
)
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import ClaimVolume, HostPath, Volume
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.api.storage.storageclass import BindingMode, StorageClass
from cubernetes.api.storagewords import (
    IS_DEFAULT,
    LOCAL,
    AccessMode,
    ReclaimPolicy,
)
from tests.given import AN_HOUR_AGO, a_meta, a_node


def a_volume(
    name: str = "disk",
    *,
    size: str = "1Gi",
    storage_class: str = "",
    modes: Sequence[AccessMode] = ("ReadWriteOnce",),
    policy: ReclaimPolicy = "Retain",
    node: str = "",
    claim: PersistentVolumeClaim | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    deleted_at: datetime | None = None,
) -> PersistentVolume:
    """Return a volume that people made; node: the only one that reaches it. claim: who has it."""
    meta = a_meta(
        name, "", labels=labels, annotations=annotations, finalizers=finalizers,
        deleted_at=deleted_at,
    )  # fmt: skip
    ref = None
    if claim is not None:
        one = claim.metadata
        ref = ObjectReference(
            api_version="v1", kind=claim.kind, namespace=one.namespace, name=one.name, uid=one.uid
        )
    spec = PersistentVolumeSpec(
        capacity={"storage": Quantity(size)},
        host_path=HostPath(path=f"/srv/{name}"),
        access_modes=tuple(modes),
        claim_ref=ref,
        persistent_volume_reclaim_policy=policy,
        storage_class_name=storage_class,
        node_affinity=on_node(a_node(node)) if node else None,
    )
    return PersistentVolume(metadata=meta, spec=spec)


def a_claim(
    name: str = "data",
    *,
    size: str = "1Gi",
    storage_class: str | None = "",
    modes: Sequence[AccessMode] = ("ReadWriteOnce",),
    volume: str = "",
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    deleted_at: datetime | None = None,
    uid: str = "",
) -> PersistentVolumeClaim:
    meta = a_meta(
        name, uid=uid, annotations=annotations, finalizers=finalizers, deleted_at=deleted_at
    )
    spec = PersistentVolumeClaimSpec(
        access_modes=tuple(modes),
        resources=VolumeResources(requests={"storage": Quantity(size)}),
        storage_class_name=storage_class,
        volume_name=volume,
    )
    return PersistentVolumeClaim(metadata=meta, spec=spec)


def a_class(
    name: str = "local",
    *,
    provisioner: str = LOCAL,
    mode: BindingMode = "WaitForFirstConsumer",
    policy: ReclaimPolicy = "Delete",
    is_default: bool = False,
    created_at: datetime | None = AN_HOUR_AGO,
) -> StorageClass:
    notes = {IS_DEFAULT: "true"} if is_default else {}
    return StorageClass(
        metadata=a_meta(name, "", annotations=notes, created_at=created_at),
        provisioner=provisioner,
        reclaim_policy=policy,
        volume_binding_mode=mode,
    )


def with_claims(pod: Pod, *claims: str) -> Pod:
    """Return a pod that mounts the volumes of claims."""
    volumes = tuple(
        Volume(name=name, persistent_volume_claim=ClaimVolume(claim_name=name)) for name in claims
    )
    return replaced(pod, spec=replaced(pod.spec, volumes=volumes))
