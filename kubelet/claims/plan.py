"""What this node's disk is to have for a volume that a provisioner makes. Pure."""

from enum import Enum

from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.storagewords import FOLDER_FINALIZER, NODE, VOLUME_PROTECTION

# Said of every volume that is made here: no file system is asked to keep it below its size.
NO_LIMIT = "not kept: this node sets no quotas"


class Work(Enum):
    """What is to be done on the disk."""

    MAKE = "make"
    REMOVE = "remove"


def work_for(volume: PersistentVolume, node: str) -> Work | None:
    """Return what a node's disk needs for a volume; None: nothing, or it is another's."""
    meta = volume.metadata
    if not volume.is_provisioned or meta.annotations.get(NODE) != node:
        return None
    if not meta.is_deleted:
        return None if volume.is_made else Work.MAKE
    # As long as it is protected, a claim may have it; where it is retained, the files stay.
    is_let_go = VOLUME_PROTECTION not in meta.finalizers and FOLDER_FINALIZER in meta.finalizers
    is_to_go = volume.spec.persistent_volume_reclaim_policy == "Delete"
    return Work.REMOVE if is_let_go and is_to_go else None


def path_problem(volume: PersistentVolume, root: str) -> str:
    """Return why a folder is not one that this kubelet makes and removes; or nothing."""
    wanted = f"{root}/{volume.metadata.name}"
    found = volume.spec.local.path if volume.spec.local is not None else ""
    return "" if found == wanted else f"volume {volume.metadata.name}: {found} is not {wanted}"
