"""Pods that hold more of the node's disk than they may: what is measured of them, and the verdict.

As Kubernetes' `localStorageEviction`: a disk's emptyDir over its `sizeLimit`; all that a pod holds
over the sum of its containers' `ephemeral-storage` limits, where one has any; a container's
writable layer and logs over its own limit. Volumes in memory are kept to their size by the kernel.
Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.requests import limited
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.api.core.podspec.volumes.volume import Volume
from kubelet.eviction.verdict import Eviction

STORAGE = "ephemeral-storage"
# The folder beside a pod's volumes in which containers leave their last message: no volume has
# such a name.
MESSAGES = "MESSAGES"


@dataclass(frozen=True, slots=True)
class Held:
    """What of the node's disk something holds."""

    byte_count: int = 0
    inode_count: int = 0

    def __add__(self, other: "Held") -> "Held":
        return Held(self.byte_count + other.byte_count, self.inode_count + other.inode_count)


@dataclass(frozen=True, slots=True)
class PodDisk:
    """What a pod holds: each emptyDir on the disk, and each container's writable layer and logs.

    Last messages are one more volume, the sandbox one more container.

    By their names; what was not measured is not among them.
    """

    volumes: Mapping[str, Held] = field(default_factory=dict)
    containers: Mapping[str, Held] = field(default_factory=dict)

    @property
    def total(self) -> Held:
        return sum((*self.volumes.values(), *self.containers.values()), Held())


def disk_volumes(pod: Pod) -> tuple[Volume, ...]:
    """Return the pod's volumes that take room on the node's disk and are its own."""
    own = ((one, one.empty_dir) for one in pod.spec.volumes)
    return tuple(one for one, empty in own if empty is not None and empty.medium != "Memory")


def has_limits(pod: Pod) -> bool:
    """Whether something of the pod is to be measured even while the disk has room."""
    sizes = (one.empty_dir.size_limit for one in disk_volumes(pod) if one.empty_dir is not None)
    return any(one is not None for one in sizes) or any(
        STORAGE in one.resources.limits for one in every_container(pod.spec)
    )


def over_limit(pod: Pod, disk: PodDisk) -> Eviction | None:
    """Return why a pod that holds so much is to end; None: it keeps to its limits.

    As in Kubernetes, a limit of 0 is none for a volume.
    """
    return _volume_over(pod, disk) or _pod_over(pod, disk) or _container_over(pod, disk)


def _volume_over(pod: Pod, disk: PodDisk) -> Eviction | None:
    for one in disk_volumes(pod):
        limit = one.empty_dir.size_limit if one.empty_dir is not None else None
        held = disk.volumes.get(one.name, Held()).byte_count
        if limit is not None and 0 < limit.whole < held:
            return Eviction(f'Usage of EmptyDir volume "{one.name}" exceeds the limit "{limit}". ')
    return None


def _pod_over(pod: Pod, disk: PodDisk) -> Eviction | None:
    limit = limited(pod.spec).get(STORAGE)
    if limit is None or disk.total.byte_count <= limit:
        return None
    what = "Pod ephemeral local storage usage exceeds the total limit of containers"
    return Eviction(f"{what} {quantity_text(limit)}. ")


def _container_over(pod: Pod, disk: PodDisk) -> Eviction | None:
    for one in every_container(pod.spec):
        limit = one.resources.limits.get(STORAGE)
        held = disk.containers.get(one.name, Held()).byte_count
        if limit is not None and held > limit.whole:
            what = f"Container {one.name} exceeded its local ephemeral storage limit"
            return Eviction(f'{what} "{limit}". ')
    return None


def quantity_text(byte_count: int) -> str:
    """Return a number of bytes as Kubernetes writes it: in the largest unit that divides it."""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        size = 1 << (10 * power)
        if byte_count and byte_count % size == 0:
            return f"{byte_count // size}{unit}"
    return str(byte_count)
