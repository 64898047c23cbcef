"""Which ConfigMaps, Secrets and claims a pod names, and what of them it reads."""

from collections.abc import Iterator
from typing import NamedTuple

from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec, every_program
from cubernetes.api.core.podspec.volumes.volume import (
    Volume,
    VolumeProjection,
    claims_of,
    sources_of,
)


class Named(NamedTuple):
    """A ConfigMap, a Secret or a claim, in the namespace of the pod that names it."""

    kind: str
    name: str


class Read(NamedTuple):
    """What a pod reads: one key of an object, or all keys where key is None.

    is_optional: the pod starts also without the object.
    """

    named: Named
    key: str | None
    is_optional: bool


def read_by(spec: PodSpec) -> frozenset[Read]:
    """Return every key of ConfigMaps and Secrets that a pod's containers and volumes read."""
    in_containers = (one for container in every_program(spec) for one in _read(container))
    in_volumes = (
        one
        for volume in spec.volumes
        for source in sources_of(volume)
        for one in _read_in_projection(source)
    )
    return frozenset((*in_containers, *in_volumes))


def named_by(spec: PodSpec) -> frozenset[Named]:
    """Return every ConfigMap, Secret and claim that a pod names: its node may read no other."""
    read = (one.named for one in read_by(spec))
    return frozenset((*read, *claims_in(spec), *pull_secrets_of(spec)))


def pull_secrets_of(spec: PodSpec) -> tuple[Named, ...]:
    """Return the Secrets with which the pod's images are pulled, in their order."""
    return tuple(Named("Secret", one.name) for one in spec.image_pull_secrets if one.name)


def claims_in(spec: PodSpec) -> frozenset[Named]:
    """Return every claim whose volume the pod mounts."""
    return frozenset(Named("PersistentVolumeClaim", name) for name in claims_of(spec.volumes))


def named_in_volumes(spec: PodSpec) -> frozenset[Named]:
    """Return every ConfigMap and Secret that the pod's volumes are made from."""
    return frozenset(named for volume in spec.volumes for named in named_in_volume(volume))


def named_in_volume(volume: Volume) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a volume is made from."""
    sources = sources_of(volume)
    return frozenset(one.named for source in sources for one in _read_in_projection(source))


def named_in(container: Container) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a container names."""
    return frozenset(one.named for one in _read(container))


def _read(container: Container) -> Iterator[Read]:
    for source in container.env_from:
        if (maps := source.config_map_ref) is not None:
            yield Read(Named("ConfigMap", maps.name), None, bool(maps.optional))
        if (secrets := source.secret_ref) is not None:
            yield Read(Named("Secret", secrets.name), None, bool(secrets.optional))
    for variable in container.env:
        origin = variable.value_from
        if origin is not None and (one := origin.config_map_key_ref) is not None:
            yield Read(Named("ConfigMap", one.name), one.key, bool(one.optional))
        if origin is not None and (other := origin.secret_key_ref) is not None:
            yield Read(Named("Secret", other.name), other.key, bool(other.optional))


def _read_in_projection(source: VolumeProjection) -> Iterator[Read]:
    for kind, one in (("ConfigMap", source.config_map), ("Secret", source.secret)):
        if one is not None:
            keys: list[str | None] = [item.key for item in one.items]
            for key in keys or [None]:
                yield Read(Named(kind, one.name), key, bool(one.optional))
