"""Where a container's variables come from beside their own text."""

import re

from cubernetes.api.meta import Model, shown

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


def subscript_of(path: str) -> tuple[str, str] | None:
    """Return (`labels`, key) of `metadata.labels['key']`, and so for annotations; else None."""
    match = _SUBSCRIPT.match(path)
    return (match[1], match[2]) if match else None
