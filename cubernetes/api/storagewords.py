"""The words of claims and volumes: how they are mounted, and what their annotations say."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts

type AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
type ReclaimPolicy = Literal["Retain", "Delete"]
# The only one that there is: a block device of its own is refused by name.
type VolumeMode = Literal["Filesystem"]

# In the order in which kubectl prints them.
SHORT = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
ONE_POD = "ReadWriteOncePod"

# The provisioner that is here: a folder of a node's disk.
LOCAL = "cubernetes.io/local"
LOCAL_FOLDERS = "/var/lib/cubernetes/volumes"
IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
# Of volumes that the provisioner makes: whose disk it is, that the folder has been made there, and
# whether the file system keeps it below its size. The finalizer stays until the folder is gone.
NODE = "cubernetes.io/node"
FOLDER = "cubernetes.io/folder"
MADE = "made"
SIZE_NOTE = "cubernetes.io/size-limit"
FOLDER_FINALIZER = "cubernetes.io/local-folder"

UNSET = "<unset>"


def short_modes(modes: Iterable[str]) -> str:
    """Return access modes as kubectl prints them: `RWO,ROX`."""
    given = frozenset(modes)
    return ",".join(short for mode, short in SHORT.items() if mode in given)


def mode_problems(modes: Sequence[str], field: str) -> Iterator[Problem]:
    """Yield what is wrong with the access modes of a claim or a volume."""
    if not modes:
        yield Problem(field, "at least 1 access mode is required", "FieldValueRequired")
    if ONE_POD in modes and len(frozenset(modes)) > 1:
        message = "may not use ReadWriteOncePod with other access modes"
        yield Problem(field, message, "FieldValueForbidden")


def size_problems(amounts: Amounts, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a size, which is asked for or given under the name storage."""
    for name in sorted(amounts.keys() - {"storage"}):
        yield Problem(f"{field}[{name[:63]}]", 'must be "storage"', "FieldValueNotSupported")
    size = amounts.get("storage")
    if size is None:
        yield Problem(f"{field}[storage]", "is required", "FieldValueRequired")
    elif size.amount <= 0:
        yield Problem(f"{field}[storage]", "must be greater than zero")


def class_problems(name: str | None, field: str) -> Iterator[Problem]:
    if name and not names.is_subdomain(name):
        yield Problem(field, names.SUBDOMAIN_RULE)
