"""Where a container's variables come from beside their own text."""

import re

from cubernetes.api.meta import Model, shown
from cubernetes.api.quantities import Quantity

ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
ENV_NAME_RULE = "must be letters, digits, '-', '_' or '.', not beginning with a digit"
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
RESOURCES = tuple(
    f"{part}.{name}"
    for part in ("limits", "requests")
    for name in ("cpu", "memory", "ephemeral-storage")
)
CPU_DIVISORS = frozenset(map(Quantity, ("0", "1m", "1")))
DIVISORS = frozenset(
    Quantity(f"1{suffix}") for suffix in ("", *"kMGTPE", *(f"{letter}i" for letter in "KMGTPE"))
) | {Quantity("0")}
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
        `metadata.annotations['key']`, `spec.nodeName`, `spec.serviceAccountName`, `status.hostIP`,
        `status.hostIPs`, `status.podIP` or `status.podIPs`.
    """

    api_version: str = shown("v1")
    field_path: str


class ResourceFieldSelector(Model):
    """What a container requests or is limited to, as a number.

    container_name: which container of the pod; empty is the one with the variable.
    resource: `limits.cpu`, `limits.memory`, `limits.ephemeral-storage`, or `requests.` of these. A
        limit that is not set is what the node has for pods, a request that is not set 0.
    divisor: the unit, which the number is rounded up to: `1m` or `1` of cpu; `1`, `1k` to `1E` or
        `1Ki` to `1Ei` of the others; left out, 1.
    """

    container_name: str = ""
    resource: str
    divisor: Quantity | None = None


class EnvVarSource(Model):
    """Where a variable's value comes from; exactly one of the sources is set.

    field_ref: a field of the pod.
    resource_field_ref: what a container requests or is limited to.
    config_map_key_ref: a key of a ConfigMap.
    secret_key_ref: a key of a Secret.
    """

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
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
