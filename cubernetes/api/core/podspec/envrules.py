"""What makes the variables of a container legal, and the sources that they come from."""

from collections.abc import Iterable, Iterator, Sequence

from cubernetes.api import names
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.envsource import (
    CPU_DIVISORS,
    DIVISORS,
    ENV_NAME,
    ENV_NAME_RULE,
    FIELDS,
    RESOURCES,
    EnvFromSource,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    subscript_of,
)
from cubernetes.api.errors import Problem


def env_problems(container: Container, field: str) -> Iterator[Problem]:
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
    sources = (origin.field_ref, origin.resource_field_ref, *keys.values())
    yield from _one_of(sources, field)
    if origin.resource_field_ref is not None:
        yield from resource_problems(origin.resource_field_ref, f"{field}.resourceFieldRef")
    if origin.field_ref is not None:
        yield from field_problems(origin.field_ref, f"{field}.fieldRef", FIELDS)
    for part, ref in keys.items():
        if ref is not None:
            yield from _name_problems(ref.name, f"{field}.{part}.name")
            if not ref.key:
                yield Problem(f"{field}.{part}.key", "is required", "FieldValueRequired")


def resource_problems(ref: ResourceFieldSelector, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the amount of a container that is named at field."""
    if ref.resource not in RESOURCES:
        message = f"must be one of {', '.join(RESOURCES)}"
        yield Problem(f"{field}.resource", message, "FieldValueNotSupported")
    allowed = CPU_DIVISORS if ref.resource.endswith(".cpu") else DIVISORS
    if ref.divisor is not None and ref.divisor not in allowed:
        listed = ", ".join(sorted(str(one) for one in allowed if one.amount))
        yield Problem(f"{field}.divisor", f"must be one of {listed}")


def field_problems(
    ref: ObjectFieldSelector, field: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is wrong with the field of a pod that is named at field; allowed are whole."""
    subscript = subscript_of(ref.field_path)
    if ref.api_version not in ("", "v1"):
        yield Problem(f"{field}.apiVersion", "must be v1", "FieldValueNotSupported")
    if subscript is not None and not names.is_label_key(subscript[1].lower()):
        yield Problem(f"{field}.fieldPath", names.LABEL_KEY_RULE)
    elif subscript is None and ref.field_path not in allowed:
        listed = ", ".join((*allowed, "metadata.labels['key']", "metadata.annotations['key']"))
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
