"""PersistentVolumeClaim: a wish for a volume that outlives the pods that mount it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from cubernetes.api.condition import Condition
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts, Column, Model, Object, age_of, replaced, shown
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import LabelSelector
from cubernetes.api.storagewords import (
    UNSET,
    AccessMode,
    VolumeMode,
    class_problems,
    mode_problems,
    short_modes,
    size_problems,
)

EXPANSION = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
    "must support resize: no volume of this cluster does"
)
NO_CHANGE = "spec is immutable after creation except resources.requests and "
NO_CHANGE += "volumeAttributesClassName for bound claims"


class VolumeResources(Model):
    """How large a volume must be.

    requests: `storage`: at least so many bytes (`1Gi`).
    limits: kept for clients that send it.
    """

    requests: Amounts = msgspec.field(default_factory=dict)
    limits: Amounts = msgspec.field(default_factory=dict)


class PersistentVolumeClaimSpec(Model):
    """Which volume will do.

    access_modes: it must offer all of these: ReadWriteOnce, ReadOnlyMany, ReadWriteMany, or
        ReadWriteOncePod, of which one pod at a time has the volume.
    selector: its labels; only volumes that people made have any that match.
    resources: how large it must be.
    volume_name: the volume; left empty, one is found or made.
    storage_class_name: of which class it must be; empty: of none, left out: of the default one.
    volume_mode: a folder of files.
    """

    access_modes: tuple[AccessMode, ...] = ()
    selector: LabelSelector | None = None
    resources: VolumeResources = shown(VolumeResources())
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: VolumeMode = shown("Filesystem")


class PersistentVolumeClaimStatus(Model):
    """Whether it has a volume.

    phase: Pending: not yet; Bound: it has; Lost: the volume that it had is gone.
    access_modes: those that the volume offers.
    capacity: how large the volume is.
    conditions: kept for clients that send it.
    """

    phase: Literal["Pending", "Bound", "Lost"] = shown("Pending")
    access_modes: tuple[AccessMode, ...] = ()
    capacity: Amounts = msgspec.field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


def _phase(one: "PersistentVolumeClaim", _: datetime) -> str:
    return "Terminating" if one.metadata.is_deleted else one.status.phase


def _capacity(one: "PersistentVolumeClaim", _: datetime) -> str:
    found = one.status.capacity.get("storage") if one.spec.volume_name else None
    return str(found) if found is not None else ""


def _modes(one: "PersistentVolumeClaim", _: datetime) -> str:
    return short_modes(one.status.access_modes) if one.spec.volume_name else ""


class PersistentVolumeClaim(Object):
    resource = Resource(
        "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",),
        subresources=("status",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Status", _phase),
        Column("Volume", lambda one, _: one.spec.volume_name),
        Column("Capacity", _capacity),
        Column("Access Modes", _modes),
        Column("StorageClass", lambda one, _: one.spec.storage_class_name or ""),
        Column("VolumeAttributesClass", lambda _one, _: UNSET),
        Column("Age", age_of),
        Column("VolumeMode", lambda one, _: one.spec.volume_mode, wide=True),
    )

    api_version: str = shown("v1")
    kind: str = shown("PersistentVolumeClaim")
    spec: PersistentVolumeClaimSpec = shown(PersistentVolumeClaimSpec())
    status: PersistentVolumeClaimStatus = shown(PersistentVolumeClaimStatus())

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:
        """Refuse what would make an empty volume where one with files is asked for."""
        spec = tree.get("spec")
        for field in ("dataSource", "dataSourceRef"):
            if isinstance(spec, Mapping) and spec.get(field):
                message = "is not supported: this cluster makes empty volumes only"
                yield Problem(f"spec.{field}", message, "FieldValueForbidden")

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from claim_problems(self.spec, "spec")

    def update_problems(self, old: "PersistentVolumeClaim") -> Iterator[Problem]:
        before, spec = old.spec, self.spec
        if before.resources.requests != spec.resources.requests:
            yield Problem("spec.resources.requests.storage", EXPANSION, "FieldValueForbidden")
        # One that has no volume yet may be given one, and with it a class.
        is_free = not before.volume_name
        kept = {
            "resources": before.resources,
            "volume_name": spec.volume_name if is_free else before.volume_name,
            "storage_class_name": (
                spec.storage_class_name
                if is_free and before.storage_class_name is None
                else before.storage_class_name
            ),
        }
        if replaced(before, **kept) != replaced(spec, resources=before.resources):
            yield Problem("spec", NO_CHANGE, "FieldValueForbidden")


def claim_problems(spec: PersistentVolumeClaimSpec, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a claim's spec, which stands at field."""
    yield from mode_problems(spec.access_modes, f"{field}.accessModes")
    yield from size_problems(spec.resources.requests, f"{field}.resources.requests")
    yield from class_problems(spec.storage_class_name, f"{field}.storageClassName")
    if spec.selector is not None:
        yield from spec.selector.problems(f"{field}.selector")
