"""Where a container's variables come from beside their own text, and what a pod names by that."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model, shown

if TYPE_CHECKING:
    from cubernetes.api.core.pod import Container, PodSpec

ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
ENV_NAME_RULE = "must be letters, digits, '-', '_' or '.', not beginning with a digit"
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "status.hostIP",
    "status.podIP",
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]\Z")


class ConfigMapKeySelector(Model):
    """One key of a ConfigMap in the pod's namespace.

    name: which ConfigMap.
    key: which of its keys.
    optional: the container starts also without it, and then without the variable.
    """

    name: str = ""
    key: str
    optional: bool | None = None


class SecretKeySelector(Model):
    """One key of a Secret in the pod's namespace.

    name: which Secret.
    key: which of its keys.
    optional: the container starts also without it, and then without the variable.
    """

    name: str = ""
    key: str
    optional: bool | None = None


class ObjectFieldSelector(Model):
    """A field of the pod itself.

    api_version: the version that the path is written in.
    field_path: `metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels['key']`,
        `metadata.annotations['key']`, `spec.nodeName`, `status.hostIP` or `status.podIP`.
    """

    api_version: str = shown("v1")
    field_path: str


class EnvVarSource(Model):
    """Where a variable's value comes from; exactly one of the sources is set.

    field_ref: a field of the pod.
    config_map_key_ref: a key of a ConfigMap.
    secret_key_ref: a key of a Secret.
    """

    field_ref: ObjectFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class ConfigMapEnvSource(Model):
    """Every key of a ConfigMap's data.

    name: which ConfigMap, in the pod's namespace.
    optional: the container starts also without it.
    """

    name: str = ""
    optional: bool | None = None


class SecretEnvSource(Model):
    """Every key of a Secret.

    name: which Secret, in the pod's namespace.
    optional: the container starts also without it.
    """

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Model):
    """Variables from every key of an object; exactly one of the sources is set.

    prefix: what each key is prefixed with, to be the variable's name.
    config_map_ref: the ConfigMap.
    secret_ref: the Secret.
    """

    prefix: str = ""
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None


class Named(NamedTuple):
    """A ConfigMap or a Secret, in the namespace of the pod that names it."""

    kind: str
    name: str


def named_by(spec: "PodSpec") -> frozenset[Named]:
    """Return every ConfigMap and Secret that a pod names: its node may read these, and no other."""
    return frozenset(one for container in spec.containers for one in _named(container))


def named_in(container: "Container") -> frozenset[Named]:
    """Return every ConfigMap and Secret that a container names."""
    return frozenset(_named(container))


def _named(container: "Container") -> Iterator[Named]:
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


def subscript_of(path: str) -> tuple[str, str] | None:
    """Return (`labels`, key) of `metadata.labels['key']`, and so for annotations; else None."""
    match = _SUBSCRIPT.match(path)
    return (match[1], match[2]) if match else None


def env_problems(container: "Container", field: str) -> Iterator[Problem]:
    """Yield what is wrong with the variables of the container that stands at field."""
    for index, variable in enumerate(container.env):
        where = f"{field}.env[{index}]"
        if not ENV_NAME.match(variable.name):
            yield Problem(f"{where}.name", ENV_NAME_RULE)
        if variable.value_from is not None:
            if variable.value:
                message = "may not be specified when `value` is not empty"
                yield Problem(f"{where}.valueFrom", message)
            yield from _origin_problems(variable.value_from, f"{where}.valueFrom")
    for index, source in enumerate(container.env_from):
        yield from _source_problems(source, f"{field}.envFrom[{index}]")


def _origin_problems(origin: EnvVarSource, field: str) -> Iterator[Problem]:
    keys = {
        "configMapKeyRef": origin.config_map_key_ref,
        "secretKeyRef": origin.secret_key_ref,
    }
    yield from _one_of((origin.field_ref, *keys.values()), field)
    if origin.field_ref is not None:
        yield from _field_problems(origin.field_ref, f"{field}.fieldRef")
    for part, ref in keys.items():
        if ref is not None:
            yield from _name_problems(ref.name, f"{field}.{part}.name")
            if not ref.key:
                yield Problem(f"{field}.{part}.key", "is required", "FieldValueRequired")


def _field_problems(ref: ObjectFieldSelector, field: str) -> Iterator[Problem]:
    subscript = subscript_of(ref.field_path)
    if ref.api_version not in ("", "v1"):
        yield Problem(f"{field}.apiVersion", "must be v1", "FieldValueNotSupported")
    if subscript is not None and not names.is_label_key(subscript[1].lower()):
        yield Problem(f"{field}.fieldPath", names.LABEL_KEY_RULE)
    elif subscript is None and ref.field_path not in FIELDS:
        listed = ", ".join((*FIELDS, "metadata.labels['key']", "metadata.annotations['key']"))
        yield Problem(f"{field}.fieldPath", f"must be one of {listed}", "FieldValueNotSupported")


def _source_problems(source: EnvFromSource, field: str) -> Iterator[Problem]:
    yield from _one_of((source.config_map_ref, source.secret_ref), field)
    if source.prefix and not ENV_NAME.match(source.prefix):
        yield Problem(f"{field}.prefix", ENV_NAME_RULE)
    for part, ref in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
        if ref is not None:
            yield from _name_problems(ref.name, f"{field}.{part}.name")


def _one_of(sources: Iterable[object | None], field: str) -> Iterator[Problem]:
    if sum(one is not None for one in sources) != 1:
        yield Problem(field, "needs exactly one source", "FieldValueRequired")


def _name_problems(name: str, field: str) -> Iterator[Problem]:
    if not names.is_subdomain(name):
        yield Problem(field, names.SUBDOMAIN_RULE)
