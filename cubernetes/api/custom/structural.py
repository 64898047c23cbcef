"""Whether a schema is structural, as Kubernetes asks of every definition: what is wrong with one.

Pure. Source: KEP-1693 "Vanilla OpenAPI Subset: Structural Schema", and what the API says of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cubernetes.api.custom import patterns
from cubernetes.api.custom.shapes import (
    EMBEDDED,
    INT_OR_STRING,
    PRESERVE,
    Shape,
    defaulted,
    pruned,
)
from cubernetes.api.custom.validation import is_number, problems
from cubernetes.api.errors import Problem

TYPES = ("string", "integer", "number", "boolean", "array", "object")
LIST_TYPES, MAP_TYPES = ("atomic", "set", "map"), ("granular", "atomic")
RULES = "x-kubernetes-validations"
# What is refused, and why.
UNSUPPORTED: Mapping[str, str] = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
    "id": "id is not supported",
    "deprecated": "deprecated is not supported",
}
KNOWN = frozenset(
    {"description", "type", "format", "title", "default", "maximum", "exclusiveMaximum", "minimum"}
    | {"exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems"}
    | {"uniqueItems", "multipleOf", "enum", "maxProperties", "minProperties", "required", "items"}
    | {"allOf", "oneOf", "anyOf", "not", "properties", "additionalProperties", "externalDocs"}
    | {"example", "nullable", PRESERVE, "x-kubernetes-embedded-resource", INT_OR_STRING, RULES}
    | {"x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type"}
    | {"$schema", "additionalItems"}
)
# What may not stand within allOf, anyOf, oneOf and not.
OUTSIDE = ("description", "title", "default", "additionalProperties", "nullable", PRESERVE)


class Form(NamedTuple):
    """What the value of a word may be, and how that is said."""

    holds: Callable[[Any], bool]
    told: str


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_COUNT = Form(_is_count, "must be a whole number")
_NUMBER = Form(is_number, "must be a number")
_SCHEMAS = Form(_are_schemas, "must be a list of schemas")
_LIST = Form(lambda value: isinstance(value, list), "must be a list")
_TEXT = Form(lambda value: isinstance(value, str), "must be a string")
_TEXTS = Form(_are_texts, "must be a list of strings")
_FLAG = Form(lambda value: isinstance(value, bool), "must be true or false")
FORMS: Mapping[str, Form] = {
    "properties": Form(
        lambda value: isinstance(value, Mapping) and all(map(_is_schema, value.values())),
        "must be an object of schemas",
    ),
    "not": Form(_is_schema, "must be a schema"),
    "items": Form(_is_schema, "items must be a schema object and not an array"),
    "additionalProperties": Form(
        lambda value: isinstance(value, bool | Mapping), "must be a schema or true"
    ),
    "enum": _LIST,
    RULES: Form(_are_schemas, "must be a list of rules"),
    "externalDocs": Form(lambda value: isinstance(value, Mapping), "must be an object"),
    **dict.fromkeys(("required", "x-kubernetes-list-map-keys"), _TEXTS),
    **dict.fromkeys(("description", "title", "format", "pattern", "$schema"), _TEXT),
    **dict.fromkeys(("nullable", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems"), _FLAG),
    **dict.fromkeys((PRESERVE, EMBEDDED, INT_OR_STRING), _FLAG),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _SCHEMAS),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems"), _COUNT),
    **dict.fromkeys(("maxProperties", "minProperties"), _COUNT),
}


def schema_problems(shape: Shape, path: str, *, is_root: bool = True) -> Iterator[Problem]:
    """Yield what is wrong with the schema of a whole object, or of a part of one.

    A default is judged by a schema that is right alone.
    """
    found = [*_shape_problems(shape, path, is_root=is_root), *_parts(shape, path)]
    yield from found
    if not found and not is_root and "default" in shape:
        yield from _default_problems(shape, path)


def _shape_problems(shape: Shape, path: str, *, is_root: bool) -> Iterator[Problem]:
    """Yield what is wrong with a schema but for the schemas inside of it."""
    yield from _keyword_problems(shape, path)
    word = shape.get("type")
    if not word and not shape.get(INT_OR_STRING) and not shape.get(PRESERVE):
        place = "at the root" if is_root else "for specified object fields"
        yield Problem(f"{path}.type", f"must not be empty {place}", "FieldValueRequired")
    if is_root and word not in (None, "object"):
        yield Problem(f"{path}.type", "must be object at the root")
    if shape.get(INT_OR_STRING) and word:
        told = f"must be empty if {INT_OR_STRING} is true"
        yield Problem(f"{path}.type", told, "FieldValueForbidden")
    yield from _list_problems(shape, path)


def _parts(shape: Shape, path: str) -> Iterator[Problem]:
    """Yield what is wrong with the schemas inside of one."""
    fields, others = shape.get("properties"), shape.get("additionalProperties")
    if fields and others not in (None, False):
        told = "additionalProperties and properties are mutual exclusive"
        yield Problem(f"{path}.additionalProperties", told, "FieldValueForbidden")
    for where, one in _below(shape, path):
        yield from schema_problems(one, where, is_root=False)
    for where, one in _junctions(shape, path):
        yield from _junction_problems(one, where)


def _below(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    """Yield the schemas of fields, and of entries of lists, each with its path."""
    fields = shape.get("properties")
    for name, one in fields.items() if isinstance(fields, Mapping) else ():
        if isinstance(one, Mapping):
            yield f"{path}.properties[{name}]", one
    for word in ("additionalProperties", "items"):
        if isinstance(shape.get(word), Mapping):
            yield f"{path}.{word}", shape[word]


def _junctions(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    for word in ("allOf", "anyOf", "oneOf"):
        for at, one in enumerate(_list(shape.get(word))):
            if isinstance(one, Mapping):
                yield f"{path}.{word}[{at}]", one
    if isinstance(shape.get("not"), Mapping):
        yield f"{path}.not", shape["not"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _junction_problems(shape: Shape, path: str) -> Iterator[Problem]:
    for word in OUTSIDE:
        if shape.get(word):
            told = "must be undefined to be structural"
            yield Problem(f"{path}.{word}", told, "FieldValueForbidden")
    yield from _keyword_problems(shape, path)
    for where, one in (*_below(shape, path), *_junctions(shape, path)):
        yield from _junction_problems(one, where)


def _keyword_problems(shape: Shape, path: str) -> Iterator[Problem]:
    for word, value in shape.items():
        if word in UNSUPPORTED:
            yield Problem(f"{path}.{word}", UNSUPPORTED[word], "FieldValueForbidden")
        elif word not in KNOWN:
            yield Problem(f"{path}.{word}", "is no word of a schema")
        elif (form := FORMS.get(word)) is not None and not form.holds(value):
            yield Problem(f"{path}.{word}", form.told, "FieldValueTypeInvalid")
    yield from _word_problems(shape, path)


def _word_problems(shape: Shape, path: str) -> Iterator[Problem]:
    if shape.get("type") is not None and shape["type"] not in TYPES:
        listed = ", ".join(f'"{one}"' for one in sorted(TYPES))
        told = f"supported values: {listed}"
        yield Problem(f"{path}.type", told, "FieldValueNotSupported")
    if shape.get("uniqueItems"):
        told = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Problem(f"{path}.uniqueItems", told, "FieldValueForbidden")
    if shape.get("additionalProperties") is False:
        told = "additionalProperties cannot be set to false"
        yield Problem(f"{path}.additionalProperties", told, "FieldValueForbidden")
    pattern = shape.get("pattern")
    if isinstance(pattern, str):
        try:
            patterns.check(pattern)
        except patterns.Malformed as error:
            yield Problem(
                f"{path}.pattern", f"must be a valid regular expression, but isn't: {error}"
            )


def _list_problems(shape: Shape, path: str) -> Iterator[Problem]:
    kind, keys = shape.get("x-kubernetes-list-type"), shape.get("x-kubernetes-list-map-keys")
    if shape.get("type") == "array" and not isinstance(shape.get("items"), Mapping):
        yield Problem(f"{path}.items", "must be specified", "FieldValueRequired")
    for word, value, allowed in (
        ("list", kind, LIST_TYPES),
        ("map", shape.get("x-kubernetes-map-type"), MAP_TYPES),
    ):
        if value is not None and value not in allowed:
            told = "supported values: " + ", ".join(f'"{one}"' for one in allowed)
            where = f"{path}.x-kubernetes-{word}-type"
            yield Problem(where, told, "FieldValueNotSupported")
    if kind == "map" and not keys:
        told = "must not be empty if x-kubernetes-list-type is map"
        yield Problem(f"{path}.x-kubernetes-list-map-keys", told, "FieldValueRequired")
    if kind is not None and shape.get("type") != "array":
        yield Problem(f"{path}.type", "must be array if x-kubernetes-list-type is specified")
    if kind == "map" and isinstance(shape.get("items"), Mapping):
        yield from _key_problems(shape["items"], _list(keys) if _are_texts(keys) else (), path)


def _key_problems(items: Shape, keys: Iterable[str], path: str) -> Iterator[Problem]:
    said = items.get("properties")
    fields = said if isinstance(said, Mapping) else {}
    for key in keys:
        if key not in fields:
            told = "entries must all be names of item properties"
            yield Problem(f"{path}.x-kubernetes-list-map-keys", told)
        elif key not in _list(items.get("required")) and "default" not in (fields[key] or ()):
            told = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                "required property"
            )
            where = f"{path}.items.properties[{key}].default"
            yield Problem(where, told, "FieldValueRequired")


def _default_problems(shape: Shape, path: str) -> Iterator[Problem]:
    unknown: list[str] = []
    value = defaulted(shape, pruned(shape, shape["default"], "", unknown))
    where = f"{path}.default"
    if unknown:
        yield Problem(where, f"must not have unknown fields: {', '.join(unknown[:5])}")
    for one in problems(shape, value):
        field = f"{where}.{one.field}" if one.field else where
        yield one._replace(field=field, message=one.message.strip() or "is required")


def unenforced(shape: Shape) -> bool:
    """Whether a schema has rules, at any depth, that are not held to: those in CEL."""
    waiting: list[Shape] = [shape]
    while waiting:
        one = waiting.pop()
        if one.get(RULES):
            return True
        waiting += (below for _, below in (*_below(one, ""), *_junctions(one, "")))
    return False
