"""Claims get volumes, volumes lose their claims: in Kubernetes' steps, each a write by itself.

**A volume is never two claims'.** First the volume says whose it is (`spec.claimRef`, with the uid
of the claim), compared with the version that was seen; then the claim says which it has
(`spec.volumeName`). A volume that speaks of another claim is left alone, so that the loser of a
race chooses again. Wherever this is cut, what is written says enough to go on.

**Where a pod waits for its node** (`WaitForFirstConsumer`), the scheduler writes the node that it
chose into the claim (`selected-node`), and the claim gets a volume that this node reaches. If there
is none, the choice is taken back and the scheduler chooses again.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from controllers.volumes import claims, reclaim
from controllers.volumes.reading import claim_of, is_gone
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.meta import Object, Ref
from cubernetes.api.storage.matching import is_free_for, is_held_for
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.api.storagewords import NODE, SELECTED_NODE
from cubernetes.reconcile.plan import Action, View

# Claims that a volume which has become free is offered to; the others look again by themselves.
OFFERS_MAX = 10


class Volumes:
    """Plans by PersistentVolumeClaim and by PersistentVolume, and remembers nothing."""

    name = "volumes"
    kinds: tuple[type[Object], ...] = (
        PersistentVolumeClaim,
        PersistentVolume,
        StorageClass,
        Pod,
        Node,
    )

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        match changed:
            case PersistentVolumeClaim():
                return _of_claim(changed, view)
            case PersistentVolume():
                return _of_volume(changed, view)
            case Pod():
                kind, namespace = PersistentVolumeClaim.resource.kind, changed.metadata.namespace
                return [Ref(kind, namespace, name) for name in claims_of(changed.spec.volumes)]
            case StorageClass():
                return _of_class(changed, view)
            case Node() if view.get(Node, changed.metadata.name) is None:
                return _of_lost_node(changed, view)
        return ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        if key.kind == PersistentVolume.resource.kind:
            volume = view.get(PersistentVolume, key.name)
            if volume is not None:
                yield from reclaim.plan(volume, view, now)
            return
        claim = view.get(PersistentVolumeClaim, key.name, key.namespace)
        if claim is not None:
            yield from claims.plan(claim, view)


def _of_claim(claim: PersistentVolumeClaim, view: View) -> Iterator[Ref]:
    yield claim.ref
    if claim.spec.volume_name:
        yield Ref(PersistentVolume.resource.kind, "", claim.spec.volume_name)
    elif is_gone(claim, view):
        # One that was given to it and of which it never heard.
        volumes = view.list(PersistentVolume)
        yield from (one.ref for one in volumes if is_held_for(one, claim))


def _of_volume(volume: PersistentVolume, view: View) -> Iterator[Ref]:
    yield volume.ref
    if (ref := claim_of(volume)) is not None:
        yield ref
    elif view.get(PersistentVolume, volume.metadata.name) is not None:
        yield from _offered(volume, view)


def _offered(volume: PersistentVolume, view: View) -> Iterator[Ref]:
    """Yield some of the claims that wait for just such a volume."""
    count = 0
    for claim in view.list(PersistentVolumeClaim):
        if not claim.spec.volume_name and is_free_for(claim, volume):
            yield claim.ref
            count += 1
            if count == OFFERS_MAX:
                return


def _of_class(changed: StorageClass, view: View) -> Iterator[Ref]:
    for claim in view.list(PersistentVolumeClaim):
        is_meant = claim.spec.storage_class_name in (None, changed.metadata.name)
        if is_meant and not claim.spec.volume_name:
            yield claim.ref


def _of_lost_node(node: Node, view: View) -> Iterator[Ref]:
    name = node.metadata.name
    for volume in view.list(PersistentVolume):
        if volume.metadata.annotations.get(NODE) == name:
            yield volume.ref
    for claim in view.list(PersistentVolumeClaim):
        if claim.metadata.annotations.get(SELECTED_NODE) == name and not claim.spec.volume_name:
            yield claim.ref
