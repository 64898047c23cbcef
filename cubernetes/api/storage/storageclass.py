"""StorageClass: a name for how volumes are made that claims ask for."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Labels, Model, Object, age_of, immutable, shown
from cubernetes.api.resource import Resource
from cubernetes.api.storagewords import IS_DEFAULT, LOCAL, ReclaimPolicy

type BindingMode = Literal["Immediate", "WaitForFirstConsumer"]


class TopologySelectorLabelRequirement(Model):
    """One condition on a label of a node.

    key: the label's key.
    values: the label has one of these.
    """

    key: str
    values: tuple[str, ...] = shown(())


class TopologySelectorTerm(Model):
    """Conditions on a node's labels that must hold together.

    match_label_expressions: the conditions.
    """

    match_label_expressions: tuple[TopologySelectorLabelRequirement, ...] = ()


class StorageClass(Object):
    """How volumes are made for the claims that name it.

    provisioner: who makes them. `cubernetes.io/local` makes a folder on the disk of the node that
        the claim's first pod goes to; `kubernetes.io/no-provisioner` is nobody, so that claims get
        volumes that people have made.
    parameters: kept for clients: for a provisioner of somebody else's. `cubernetes.io/local` takes
        none.
    reclaim_policy: what becomes of a volume that was made for a claim which is gone: Delete removes
        it with its files, Retain leaves it.
    allow_volume_expansion: true is refused: no volume grows here.
    volume_binding_mode: Immediate binds a claim at once; WaitForFirstConsumer once a pod that uses
        it has a node, so that the volume is one that the node can reach.
    allowed_topologies: the nodes on whose disks volumes may be made: any of the terms; none is all.
    """

    resource = Resource(
        "storage.k8s.io", "v1", "StorageClass", "storageclasses", ("sc",), namespaced=False
    )
    columns = (
        Column(
            "Name", lambda one, _: one.metadata.name + (" (default)" if is_default(one) else "")
        ),
        Column("Provisioner", lambda one, _: one.provisioner),
        Column("ReclaimPolicy", lambda one, _: one.reclaim_policy),
        Column("VolumeBindingMode", lambda one, _: one.volume_binding_mode),
        Column(
            "AllowVolumeExpansion", lambda one, _: str(bool(one.allow_volume_expansion)).lower()
        ),
        Column("Age", age_of),
    )

    api_version: str = shown("storage.k8s.io/v1")
    kind: str = shown("StorageClass")
    provisioner: str
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)
    reclaim_policy: ReclaimPolicy = shown("Delete")
    allow_volume_expansion: bool | None = None
    volume_binding_mode: BindingMode = shown("Immediate")
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if not names.is_label_key(self.provisioner.lower()):
            yield Problem("provisioner", names.LABEL_KEY_RULE)
        if self.allow_volume_expansion:
            message = "volumes of this cluster cannot be expanded: must be false or left out"
            yield Problem("allowVolumeExpansion", message, "FieldValueForbidden")
        if self.provisioner == LOCAL and self.volume_binding_mode != "WaitForFirstConsumer":
            message = f"must be WaitForFirstConsumer: {LOCAL} makes a volume where its pod goes"
            yield Problem("volumeBindingMode", message)
        if self.provisioner == LOCAL and self.parameters:
            told = ", ".join(sorted(self.parameters))[:200]
            message = f"{LOCAL} takes none: {told}"
            yield Problem("parameters", message, "FieldValueForbidden")
        for index, term in enumerate(self.allowed_topologies):
            yield from _term_problems(term, f"allowedTopologies[{index}]")

    def update_problems(self, old: "StorageClass") -> Iterator[Problem]:
        yield from immutable("provisioner", old.provisioner, self.provisioner)
        yield from immutable("parameters", old.parameters, self.parameters)
        yield from immutable("reclaimPolicy", old.reclaim_policy, self.reclaim_policy)
        modes = old.volume_binding_mode, self.volume_binding_mode
        yield from immutable("volumeBindingMode", *modes)

    @property
    def is_late(self) -> bool:
        """Whether its claims wait for the node of their first pod."""
        return self.volume_binding_mode == "WaitForFirstConsumer"

    def allows(self, labels: Labels) -> bool:
        """Whether a volume may be made on the disk of a node with these labels."""
        terms = self.allowed_topologies
        return not terms or any(
            all(labels.get(one.key) in one.values for one in term.match_label_expressions)
            for term in terms
        )


def _term_problems(term: TopologySelectorTerm, field: str) -> Iterator[Problem]:
    if not term.match_label_expressions:
        yield Problem(f"{field}.matchLabelExpressions", "is required", "FieldValueRequired")
    for index, one in enumerate(term.match_label_expressions):
        where = f"{field}.matchLabelExpressions[{index}]"
        if not names.is_label_key(one.key):
            yield Problem(f"{where}.key", names.LABEL_KEY_RULE)
        if not one.values:
            yield Problem(f"{where}.values", "is required", "FieldValueRequired")


def is_default(one: StorageClass) -> bool:
    return one.metadata.annotations.get(IS_DEFAULT) == "true"


def default_of(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Return the class of claims that name none: of several defaults the newest, then by name."""
    found = sorted((one for one in classes if is_default(one)), key=lambda one: one.metadata.name)
    dated = ((one.metadata.creation_timestamp, one) for one in found)
    return max(
        dated, key=lambda pair: pair[0].timestamp() if pair[0] else 0.0, default=(None, None)
    )[1]
