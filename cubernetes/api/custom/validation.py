"""What is wrong with a value by its schema, in the words of Kubernetes' validation. Pure."""

import ipaddress
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any

from cubernetes.api.custom import patterns
from cubernetes.api.custom.shapes import EMBEDDED, INT_OR_STRING, PATH_CHARS_MAX, Shape, child_of
from cubernetes.api.errors import Problem

# As Kubernetes names what a value is, and what it may be beside that.
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "integer,string": lambda value: isinstance(value, int | str) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: is_number(value),
    "integer": lambda value: is_number(value) and value == int(value),
}
_BOUNDS: tuple[tuple[str, str, Callable[[float, float], bool], str], ...] = (
    ("minimum", "exclusiveMinimum", operator.lt, "greater"),
    ("maximum", "exclusiveMaximum", operator.gt, "less"),
)
# Of one list, so many entries are compared with each other.
SET_MAX = 100_000
JUNCTION_PROBLEMS_MAX = 1


def problems(shape: Shape, value: Any, path: str = "") -> Iterator[Problem]:
    """Yield what is wrong with a value; it is pruned and has its defaults."""
    wanted = "integer,string" if shape.get(INT_OR_STRING) else str(shape.get("type", ""))
    if value is None:
        if wanted and not shape.get("nullable"):
            yield _mistyped(path, wanted, "null")
        return
    if wanted in _TYPES and not _TYPES[wanted](value):
        yield _mistyped(path, wanted, _type_of(value))
        return
    yield from _of_any(shape, value, path)
    match value:
        case str():
            yield from _of_text(shape, value, path)
        case dict():
            yield from _of_object(shape, value, path)
        case list():
            yield from _of_list(shape, value, path)
        case int() | float() if not isinstance(value, bool):
            yield from _of_number(shape, value, path)
    yield from _of_junctions(shape, value, path)


def _of_any(shape: Shape, value: Any, path: str) -> Iterator[Problem]:
    allowed = shape.get("enum")
    if allowed is not None and not any(_same(value, one) for one in allowed):
        listed = ", ".join(_shown(one) for one in allowed)
        yield Problem(path, f"supported values: {listed}", "FieldValueNotSupported")


def _of_text(shape: Shape, value: str, path: str) -> Iterator[Problem]:
    most, least = shape.get("maxLength"), shape.get("minLength")
    if most is not None and len(value) > most:
        yield Problem(path, f"may not be more than {most} bytes", "FieldValueTooLong")
    if least is not None and len(value) < least:
        yield Problem(path, f"{path} in body should be at least {least} chars long")
    pattern = shape.get("pattern")
    if pattern and not patterns.is_matched(pattern, value):
        yield Problem(path, f"{path} in body should match '{pattern}'")
    form = shape.get("format", "")
    if form in FORMATS and not FORMATS[form](value):
        yield Problem(path, f"{path} in body must be of type {form}: {_shown(value)}")


def _of_number(shape: Shape, value: float, path: str) -> Iterator[Problem]:
    for bound, exclusive, is_past, word in _BOUNDS:
        limit = shape.get(bound)
        if limit is None:
            continue
        if shape.get(exclusive) and (value == limit or is_past(value, limit)):
            yield Problem(path, f"{path} in body should be {word} than {_shown(limit)}")
        elif is_past(value, limit):
            told = f"{path} in body should be {word} than or equal to {_shown(limit)}"
            yield Problem(path, told)
    step = shape.get("multipleOf")
    if step and not _is_multiple(value, step):
        yield Problem(path, f"{path} in body should be a multiple of {_shown(step)}")
    bits = {"int32": 31, "int64": 63}.get(shape.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        word = shape["format"]
        yield Problem(path, f"{path} in body must be of type {word}: {_shown(value)}")


def _of_object(shape: Shape, value: dict[str, Any], path: str) -> Iterator[Problem]:
    for name in shape.get("required", ()):
        if name not in value:
            yield Problem(_below(path, name), "", "FieldValueRequired")
    if shape.get(EMBEDDED):
        yield from _of_embedded(value, path)
    count, most, least = len(value), shape.get("maxProperties"), shape.get("minProperties")
    if most is not None and count > most:
        yield Problem(path, f"must have at most {most} items", "FieldValueTooMany")
    if least is not None and count < least:
        yield Problem(path, f"{path} in body should have at least {least} properties")
    for name, one in value.items():
        if (below := child_of(shape, name)) is not None:
            yield from problems(below, one, _below(path, name))


def _of_embedded(value: dict[str, Any], path: str) -> Iterator[Problem]:
    for name in ("apiVersion", "kind"):
        said = value.get(name)
        if not said:
            told = "must not be empty" if name in value else ""
            yield Problem(_below(path, name), told, "FieldValueRequired")
        elif not isinstance(said, str):
            yield _mistyped(_below(path, name), "string", _type_of(said))


def _of_list(shape: Shape, value: list[Any], path: str) -> Iterator[Problem]:
    count, most, least = len(value), shape.get("maxItems"), shape.get("minItems")
    if most is not None and count > most:
        yield Problem(path, f"must have at most {most} items", "FieldValueTooMany")
    if least is not None and count < least:
        yield Problem(path, f"{path} in body should have at least {least} items")
    items = shape.get("items")
    if isinstance(items, Mapping):
        for at, one in enumerate(value):
            yield from problems(items, one, f"{path}[{at}]")
    kind = shape.get("x-kubernetes-list-type")
    if kind in ("set", "map"):
        keys = tuple(shape.get("x-kubernetes-list-map-keys", ())) if kind == "map" else ()
        yield from _twice(value, keys, path)


def _twice(value: list[Any], keys: tuple[str, ...], path: str) -> Iterator[Problem]:
    """Yield the entries that stand again; keys: by which entries are told apart, if not whole."""
    seen: set[str] = set()
    for at, one in enumerate(value[:SET_MAX]):
        told = {key: one.get(key) for key in keys} if keys and isinstance(one, dict) else one
        text = json.dumps(told, sort_keys=True)
        if text in seen:
            yield Problem(f"{path}[{at}]", "", "FieldValueDuplicate")
        seen.add(text)


def _of_junctions(shape: Shape, value: Any, path: str) -> Iterator[Problem]:
    for one in shape.get("allOf", ()):
        yield from problems(one, value, path)
    if "anyOf" in shape and not any(_fits(one, value, path) for one in shape["anyOf"]):
        yield Problem(path, f'"{path}" must validate at least one schema (anyOf)')
    if "oneOf" in shape:
        count = sum(_fits(one, value, path) for one in shape["oneOf"])
        if count != 1:
            found = f"Found {count} valid alternatives" if count else "Found none valid"
            yield Problem(path, f'"{path}" must validate one and only one schema (oneOf). {found}')
    if "not" in shape and _fits(shape["not"], value, path):
        yield Problem(path, f'"{path}" must not validate the schema (not)')


def _fits(shape: Shape, value: Any, path: str) -> bool:
    return not list(islice(problems(shape, value, path), JUNCTION_PROBLEMS_MAX))


def _mistyped(path: str, wanted: str, found: str) -> Problem:
    told = f'{path} in body must be of type {wanted}: "{found}"'
    return Problem(path, told, "FieldValueTypeInvalid")


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    return next((word for word, holds in reversed([*_TYPES.items()]) if holds(value)), "object")


def is_number(value: Any) -> bool:
    """Whether a value is a number of JSON: true is none, nor is what no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_multiple(value: float, step: float) -> bool:
    try:
        times = value / step
        return math.isclose(times, round(times), rel_tol=0, abs_tol=1e-9)
    except OverflowError:
        # A float so far beyond its step has no fraction of it.
        return True


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one as JSON has it: 1 is not true."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:200]


def _below(path: str, name: str) -> str:
    return (f"{path}.{name}" if path else name)[:PATH_CHARS_MAX]


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def is_read(value: str) -> bool:
        try:
            read(value)
        except ValueError:
            return False
        return True

    return is_read


def _instant(value: str) -> None:
    """Raises: ValueError."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value):
        raise ValueError(value)
    datetime.fromisoformat(re.sub(r"\.\d+", "", value).upper())


_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
# Formats of texts that are held to; of another format a text may be anything, as in Kubernetes.
FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _reads(_instant),
    "date": _reads(date.fromisoformat),
    "ipv4": _reads(ipaddress.IPv4Address),
    "ipv6": _reads(ipaddress.IPv6Address),
    "cidr": _reads(lambda value: ipaddress.ip_network(value, strict=False)),
    "uuid": lambda value: _UUID.fullmatch(value) is not None,
}
