"""As much of JSON Schema as our OpenAPI documents use: where a value is not as a schema says."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

type Tree = dict[str, Any]

INT32_MAX = 2**31 - 1


def resolved(one: Tree, document: Tree) -> Tree:
    """Follow references, also those that stand as the only one of an allOf."""
    if "allOf" in one:
        (one,) = one["allOf"]
    if "$ref" not in one:
        return one
    found = document
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def problems(value: object, told: Tree, document: Tree, path: str = "") -> Iterator[str]:
    """Yield where a value is not as a schema says, unknown fields included."""
    one = resolved(told, document)
    branches = one.get("oneOf", ())
    if branches and all(any(problems(value, each, document)) for each in branches):
        yield f"{path}: is none of these"
    match one.get("type"), value:
        case ("object", dict()):
            yield from _fields(value, one, document, path)
        case ("array", list()):
            if len(value) > one.get("maxItems", len(value)):
                yield f"{path}: is too long"
            for index, each in enumerate(value):
                yield from problems(each, one["items"], document, f"{path}[{index}]")
        case _:
            if not is_scalar(value, one):
                yield f"{path}: is not as {one}"


def _fields(value: Tree, one: Tree, document: Tree, path: str) -> Iterator[str]:
    for name in one.get("required", ()):
        if name not in value:
            yield f"{path}.{name}: is required"
    known = one.get("properties", {})
    for name, each in value.items():
        below = known.get(name, one.get("additionalProperties"))
        if below is None:
            yield f"{path}.{name}: is unknown"
        else:
            yield from problems(each, below, document, f"{path}.{name}")


def is_scalar(value: object, one: Tree) -> bool:
    """Whether a plain value is as a schema says that has no parts."""
    match one.get("type"):
        case None:
            return True
        case "string":
            is_time = one.get("format") == "date-time"
            is_listed = value in one.get("enum", [value])
            return isinstance(value, str) and is_listed and (not is_time or is_instant(value))
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and is_within(value, one)
        case _:
            return False


def is_within(value: int, one: Tree) -> bool:
    lowest: int = one.get("minimum", value)
    highest: int = one.get("maximum", INT32_MAX if one.get("format") == "int32" else value)
    return lowest <= value <= highest


def is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
