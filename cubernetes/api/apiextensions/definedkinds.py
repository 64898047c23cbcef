"""The kinds that definitions make: a class for each version, as every other kind has one. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, cast

from cubernetes.api.apiextensions.customresourcedefinition import (
    CustomResourceColumnDefinition,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionVersion,
    CustomResourceSubresources,
)
from cubernetes.api.apiextensions.naming import is_established
from cubernetes.api.custom.objects import CustomObject, ScalePaths, steps_of
from cubernetes.api.custom.shapes import ANYTHING
from cubernetes.api.meta import Column, Object, age_of, short_span
from cubernetes.api.notation.jsonpath import path_of, values_at
from cubernetes.api.notation.jsonpath import shown as text_of
from cubernetes.api.resource import VERBS, Resource

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


class Followed(Object, forbid_unknown_fields=False):
    """An object of a custom kind as its owners know it: its metadata, and nothing else of it."""

    api_version: str = ""
    kind: str = ""


def kinds_of(definition: CustomResourceDefinition) -> tuple[type[CustomObject], ...]:
    """Return a kind for each version; the one that is stored comes first.

    A version that is not served has no verbs.
    """
    versions = definition.spec.versions
    called = definition.status.accepted_names
    storage = next(one for one in versions if one.storage)
    first = _kind_of(definition, called, storage, None)
    others = (one for one in versions if not one.storage and one.served)
    return (first, *(_kind_of(definition, called, one, first) for one in others))


def followed_resource(definition: CustomResourceDefinition) -> Resource | None:
    """Return as what owners and namespaces follow its objects; None: it is not served."""
    served = [one for one in definition.spec.versions if one.served]
    if not served or not is_established(definition):
        return None
    version = min(served, key=lambda one: (not one.storage, version_rank(one.name)))
    called = definition.status.accepted_names
    # Of its names no more than finds it: others may change, and the objects are the same.
    return Resource(
        definition.spec.group,
        version.name,
        called.kind,
        called.plural,
        namespaced=definition.spec.scope == "Namespaced",
        is_custom=True,
    )


def followed_kind(resource: Resource) -> type[Object]:
    return _made(Followed, resource.kind, {"resource": resource, "columns": ()})


def undefined_kind(resource: Resource) -> type[CustomObject]:
    """Return a kind of which no definition is at hand: its objects may have any field."""
    facts = {"resource": resource, "columns": tuple(_columns(())), "shape": ANYTHING}
    return cast(type[CustomObject], _made(CustomObject, resource.kind, facts))


def version_rank(name: str) -> tuple[Any, ...]:
    """Return what versions are ordered by: v2, v1, v1beta1, v1alpha1, then others by name."""
    found = _VERSION.fullmatch(name)
    if found is None:
        return (1, name)
    stability = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (0, stability, -int(found[1]), -int(found[3] or 0))


def _kind_of(
    definition: CustomResourceDefinition,
    called: CustomResourceDefinitionNames,
    version: CustomResourceDefinitionVersion,
    stored_as: type[Object] | None,
) -> type[CustomObject]:
    resource = _resource_of(definition, called, version)
    scale = version.subresources.scale if version.subresources is not None else None
    paths = None
    if scale is not None:
        texts = (scale.spec_replicas_path, scale.status_replicas_path)
        selector = steps_of(scale.label_selector_path) if scale.label_selector_path else ()
        paths = ScalePaths(steps_of(texts[0]), steps_of(texts[1]), selector)
    facts = {
        "resource": resource,
        "columns": tuple(_columns(version.additional_printer_columns)),
        "selectable": {
            one.json_path.lstrip("."): _text_at(one.json_path) for one in version.selectable_fields
        },
        "shape": version.schema.open_apiv3_schema,
        "scale": paths,
        "stored_as": stored_as,
        "deprecation": _deprecation(version, resource) if version.deprecated else "",
    }
    return cast(type[CustomObject], _made(CustomObject, called.kind, facts))


def _made(base: type[Object], name: str, facts: dict[str, Any]) -> type[Object]:
    resource = facts["resource"]
    module = f"custom.{resource.group}.{resource.version}.{resource.plural}"
    about = {"__module__": module, "__doc__": f"{name}: a kind that this cluster defines."}
    make = cast(Any, type(base))
    return cast(type[Object], make(name, (base,), about | facts))


def _resource_of(
    definition: CustomResourceDefinition,
    called: CustomResourceDefinitionNames,
    version: CustomResourceDefinitionVersion,
) -> Resource:
    parts = version.subresources or CustomResourceSubresources()
    has = (("status", parts.status), ("scale", parts.scale))
    return Resource(
        definition.spec.group,
        version.name,
        called.kind,
        called.plural,
        called.short_names,
        namespaced=definition.spec.scope == "Namespaced",
        subresources=tuple(name for name, one in has if one is not None) if version.served else (),
        categories=called.categories,
        verbs=VERBS if version.served else (),
        is_custom=True,
        singular_name=called.singular,
        list_name=called.list_kind,
    )


def _deprecation(version: CustomResourceDefinitionVersion, resource: Resource) -> str:
    told = f"{resource.api_version} {resource.kind} is deprecated"
    return version.deprecation_warning or told


def _columns(wanted: Iterable[CustomResourceColumnDefinition]) -> Iterator[Column]:
    yield Column("Name", lambda one, _: one.metadata.name)
    columns = tuple(wanted)
    if not columns:
        yield Column("Age", age_of)
    for one in columns:
        yield Column(one.name, _cell(one), wide=one.priority > 0)


def _cell(column: CustomResourceColumnDefinition) -> Callable[[Any, datetime], str | int]:
    path, is_date = path_of(column.json_path), column.type == "date"
    if column.json_path == ".metadata.creationTimestamp":
        return age_of

    def cell(one: Any, now: datetime) -> str | int:
        found = values_at(path, _plain(one))
        if not found or found[0] is None:
            return ""
        if is_date:
            return _age(found[0], now)
        if column.type == "integer" and isinstance(found[0], int):
            return int(found[0])
        return ",".join(text_of(each) for each in found) if len(found) > 1 else text_of(found[0])

    return cell


def _age(value: Any, now: datetime) -> str:
    try:
        return short_span((now - datetime.fromisoformat(str(value))).total_seconds())
    except (ValueError, TypeError):
        return "<invalid>"


def _text_at(json_path: str) -> Callable[[Any], str]:
    path = path_of(json_path)

    def read(one: Any) -> str:
        found = values_at(path, one.tree())
        return text_of(found[0]) if found and found[0] is not None else ""

    return read


def _plain(one: CustomObject) -> dict[str, Any]:
    """Return an object as a path sees it; of its metadata what columns show."""
    meta = one.metadata
    metadata = {
        "name": meta.name,
        "namespace": meta.namespace,
        "labels": dict(meta.labels),
        "annotations": dict(meta.annotations),
        "generation": meta.generation,
        "uid": meta.uid,
    }
    if meta.creation_timestamp is not None:
        metadata["creationTimestamp"] = meta.creation_timestamp.isoformat()
    if meta.deletion_timestamp is not None:
        metadata["deletionTimestamp"] = meta.deletion_timestamp.isoformat()
    return one.tree() | {"metadata": metadata}
