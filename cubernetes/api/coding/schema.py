"""A kind's fields as a schema: every problem of a JSON tree, with its path, in one pass.

msgspec decodes fast and stops at the first error; a person who wrote a manifest wants all of them.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from cubernetes.api.coding.refusals import PROBLEMS_MAX
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model
from cubernetes.api.quantities import Quantity, QuantityInvalid


@cache
def type_of(kind: type) -> inspect.Type:
    """Return msgspec's description of a type; made once a type."""
    return inspect.type_info(kind)


def check(kind: type[Model], tree: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Return the paths of unknown fields, and what is wrong with the known ones."""
    unknown: list[str] = []
    wrong = []
    for problem in _problems(type_of(kind), tree, ""):
        if problem.reason == "Unknown":
            unknown.append(problem.field)
        else:
            wrong.append(problem)
        if len(unknown) + len(wrong) >= PROBLEMS_MAX:
            break
    return tuple(unknown), tuple(wrong)


def without_unknown(kind: inspect.Type, value: Any) -> Any:
    """Return the tree without the fields that its kind does not know."""
    match kind:
        case inspect.StructType() if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in kind.fields}
            known = value.keys() & fields.keys()
            return {key: without_unknown(fields[key], value[key]) for key in value if key in known}
        case inspect.DictType() if isinstance(value, dict):
            return {key: without_unknown(kind.value_type, one) for key, one in value.items()}
        case inspect.VarTupleType() if isinstance(value, list):
            return [without_unknown(kind.item_type, one) for one in value]
        case inspect.UnionType():
            branches = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            return without_unknown(branches[0], value) if len(branches) == 1 else value
        case _:
            return value


def _problems(kind: inspect.Type, value: Any, path: str) -> Iterator[Problem]:
    match kind:
        case inspect.StructType():
            yield from _struct(kind, value, path)
        case inspect.DictType():
            yield from _map(kind, value, path)
        case inspect.VarTupleType():
            yield from _list(kind, value, path)
        case inspect.UnionType():
            yield from _union(kind, value, path)
        case _:
            yield from _scalar(kind, value, path)


def _struct(kind: inspect.StructType, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be an object, not {_word(value)}")
        return
    fields = {field.encode_name: field for field in kind.fields}
    for key, child in value.items():
        where = f"{path}.{key}" if path else key
        if key in fields:
            yield from _problems(fields[key].type, child, where)
        else:
            yield Problem(where[:300], "unknown field", "Unknown")
    for name, field in fields.items():
        if field.required and name not in value:
            where = f"{path}.{name}" if path else name
            yield Problem(where, "is required", "FieldValueRequired")


def _map(kind: inspect.DictType, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be an object, not {_word(value)}")
        return
    for key, child in value.items():
        yield from _problems(kind.value_type, child, f"{path}[{key[:100]}]")


def _list(kind: inspect.VarTupleType, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"must be a list, not {_word(value)}")
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Problem(path, f"has {len(value)} entries, at most {kind.max_length}")
        return
    for index, child in enumerate(value):
        yield from _problems(kind.item_type, child, f"{path}[{index}]")


def _union(kind: inspect.UnionType, value: Any, path: str) -> Iterator[Problem]:
    """An optional type, or one of several scalars: right if any branch is."""
    branches = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if len(branches) == 1:
        yield from _problems(branches[0], value, path)
        return
    answers = [list(_problems(branch, value, path)) for branch in branches]
    if all(answers):
        said = " or ".join(answer[0].message.removeprefix("must be ") for answer in answers)
        yield Problem(path, f"must be {said}")


def _scalar(kind: inspect.Type, value: Any, path: str) -> Iterator[Problem]:
    if isinstance(kind, inspect.AnyType):
        return
    if isinstance(kind, inspect.CustomType):
        if kind.cls is Quantity:
            try:
                Quantity(value)
            except QuantityInvalid as error:
                yield Problem(path, str(error))
        return
    if isinstance(kind, inspect.LiteralType):
        if value not in kind.values or isinstance(value, bool):
            listed = ", ".join(repr(one) for one in kind.values)
            yield Problem(path, f"must be one of {listed}", "FieldValueNotSupported")
        return
    yield from _plain(kind, value, path)


def _plain(kind: inspect.Type, value: Any, path: str) -> Iterator[Problem]:
    match kind:
        case inspect.StrType():
            yield from _text(value, path)
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield Problem(path, f"must be true or false, not {_word(value)}")
        case inspect.IntType():
            yield from _integer(kind, value, path)
        case inspect.FloatType():
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield Problem(path, f"must be a number, not {_word(value)}")
        case inspect.DateTimeType():
            yield from _instant(value, path)
        case _:
            raise AssertionError(f"{kind} at {path} is not a type that our kinds use")


def _text(value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(path, f"must be a string, not {_word(value)}{_hint(value)}")
    elif "\x00" in value:
        yield Problem(path, "must not hold a NUL character")


def _integer(kind: inspect.IntType, value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield Problem(path, f"must be a whole number, not {_word(value)}")
        return
    low, high = kind.ge, kind.le
    if (low is not None and value < low) or (high is not None and value > high):
        yield Problem(path, f"must be between {low} and {high}")


def _instant(value: Any, path: str) -> Iterator[Problem]:
    try:
        at = msgspec.convert(value, type=datetime)
    except msgspec.ValidationError:
        at = None
    if at is None or at.tzinfo is None:
        yield Problem(path, "must be a time such as 2006-01-02T15:04:05Z (RFC 3339)")


def _word(value: Any) -> str:
    """Say what a JSON value is, and quote it where it is short."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"the string {value[:40]!r}"
        case int() | float():
            return f"the number {str(value)[:40]}"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "null"


def _hint(value: Any) -> str:
    return "; quote it" if isinstance(value, bool | int | float) else ""
