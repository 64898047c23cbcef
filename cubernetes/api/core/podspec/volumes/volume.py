"""A pod's volumes: files of the node, of the pod's own, or made from other objects."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from cubernetes.api.core.podspec.envsource import ObjectFieldSelector, ResourceFieldSelector
from cubernetes.api.meta import Model, shown, wire
from cubernetes.api.quantities import Quantity

type FileMode = Annotated[int, msgspec.Meta(ge=0, le=0o777)]
FILE_MODE_DEFAULT = 0o644
LIFE_S_MIN, LIFE_S_DEFAULT, LIFE_S_MAX = 600, 3600, 2**32  # of a token


class HostPath(Model):
    """A file or folder of the node.

    path: where it is on the node.
    type: what must be there before the pod starts. DirectoryOrCreate, FileOrCreate and the empty
        text (a folder) make it where it is not.
    """

    path: str
    type: Literal[
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
        "BlockDevice",
    ] = shown("")  # fmt: skip


class EmptyDir(Model):
    """An empty directory that lives as long as the pod.

    medium: Memory makes it a tmpfs; empty is the node's disk.
    size_limit: how much it may hold, in bytes. With medium Memory more cannot be written; a pod
        that holds more on the disk is evicted.
    """

    medium: Literal["", "Memory"] = ""
    size_limit: Quantity | None = None


class ClaimVolume(Model):
    """The volume of a claim: its files outlive the pod.

    claim_name: which PersistentVolumeClaim, in the pod's namespace; the pod waits for its volume.
    read_only: containers cannot write there.
    """

    claim_name: str
    read_only: bool = False


class KeyToPath(Model):
    """One key as a file.

    key: which key.
    path: the file's path in the volume: relative, without `..`, not beginning with `..`.
    mode: the file's permission bits, 0 to 0777; left out, the volume's `defaultMode`.
    """

    key: str
    path: str
    mode: FileMode | None = None


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as files; a change of it reaches running containers.

    name: which ConfigMap, in the pod's namespace.
    items: which keys, and where; empty is every key, under its own name. Each must be there, unless
        `optional`.
    default_mode: the permission bits of files that have none of their own.
    optional: the pod starts also without the ConfigMap or its keys.
    """

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: FileMode = shown(FILE_MODE_DEFAULT)
    optional: bool | None = None


class SecretVolume(Model):
    """The keys of a Secret as files, in memory alone; a change of it reaches running containers.

    secret_name: which Secret, in the pod's namespace.
    items: which keys, and where; empty is every key, under its own name. Each must be there, unless
        `optional`.
    default_mode: the permission bits of files that have none of their own.
    optional: the pod starts also without the Secret or its keys.
    """

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: FileMode = shown(FILE_MODE_DEFAULT)
    optional: bool | None = None


class DownwardFile(Model):
    """A field of the pod, or what one of its containers requests or is limited to, as a file.

    path: the file's path in the volume: relative, without `..`, not beginning with `..`.
    field_ref: `metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels`,
        `metadata.annotations`, or one of these by its key.
    resource_field_ref: what a container requests or is limited to; it names the container. Either
        this or field_ref is set.
    mode: the file's permission bits, 0 to 0777; left out, the volume's `defaultMode`.
    """

    path: str
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: FileMode | None = None


class DownwardVolume(Model):
    """Fields of the pod as files; a change of its labels reaches running containers.

    items: the files.
    default_mode: the permission bits of files that have none of their own.
    """

    items: tuple[DownwardFile, ...] = ()
    default_mode: FileMode = shown(FILE_MODE_DEFAULT)


class ConfigMapProjection(Model):
    """Keys of a ConfigMap among other files.

    name: which ConfigMap, in the pod's namespace.
    items: which keys, and where; empty is every key, under its own name.
    optional: the pod starts also without the ConfigMap or its keys.
    """

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class SecretProjection(Model):
    """Keys of a Secret among other files.

    name: which Secret, in the pod's namespace.
    items: which keys, and where; empty is every key, under its own name.
    optional: the pod starts also without the Secret or its keys.
    """

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class DownwardProjection(Model):
    """Fields of the pod among other files.

    items: the files.
    """

    items: tuple[DownwardFile, ...] = ()


class ServiceAccountTokenProjection(Model):
    """A token of the pod's service account among other files; it ends with the pod.

    audience: whom it is for; empty is the API server.
    expiration_seconds: how long it is good, from 600 s on; another stands there before it ends.
    path: the file's path in the volume: relative, without `..`, not beginning with `..`.
    """

    audience: str = ""
    expiration_seconds: int = shown(LIFE_S_DEFAULT)
    path: str


class VolumeProjection(Model):
    """Files from one source; exactly one is set.

    service_account_token: a token of the pod's service account.
    config_map: keys of a ConfigMap.
    secret: keys of a Secret.
    downward_api: fields of the pod.
    """

    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardProjection | None = wire("downwardAPI", None)
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolume(Model):
    """Files from several sources in one directory; of two with one path, the later source wins.

    sources: where they come from.
    default_mode: the permission bits of files that have none of their own.
    """

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: FileMode = shown(FILE_MODE_DEFAULT)


class Volume(Model):
    """Files that containers of a pod share; exactly one of the sources is set.

    name: by which containers mount it, unique in the pod.
    host_path: files of the node.
    empty_dir: a directory of the pod's own.
    persistent_volume_claim: the volume of a claim.
    config_map: the keys of a ConfigMap; containers cannot write there.
    secret: the keys of a Secret; containers cannot write there.
    downward_api: fields of the pod; containers cannot write there.
    projected: several of these together; containers cannot write there.
    """

    name: str
    host_path: HostPath | None = None
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: ClaimVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = wire("downwardAPI", None)
    projected: ProjectedVolume | None = None


def sources_of(volume: Volume) -> tuple[VolumeProjection, ...]:
    """Return what a volume's files are made from, in order; none for other volumes."""
    if volume.projected is not None:
        return volume.projected.sources
    if (config := volume.config_map) is not None:
        one = ConfigMapProjection(name=config.name, items=config.items, optional=config.optional)
        return (VolumeProjection(config_map=one),)
    if (secret := volume.secret) is not None:
        keys, name = secret.items, secret.secret_name
        projected = SecretProjection(name=name, items=keys, optional=secret.optional)
        return (VolumeProjection(secret=projected),)
    if volume.downward_api is not None:
        fields = DownwardProjection(items=volume.downward_api.items)
        return (VolumeProjection(downward_api=fields),)
    return ()


def default_mode_of(volume: Volume) -> int:
    """Return the permission bits of the volume's files that have none of their own."""
    made = volume.projected or volume.config_map or volume.secret or volume.downward_api
    return made.default_mode if made is not None else FILE_MODE_DEFAULT


def claims_of(volumes: Iterable[Volume]) -> tuple[str, ...]:
    """Return the names of the claims whose volumes these are, each once, in order."""
    claims = (one.persistent_volume_claim for one in volumes)
    return tuple(dict.fromkeys(one.claim_name for one in claims if one is not None))


def is_made_from_objects(volume: Volume) -> bool:
    """Whether the kubelet writes the volume's files: containers then cannot."""
    made = (volume.config_map, volume.secret, volume.downward_api, volume.projected)
    return any(one is not None for one in made)


def is_read_only(volume: Volume) -> bool:
    """Whether containers cannot write there, however they mount it."""
    claim = volume.persistent_volume_claim
    return is_made_from_objects(volume) or (claim is not None and claim.read_only)


def has_token(volume: Volume) -> bool:
    """Whether one of the volume's files is a token of the pod's service account."""
    return any(one.service_account_token is not None for one in sources_of(volume))


def is_kept_in_memory(volume: Volume) -> bool:
    """Whether the volume's files may hold a secret: they are never written to a disk."""
    return any(one.secret is not None for one in sources_of(volume)) or has_token(volume)
