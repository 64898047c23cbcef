"""What a pod's claims ask of nodes: a volume is somewhere already, or is still to be chosen. Pure.

A claim that is bound says from which nodes its volume is reached. One whose class waits for its
first consumer is chosen together with the node: what is free, and whether a volume can be made
there. Every other claim without a volume holds the pod back, wherever it could go.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.meta import Ref
from cubernetes.api.storage.matching import free_for, held_for
from cubernetes.api.storage.storageclass import StorageClass, TopologySelectorTerm
from cubernetes.api.storagewords import BIND_COMPLETED, LOCAL, ONE_POD, SELECTED_NODE
from cubernetes.scheduling.nodeinfo import FreeVolume, VolumeNeed

NO_TOPOLOGIES: tuple[TopologySelectorTerm, ...] = ()


class Storage(Protocol):
    """The claims, volumes, classes and pods that there are."""

    def claim(self, name: str, namespace: str) -> PersistentVolumeClaim | None: ...

    def volume(self, name: str) -> PersistentVolume | None: ...

    def volumes(self) -> Iterable[PersistentVolume]: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def pods(self, namespace: str) -> Iterable[Pod]:
        """Return the pods of a namespace, those that are being bound with their node."""
        ...


class Late(NamedTuple):
    """A claim whose volume is chosen with the node; node: the one that was chosen before."""

    name: str
    uid: str
    node: str


class Needs(NamedTuple):
    """What a pod's claims ask for.

    volumes: of each node. held: why the pod waits whatever the nodes are. late: the claims that are
    still to be bound. about: what may change the answer.
    """

    volumes: tuple[VolumeNeed, ...] = ()
    held: str = ""
    late: tuple[Late, ...] = ()
    about: frozenset[Ref] = frozenset()

    @property
    def chosen(self) -> str:
        """The node that was chosen before; empty where none was."""
        return next((one.node for one in self.late if one.node), "")

    def unwritten(self, node: str) -> tuple[Late, ...]:
        """Return the claims that do not say yet that their volume is to be on a node."""
        return tuple(one for one in self.late if one.node != node)


NONE = Needs()


def needs_of(pod: Pod, storage: Storage) -> Needs:
    """Return what a pod's claims ask for; nothing for a pod without any."""
    names = claims_of(pod.spec.volumes)
    if not names:
        return NONE
    namespace = pod.metadata.namespace
    found: list[VolumeNeed] = []
    late: list[Late] = []
    about: set[Ref] = set()
    held = ""
    for name in names:
        about.add(Ref(PersistentVolumeClaim.resource.kind, namespace, name))
        claim = storage.claim(name, namespace)
        why = _held_back(pod, name, claim, storage)
        if why or claim is None:
            held = held or why
            continue
        if claim.spec.volume_name:
            about.add(Ref(PersistentVolume.resource.kind, "", claim.spec.volume_name))
            volume = storage.volume(claim.spec.volume_name)
            if volume is None:
                told = f'bound to non-existent persistentvolume "{claim.spec.volume_name}"'
                held = held or f'persistentvolumeclaim "{name}" {told}'
            else:
                found.append(VolumeNeed(affinity=volume.affinity))
            continue
        about.add(Ref(StorageClass.resource.kind, "", claim.spec.storage_class_name or ""))
        found.append(_to_choose(claim, storage))
        selected = claim.metadata.annotations.get(SELECTED_NODE, "")
        late.append(Late(name, claim.metadata.uid, selected))
    return Needs(tuple(found), held, tuple(late), frozenset(about))


def _held_back(pod: Pod, name: str, claim: PersistentVolumeClaim | None, storage: Storage) -> str:
    """Return why a claim keeps its pod from every node, in Kubernetes' words; or nothing."""
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.metadata.is_deleted:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if claim.status.phase == "Lost":
        told = f'bound to non-existent persistentvolume "{claim.spec.volume_name}"'
        return f'persistentvolumeclaim "{name}" {told}'
    if ONE_POD in claim.spec.access_modes and (other := _user_of(pod, name, storage)):
        return f'persistentvolumeclaim "{name}" is ReadWriteOncePod, and pod {other} uses it'
    if claim.spec.volume_name:
        is_complete = BIND_COMPLETED in claim.metadata.annotations
        return "" if is_complete else f'persistentvolumeclaim "{name}" is not bound yet'
    made_by = storage.storage_class(claim.spec.storage_class_name or "")
    if made_by is None or not made_by.is_late:
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _user_of(pod: Pod, name: str, storage: Storage) -> str:
    """Return another pod that has a claim's volume; empty where there is none."""
    uid = pod.metadata.uid
    others = (one for one in storage.pods(pod.metadata.namespace) if one.metadata.uid != uid)
    for other in others:
        is_there = bool(other.spec.node_name) and not is_finished(other)
        if is_there and name in claims_of(other.spec.volumes):
            return other.metadata.name
    return ""


def _to_choose(claim: PersistentVolumeClaim, storage: Storage) -> VolumeNeed:
    """Return what a claim that waits for its first consumer asks of nodes."""
    volumes = list(storage.volumes())
    kept = held_for(claim, volumes)
    if kept is not None:
        return VolumeNeed(affinity=kept.affinity)
    free = tuple(FreeVolume(one.metadata.name, one.affinity) for one in free_for(claim, volumes))
    made_by = storage.storage_class(claim.spec.storage_class_name or "")
    is_made = made_by is not None and made_by.provisioner == LOCAL
    terms = made_by.allowed_topologies if made_by is not None else NO_TOPOLOGIES
    return VolumeNeed(is_free=True, free=free, is_made=is_made, topologies=terms)


class StillStorage:
    """What was read at one moment."""

    def __init__(
        self,
        claims: Sequence[PersistentVolumeClaim] = (),
        volumes: Sequence[PersistentVolume] = (),
        classes: Sequence[StorageClass] = (),
        pods: Sequence[Pod] = (),
    ) -> None:
        self._claims = {(one.metadata.namespace, one.metadata.name): one for one in claims}
        self._volumes = {one.metadata.name: one for one in volumes}
        self._classes = {one.metadata.name: one for one in classes}
        self._pods = pods

    def claim(self, name: str, namespace: str) -> PersistentVolumeClaim | None:
        return self._claims.get((namespace, name))

    def volume(self, name: str) -> PersistentVolume | None:
        return self._volumes.get(name)

    def volumes(self) -> Iterable[PersistentVolume]:
        return self._volumes.values()

    def storage_class(self, name: str) -> StorageClass | None:
        return self._classes.get(name)

    def pods(self, namespace: str) -> Iterator[Pod]:
        return (one for one in self._pods if one.metadata.namespace == namespace)
