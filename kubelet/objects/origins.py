"""A container's variables: from services, from ConfigMaps and Secrets, and from its pod."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.data import configdata
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.container import EnvVar
from cubernetes.api.core.podspec.envsource import (
    ENV_NAME,
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVarSource,
    ResourceFieldSelector,
    SecretKeySelector,
    subscript_of,
)
from cubernetes.api.core.podspec.references import Named
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object
from kubelet.runtime.driver import RuntimeTrouble

# Kubernetes' word for a container whose spec names what is not there.
CONFIG_ERROR = "CreateContainerConfigError"


@dataclass(frozen=True, slots=True)
class Origins:
    """What variables are made from, beside the pod itself.

    objects: the ConfigMaps and Secrets that the container names; what does not exist is not in it.
    services: the variables of services.
    allocatable: what the node has for pods, in the units in which amounts are counted.
    """

    objects: Mapping[Named, Object] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    pod_address: str = ""
    host_address: str = ""
    allocatable: Mapping[str, int] = field(default_factory=dict)


NOTHING = Origins()


def given_variables(wanted: Wanted, origins: Origins) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a container is given beside its own `env`; later ones win.

    The second list names keys that cannot be variables, which are left out.

    Raises: RuntimeTrouble: an object that is not optional is not there.
    """
    found = dict(origins.services)
    left_out: list[str] = []
    for source in wanted.env_from:
        for key, value in _values_of(source, origins):
            name = source.prefix + key
            if ENV_NAME.match(name):
                found[name] = value
            else:
                left_out.append(name)
    return found, left_out


def value_of(pod: Pod, wanted: Wanted, variable: EnvVar, origins: Origins) -> str | None:
    """Return the value of a variable that comes from elsewhere; None: it is optional and absent.

    Raises: RuntimeTrouble: what it comes from is not there.
    """
    source = variable.value_from or EnvVarSource()
    if source.field_ref is not None:
        return field_of(pod, source.field_ref.field_path, origins)
    if source.resource_field_ref is not None:
        ref = source.resource_field_ref
        name = ref.container_name or wanted.name
        return str(amount_of(pod, name, ref, origins.allocatable))
    if source.config_map_key_ref is not None:
        return _key_of("ConfigMap", pod, source.config_map_key_ref, origins)
    if source.secret_key_ref is not None:
        return _key_of("Secret", pod, source.secret_key_ref, origins)
    raise RuntimeTrouble(CONFIG_ERROR, f"variable {variable.name} has no source")


def field_of(pod: Pod, path: str, origins: Origins) -> str:
    """Return a field of a pod as text; a label or annotation that it has not is empty."""
    meta = pod.metadata
    subscript = subscript_of(path)
    if subscript is not None:
        values = meta.labels if subscript[0] == "labels" else meta.annotations
        return values.get(subscript[1], "")
    fields = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": origins.host_address,
        "status.hostIPs": origins.host_address,
        "status.podIP": origins.pod_address,
        "status.podIPs": origins.pod_address,
    }
    if path not in fields:
        raise RuntimeTrouble(CONFIG_ERROR, f"unsupported fieldPath: {path}")
    return fields[path]


def amount_of(
    pod: Pod, name: str, ref: ResourceFieldSelector, allocatable: Mapping[str, int]
) -> int:
    """Return what a container requests or is limited to, in its divisor's units, rounded up.

    allocatable is what the node has for pods, in the units in which amounts are counted.

    Raises: RuntimeTrouble: the pod has no such container.
    """
    one = next((each for each in every_program(pod.spec) if each.name == name), None)
    if one is None:
        raise RuntimeTrouble(CONFIG_ERROR, f"container {name} not found")
    part, _, resource = ref.resource.partition(".")
    limits, requests = one.resources.limits, one.resources.requests
    amounts = limits if part == "limits" else {**limits, **requests}
    if resource in amounts:
        amount = amounts[resource].amount
    else:
        count = Decimal(allocatable.get(resource, 0) if part == "limits" else 0)
        amount = count / 1000 if resource == "cpu" else count
    divisor = ref.divisor.amount if ref.divisor is not None and ref.divisor.amount else Decimal(1)
    return math.ceil(amount / divisor)


def _values_of(source: EnvFromSource, origins: Origins) -> Iterator[tuple[str, str]]:
    ref = source.config_map_ref or source.secret_ref
    if ref is None:
        return
    named = Named("ConfigMap" if source.config_map_ref else "Secret", ref.name)
    one = _object(named, bool(ref.optional), origins)
    if one is not None:
        texts = _texts_of(one)
        for key in sorted(texts):
            yield key, _text(named, key, texts[key])


def _key_of(
    kind: str, pod: Pod, ref: ConfigMapKeySelector | SecretKeySelector, origins: Origins
) -> str | None:
    named = Named(kind, ref.name)
    one = _object(named, bool(ref.optional), origins)
    if one is None:
        return None
    texts = _texts_of(one)
    if ref.key in texts:
        return _text(named, ref.key, texts[ref.key])
    if ref.optional:
        return None
    where = f"{kind} {pod.metadata.namespace}/{ref.name}"
    raise RuntimeTrouble(CONFIG_ERROR, f"couldn't find key {ref.key} in {where}")


def _object(named: Named, is_optional: bool, origins: Origins) -> Object | None:
    one = origins.objects.get(named)
    if one is None and not is_optional:
        raise RuntimeTrouble(CONFIG_ERROR, f'{named.kind.lower()} "{named.name}" not found')
    return one


def _texts_of(one: Object) -> Mapping[str, str | bytes | None]:
    """Return what variables can be made of: a ConfigMap's bytes are for files alone."""
    match one:
        case ConfigMap():
            return one.data
        case Secret():
            return {key: configdata.decoded(text) for key, text in one.data.items()}
        case _:
            raise AssertionError(f"{one.ref} holds no variables")


def _text(named: Named, key: str, value: str | bytes | None) -> str:
    if isinstance(value, str):
        text = value
    else:
        try:
            text = (value or b"").decode()
        except UnicodeDecodeError as error:
            message = f"key {key} of {named.kind} {named.name} is not text (UTF-8)"
            raise RuntimeTrouble(CONFIG_ERROR, message) from error
    if "\x00" in text:
        message = f"key {key} of {named.kind} {named.name} holds a NUL: no variable can"
        raise RuntimeTrouble(CONFIG_ERROR, message)
    return text
