"""PersistentVolume: files on a node's disk that outlive the pods that mount them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.node import HOSTNAME_LABEL, Node
from cubernetes.api.core.podspec.placement.affinity import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from cubernetes.api.core.podspec.placement.noderules import NODE_NAME_FIELD, node_problems
from cubernetes.api.core.podspec.placement.nodes import is_required
from cubernetes.api.core.podspec.volumes.rules import is_absolute
from cubernetes.api.core.podspec.volumes.volume import HostPath
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Amounts,
    Column,
    Instant,
    Labels,
    Model,
    Object,
    age_of,
    immutable,
    shown,
)
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource
from cubernetes.api.storagewords import (
    FOLDER,
    LOCAL,
    MADE,
    NODE,
    PROVISIONED_BY,
    UNSET,
    AccessMode,
    ReclaimPolicy,
    VolumeMode,
    class_problems,
    mode_problems,
    short_modes,
    size_problems,
)

PATH_RULE = "must be an absolute path without '..' and ':'"


class LocalVolume(Model):
    """A folder of one node, which must be there.

    path: where it is on the node.
    """

    path: str


class VolumeNodeAffinity(Model):
    """From which nodes a volume can be reached.

    required: the nodes; pods that use the volume go to no other.
    """

    required: NodeSelector | None = None


class PersistentVolumeSpec(Model):
    """Where its files are, and for whom they are.

    capacity: `storage`: how large it is said to be, in bytes.
    host_path: a file or folder of whichever node the pod is on.
    local: a folder of the node that `nodeAffinity` names.
    access_modes: how it may be mounted; claims ask for these.
    claim_ref: the claim that has it.
    persistent_volume_reclaim_policy: what becomes of it when its claim is gone: Retain keeps it and
        gives it to no other claim, Delete removes it, if a provisioner made it.
    storage_class_name: of which class it is: claims ask for it; empty: of none.
    volume_mode: a folder of files.
    node_affinity: from which nodes it can be reached; left out: from all.
    """

    capacity: Amounts = msgspec.field(default_factory=dict)
    host_path: HostPath | None = None
    local: LocalVolume | None = None
    access_modes: tuple[AccessMode, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: ReclaimPolicy = shown("Retain")
    storage_class_name: str = ""
    volume_mode: VolumeMode = shown("Filesystem")
    node_affinity: VolumeNodeAffinity | None = None


class PersistentVolumeStatus(Model):
    """Whether a claim has it.

    phase: Pending: it is not ready; Available: no claim has it; Bound: one has; Released: the one
        that had it is gone; Failed: it could not be removed.
    message: why, as a sentence.
    reason: why, as one word.
    last_phase_transition_time: when `phase` changed last.
    """

    phase: Literal["Pending", "Available", "Bound", "Released", "Failed"] = shown("Pending")
    message: str = ""
    reason: str = ""
    last_phase_transition_time: Instant | None = None


def _phase(one: "PersistentVolume", _: datetime) -> str:
    return "Terminating" if one.metadata.is_deleted else one.status.phase


def _claim(one: "PersistentVolume", _: datetime) -> str:
    claim = one.spec.claim_ref
    return f"{claim.namespace}/{claim.name}" if claim is not None else ""


class PersistentVolume(Object):
    resource = Resource(
        "", "v1", "PersistentVolume", "persistentvolumes", ("pv",), namespaced=False,
        subresources=("status",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Capacity", lambda one, _: str(one.spec.capacity.get("storage", ""))),
        Column("Access Modes", lambda one, _: short_modes(one.spec.access_modes)),
        Column("Reclaim Policy", lambda one, _: one.spec.persistent_volume_reclaim_policy),
        Column("Status", _phase),
        Column("Claim", _claim),
        Column("StorageClass", lambda one, _: one.spec.storage_class_name),
        Column("VolumeAttributesClass", lambda _one, _: UNSET),
        Column("Reason", lambda one, _: one.status.reason),
        Column("Age", age_of),
        Column("VolumeMode", lambda one, _: one.spec.volume_mode, wide=True),
    )
    # The node whose kubelet makes and removes its folder.
    selectable = {"spec.nodeName": lambda one: one.metadata.annotations.get(NODE, "")}

    api_version: str = shown("v1")
    kind: str = shown("PersistentVolume")
    spec: PersistentVolumeSpec = shown(PersistentVolumeSpec())
    status: PersistentVolumeStatus = shown(PersistentVolumeStatus())

    @property
    def size(self) -> Quantity:
        return self.spec.capacity.get("storage", Quantity(0))

    @property
    def affinity(self) -> NodeAffinity | None:
        """From which nodes it is reached, as pods say where they go; None: from every one."""
        found = self.spec.node_affinity
        if found is None or found.required is None:
            return None
        return NodeAffinity(required_during_scheduling_ignored_during_execution=found.required)

    @property
    def is_provisioned(self) -> bool:
        """Whether its folder is made and removed by the kubelet of its node."""
        return self.metadata.annotations.get(PROVISIONED_BY) == LOCAL

    @property
    def is_made(self) -> bool:
        """Whether its files can be there: a folder of a provisioner's is made first."""
        return not self.is_provisioned or self.metadata.annotations.get(FOLDER) == MADE

    def is_reached_from(self, node: str, labels: Labels) -> bool:
        return self.affinity is None or is_required(self.affinity, node, labels)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        yield from mode_problems(spec.access_modes, "spec.accessModes")
        yield from size_problems(spec.capacity, "spec.capacity")
        yield from class_problems(spec.storage_class_name, "spec.storageClassName")
        yield from _source_problems(spec)
        if spec.node_affinity is not None and spec.node_affinity.required is None:
            yield Problem("spec.nodeAffinity.required", "is required", "FieldValueRequired")
        if self.affinity is not None:
            long = "requiredDuringSchedulingIgnoredDuringExecution"
            for one in node_problems(self.affinity, "spec.nodeAffinity"):
                yield one._replace(field=one.field.replace(long, "required"))
        claim = spec.claim_ref
        if claim is not None and not (claim.name and claim.namespace):
            message = "needs the name and the namespace of a claim"
            yield Problem("spec.claimRef", message, "FieldValueRequired")

    def update_problems(self, old: "PersistentVolume") -> Iterator[Problem]:
        before, spec = old.spec, self.spec
        source = (before.host_path, before.local), (spec.host_path, spec.local)
        message = "spec.persistentvolumesource is immutable after creation"
        if source[0] != source[1]:
            yield Problem("spec.persistentvolumesource", message, "FieldValueForbidden")
        yield from immutable("spec.volumeMode", before.volume_mode, spec.volume_mode)
        if before.node_affinity is not None:
            yield from immutable("spec.nodeAffinity", before.node_affinity, spec.node_affinity)
        if old.is_provisioned:
            # Its folder would be another's to make and to remove.
            for key in (PROVISIONED_BY, NODE):
                said = old.metadata.annotations.get(key), self.metadata.annotations.get(key)
                yield from immutable(f"metadata.annotations[{key}]", *said)


def _source_problems(spec: PersistentVolumeSpec) -> Iterator[Problem]:
    found = [one for one in (spec.host_path, spec.local) if one is not None]
    if len(found) != 1:
        yield Problem("spec", "needs exactly one of hostPath, local", "FieldValueRequired")
    if spec.host_path is not None and not is_absolute(spec.host_path.path):
        yield Problem("spec.hostPath.path", PATH_RULE)
    if spec.local is not None and not is_absolute(spec.local.path):
        yield Problem("spec.local.path", PATH_RULE)
    if spec.local is not None and spec.node_affinity is None:
        message = "Local volume requires node affinity"
        yield Problem("spec.nodeAffinity", message, "FieldValueRequired")


def on_node(node: Node) -> VolumeNodeAffinity:
    """Return the affinity of a volume on the disk of a node."""
    host = node.metadata.labels.get(HOSTNAME_LABEL)
    if host is None:
        here = NodeSelectorRequirement(
            key=NODE_NAME_FIELD, operator="In", values=(node.metadata.name,)
        )
        term = NodeSelectorTerm(match_fields=(here,))
    else:
        here = NodeSelectorRequirement(key=HOSTNAME_LABEL, operator="In", values=(host,))
        term = NodeSelectorTerm(match_expressions=(here,))
    return VolumeNodeAffinity(required=NodeSelector(node_selector_terms=(term,)))
