"""Where on this node a pod finds the volume of a claim, or why it has to wait. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.volumes.volume import HostPath, claims_of
from cubernetes.api.storagewords import ONE_POD


class NodeFolder(NamedTuple):
    """Files of the node that are no pod's own; takes_group: they are given to a pod's fsGroup."""

    path: HostPath
    takes_group: bool = False


# Where the volumes of a pod's claims are, by the claims' names.
type Claimed = Mapping[str, NodeFolder]
NONE_CLAIMED: Claimed = {}


class Waits(Exception):
    """A pod's claim has no volume that could be mounted here; the text says why."""


def claim_problem(
    name: str, claim: PersistentVolumeClaim | None, pod: Pod, here: Iterable[Pod]
) -> str:
    """Return why a pod cannot have the volume of a claim yet; here: the pods of this node."""
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.status.phase != "Bound":
        return f'persistentvolumeclaim "{name}" is not bound to a volume yet'
    if ONE_POD in claim.spec.access_modes and (other := _earlier_user(name, pod, here)):
        return f'persistentvolumeclaim "{name}" is ReadWriteOncePod, and pod {other} uses it'
    return ""


def _earlier_user(name: str, pod: Pod, here: Iterable[Pod]) -> str:
    """Return a pod that uses a claim and was there before; empty where there is none."""
    for other in here:
        is_same = other.metadata.namespace == pod.metadata.namespace
        is_user = is_same and name in claims_of(other.spec.volumes) and not is_finished(other)
        if is_user and age_of(other) < age_of(pod):
            return other.metadata.name
    return ""


def age_of(pod: Pod) -> tuple[float, str]:
    """Return what orders pods by when they were made."""
    created = pod.metadata.creation_timestamp
    return (created.timestamp() if created is not None else 0.0, pod.metadata.uid)


def place_of(
    claim: PersistentVolumeClaim, volume: PersistentVolume, node: Node | None
) -> NodeFolder:
    """Return where a bound claim's volume is; the folder of a local one must be there.

    Raises: Waits.
    """
    name = claim.spec.volume_name
    ref = volume.spec.claim_ref
    if ref is None or ref.uid != claim.metadata.uid:
        raise Waits(f'persistentvolume "{name}" is not bound to claim {claim.metadata.name}')
    if volume.affinity is not None:
        here, labels = (node.metadata.name, node.metadata.labels) if node is not None else ("", {})
        if not volume.is_reached_from(here, labels):
            raise Waits(f'persistentvolume "{name}" cannot be reached from this node')
    if volume.spec.local is not None:
        return NodeFolder(HostPath(path=volume.spec.local.path, type="Directory"), takes_group=True)
    if volume.spec.host_path is None:
        raise Waits(f'persistentvolume "{name}" has no files that could be mounted')
    return NodeFolder(volume.spec.host_path)
