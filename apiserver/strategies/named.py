"""What pods name: their nodes read ConfigMaps, Secrets, claims, and the volumes of these. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from apiserver.auth.authorize import READ, Attempt
from apiserver.strategies.admission.limits import check_claim
from apiserver.strategies.strategy import Cluster, Strategy
from cubernetes.api.core.limitrange import LimitRange
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.meta import Object, replaced
from cubernetes.api.storage.storageclass import StorageClass, default_of
from cubernetes.api.storagewords import (
    CLAIM_PROTECTION,
    FOLDER,
    FOLDER_FINALIZER,
    NODE,
    SIZE_NOTE,
    VOLUME_PROTECTION,
)

NOT_NAMED = "no pod that is bound to this node names it"
# What the kubelet says of a folder that it has made.
NODES_NOTES = frozenset({FOLDER, SIZE_NOTE})
NOT_ITS_DISK = "the volume is not on the disk of this node"


class Named[K: Object](Strategy[K]):
    """The strategy of kinds that pods name, and that nobody else has a reason to read."""

    is_read_where_named = True

    def access_refusal(
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,
        one: K | None,  # noqa: ARG002
        *,
        is_named: bool,
    ) -> str:
        if attempt.verb not in READ or attempt.subresource:
            return "a node may read what its pods name, nothing else"
        if not attempt.name or not attempt.namespace:
            how = "by name or with fieldSelector metadata.name=<name>"
            return f"a node must ask for one object, {how}"
        return "" if is_named else NOT_NAMED


class Claims(Named[PersistentVolumeClaim]):
    """A node reads those that its pods name."""

    # The default class may be written into one that is there: quotas count claims by class.
    is_charged_as_it_changes = True

    def prepared(self, new: PersistentVolumeClaim) -> PersistentVolumeClaim:
        return with_finalizer(super().prepared(new), CLAIM_PROTECTION)

    async def allocated(
        self,
        cluster: Cluster,
        new: PersistentVolumeClaim,
        taken: Mapping[str, str],  # noqa: ARG002
    ) -> PersistentVolumeClaim:
        """Write the default class into a claim that names none; it may be younger than memory.

        Raises: Forbidden: a LimitRange bounds its size.
        """
        ranges = cluster.within(LimitRange, new.metadata.namespace)
        check_claim(new, cast(Sequence[LimitRange], list(ranges)))
        if new.spec.storage_class_name is not None:
            return new
        given = _default(cluster)
        if given is None:
            await cluster.caught_up()
            given = _default(cluster)
        if given is None:
            return new
        return replaced(new, spec=replaced(new.spec, storage_class_name=given.metadata.name))


def _default(cluster: Cluster) -> StorageClass | None:
    return default_of(cast(Iterable[StorageClass], cluster.objects(StorageClass)))


class PersistentVolumes(Strategy[PersistentVolume]):
    """A node lists the volumes of its own disk, and reads any by its name: they hold no secrets."""

    node_field = "spec.nodeName"

    def prepared(self, new: PersistentVolume) -> PersistentVolume:
        return with_finalizer(super().prepared(new), VOLUME_PROTECTION)

    def node_of(self, one: PersistentVolume) -> str:
        return one.metadata.annotations.get(NODE, "")

    def access_refusal(
        self,
        node: str,
        attempt: Attempt,
        one: PersistentVolume | None,
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        if attempt.subresource:
            return "a node may not report of volumes"
        if attempt.verb == "get":
            return ""
        if attempt.verb in READ:
            is_own = attempt.node == node
            return "" if is_own else "a node must ask with fieldSelector spec.nodeName=<itself>"
        if attempt.verb != "patch":
            return "a node may read volumes, and patch those of its disk"
        return "" if one is None or self.node_of(one) == node else NOT_ITS_DISK

    def node_refusal(
        self,
        node: str,
        subresource: str,  # noqa: ARG002
        old: PersistentVolume | None,
        new: PersistentVolume,
    ) -> str:
        if old is None or self.node_of(old) != node:
            return NOT_ITS_DISK
        if _without_notes(old) != _without_notes(new):
            return "a node may say of a volume only that its folder is made, or is gone"
        left = set(old.metadata.finalizers) - set(new.metadata.finalizers)
        is_more = set(new.metadata.finalizers) - set(old.metadata.finalizers)
        if is_more or left - {FOLDER_FINALIZER}:
            return f"a node may take away the finalizer {FOLDER_FINALIZER}, no other"
        return ""


def _without_notes(one: PersistentVolume) -> PersistentVolume:
    notes = {key: text for key, text in one.metadata.annotations.items() if key not in NODES_NOTES}
    meta = replaced(one.metadata, annotations=notes, finalizers=(), resource_version="")
    return replaced(one, metadata=meta)


def with_finalizer[O: Object](one: O, finalizer: str) -> O:
    finalizers = one.metadata.finalizers
    if finalizer in finalizers:
        return one
    return replaced(one, metadata=replaced(one.metadata, finalizers=(*finalizers, finalizer)))
