"""Models as OpenAPI schemas: fields, types, formats, bounds, and how their lists merge."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import inspect

from apiserver.about.openapi.docstrings import told_by
from apiserver.wire.parameters import Tree
from cubernetes.api.bodies.envelopes import Listing
from cubernetes.api.coding.schema import type_of
from cubernetes.api.custom.objects import CustomObject, Head
from cubernetes.api.meta import Model, Object
from cubernetes.api.patches import strategic
from cubernetes.api.quantities import QUANTITY_RULE, Quantity

INT32_MAX = 2**31 - 1
GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"
QUANTITY: Tree = {
    "description": f"It {QUANTITY_RULE}.",
    "oneOf": [{"type": "string"}, {"type": "number"}],
}


class Schemas:
    """The schemas of one document: each model once, made when it is first asked for."""

    def __init__(self, kinds: Iterable[type[Object]]) -> None:
        self.named: dict[str, Tree] = {}
        # A kind is one file: the models in it are of the group and version of that kind.
        self._resources = {kind.__module__: kind.resource for kind in kinds}

    def of(self, model: type[Model], above: str = "") -> Tree:
        """Return the reference to a model's schema.

        above is the field that it stands in: lists merge by where they are (strategic.py). Wherever
        one model stands, its lists merge alike; a test sees to it.
        """
        name = self._name_of(model)
        if name not in self.named and issubclass(model, CustomObject):
            self.named[name] = self._custom(model) | _told_kind(group_version_kind(model))
        elif name not in self.named:
            made = self._model(model, type_of(model), above)
            self.named[name] = made | _told_kind(group_version_kind(model))
        return _reference(name)

    def of_list(self, kind: type[Object]) -> Tree:
        """Return the reference to the schema of a list of a kind."""
        name = f"{self._name_of(kind)}List"
        if name not in self.named:
            fields = inspect.type_info(cast(Any, Listing)[kind])
            own = group_version_kind(kind) | {"kind": kind.resource.list_kind}
            self.named[name] = self._model(Listing, fields, "") | _told_kind(own)
        return _reference(name)

    def _custom(self, kind: type[CustomObject]) -> Tree:
        """Return the schema of a custom kind: what its definition says, in the common envelope."""
        envelope = self._model(Head, type_of(Head), "")["properties"]
        fields = {**kind.shape.get("properties", {}), **envelope}
        told = {"description": told_by(kind).summary}
        return {**told, **kind.shape, "type": "object", "properties": fields}

    def _model(self, model: type[Model], found: inspect.Type, above: str) -> Tree:
        assert isinstance(found, inspect.StructType)  # noqa: S101  every model is one
        told = told_by(model)
        schema: Tree = {"description": told.summary, "type": "object"}
        if required := [field.encode_name for field in found.fields if field.required]:
            schema["required"] = required
        schema["properties"] = {
            field.encode_name: self._field(field, above, told.fields.get(field.name, ""))
            for field in found.fields
        }
        return schema

    def _field(self, field: inspect.Field, above: str, told: str) -> Tree:
        schema = self._value(field.type, field.encode_name)
        # Beside a reference nothing counts; beside a list of one reference everything does.
        schema = {"allOf": [schema]} if "$ref" in schema else schema
        return {"description": told} | schema | _default(field) | _merging(above, field)

    def _value(self, found: inspect.Type, name: str) -> Tree:
        """Return the schema of a value that stands in the field of that name."""
        match found:
            case inspect.StructType():
                return self.of(cast(type[Model], found.cls), name)
            case inspect.VarTupleType():
                items = self._value(found.item_type, name)
                most = {} if found.max_length is None else {"maxItems": found.max_length}
                return {"type": "array", "items": items} | most
            case inspect.DictType():
                values = self._value(found.value_type, name)
                return {"type": "object", "additionalProperties": values}
            case inspect.UnionType():
                return self._union(found, name)
            case inspect.CustomType() if found.cls is Quantity:
                return self._shared("Quantity", QUANTITY)
            case _:
                return _scalar(found)

    def _union(self, found: inspect.UnionType, name: str) -> Tree:
        match [one for one in found.types if not isinstance(one, inspect.NoneType)]:
            case [only]:
                return self._value(only, name)
            case [inspect.IntType() as number, inspect.StrType() as text]:
                # Each is named by what its text says: one word has one schema, and its bounds.
                is_count = number.ge == 0
                word = "CountOrPercent" if is_count else "IntOrString"
                told = "A count or a percentage." if is_count else "A number or a text."
                both = {"oneOf": [_integer(number), _scalar(text)]}
                return self._shared(word, {"description": told, "format": "int-or-string"} | both)
            case _:
                raise AssertionError(f"{found} at {name} is not a type that our kinds use")

    def _shared(self, word: str, schema: Tree) -> Tree:
        name = f"io.cubernetes.meta.v1.{word}"
        known = self.named.setdefault(name, schema)
        assert known == schema, f"{word} has a second meaning"  # noqa: S101  one name, one schema
        return _reference(name)

    def _name_of(self, model: type[Model]) -> str:
        """Return the name of a model's schema: `io.cubernetes.core.v1.Container`.

        What belongs to no single kind is of meta.v1.
        """
        resource = self._resources.get(model.__module__)
        if resource is not None and resource.is_custom:
            group = ".".join(reversed(resource.group.split(".")))
            return f"{group}.{resource.version}.{model.__name__}"
        group = (resource.group.partition(".")[0] or "core") if resource else "meta"
        version = resource.version if resource else "v1"
        return f"io.cubernetes.{group}.{version}.{model.__name__}"


def group_version_kind(model: type[Model]) -> dict[str, str]:
    """Return what a model's apiVersion and kind say where nobody sets them; {} for mere parts."""
    if issubclass(model, CustomObject):
        own = model.resource
        return {"group": own.group, "version": own.version, "kind": own.kind}
    found = type_of(model)
    assert isinstance(found, inspect.StructType)  # noqa: S101  every model is one
    told = {field.name: _default(field).get("default", "") for field in found.fields}
    if not (told.get("kind") and told.get("api_version")):
        return {}
    group, _, version = told["api_version"].rpartition("/")
    return {"group": group, "version": version, "kind": told["kind"]}


def _told_kind(one: dict[str, str]) -> Tree:
    return {GROUP_VERSION_KIND: [one]} if one else {}


def _reference(name: str) -> Tree:
    return {"$ref": f"#/components/schemas/{name}"}


def _default(field: inspect.Field) -> Tree:
    """Return a default that says more than absence does: no empty text, zero or false."""
    value: object = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    return {"default": value} if value and isinstance(value, str | int) else {}


def _merging(above: str, field: inspect.Field) -> Tree:
    """Return how the entries of a list merge in a strategic merge patch.

    x-kubernetes-list-map-keys would be another promise, of server-side apply: that no two entries
    share the key. Here two may, as 53/TCP and 53/UDP do.
    """
    if not isinstance(field.type, inspect.VarTupleType):
        return {}
    if key := strategic.merge_key(above, field.encode_name):
        return {"x-kubernetes-patch-merge-key": key, "x-kubernetes-patch-strategy": "merge"}
    is_set = (above, field.encode_name) in strategic.MERGED_SETS
    return {"x-kubernetes-patch-strategy": "merge"} if is_set else {}


def _scalar(found: inspect.Type) -> Tree:
    match found:
        case inspect.StrType():
            return {"type": "string"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return _integer(found)
        case inspect.FloatType():
            return {"type": "number", "format": "double"}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.LiteralType():
            is_number = all(isinstance(one, int) for one in found.values)
            kind = "integer" if is_number else "string"
            return {"type": kind, "enum": list(found.values)}
        case inspect.AnyType():
            return {}
        case _:
            raise AssertionError(f"{found} is not a type that our kinds use")


def _integer(found: inspect.IntType) -> Tree:
    is_short = found.le is not None and found.le <= INT32_MAX
    bounds: Tree = {} if found.ge is None else {"minimum": found.ge}
    if found.le is not None and found.le < INT32_MAX:
        bounds["maximum"] = found.le
    return {"type": "integer", "format": "int32" if is_short else "int64"} | bounds
