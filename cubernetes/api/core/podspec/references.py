"""Which ConfigMaps and Secrets a pod names: these its node may read, and no other."""

from collections.abc import Iterator
from typing import NamedTuple

from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec


class Named(NamedTuple):
    """A ConfigMap or a Secret, in the namespace of the pod that names it."""

    kind: str
    name: str


def named_by(spec: PodSpec) -> frozenset[Named]:
    """Return every ConfigMap and Secret that a pod names: its node may read these, and no other."""
    return frozenset(one for container in spec.containers for one in _named(container))


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
