"""Which ConfigMaps and Secrets a pod names: these its node may read, and no other."""

from collections.abc import Iterator
from typing import NamedTuple

from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec, every_container
from cubernetes.api.core.podspec.volumes.volume import Volume, VolumeProjection, sources_of


class Named(NamedTuple):
    """A ConfigMap or a Secret, in the namespace of the pod that names it."""

    kind: str
    name: str


def named_by(spec: PodSpec) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a pod names: its node may read these, and no other."""
    in_containers = (one for container in every_container(spec) for one in _named(container))
    return frozenset(in_containers) | named_in_volumes(spec)


def named_in_volumes(spec: PodSpec) -> frozenset[Named]:
    """Return every ConfigMap and Secret that the pod's volumes are made from."""
    return frozenset(named for volume in spec.volumes for named in named_in_volume(volume))


def named_in_volume(volume: Volume) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a volume is made from."""
    return frozenset(named for source in sources_of(volume) for named in _projected(source))


def named_in(container: Container) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a container names."""
    return frozenset(_named(container))


def _named(container: Container) -> Iterator[Named]:
    for source in container.env_from:
        if source.config_map_ref is not None:
            yield Named("ConfigMap", source.config_map_ref.name)
        if source.secret_ref is not None:
            yield Named("Secret", source.secret_ref.name)
    for variable in container.env:
        origin = variable.value_from
        if origin is not None and origin.config_map_key_ref is not None:
            yield Named("ConfigMap", origin.config_map_key_ref.name)
        if origin is not None and origin.secret_key_ref is not None:
            yield Named("Secret", origin.secret_key_ref.name)


def _projected(source: VolumeProjection) -> Iterator[Named]:
    if source.config_map is not None:
        yield Named("ConfigMap", source.config_map.name)
    if source.secret is not None:
        yield Named("Secret", source.secret.name)
