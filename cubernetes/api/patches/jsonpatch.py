"""JSON patch (RFC 6902): a list of small steps, all of them or none. Pure.

The target is a tree of our own making and is changed in place; callers pass a fresh one.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import BadRequest, Invalid, Problem, RequestTooLarge
from cubernetes.api.notation.jsontext import BODY_BYTES_MAX, DEPTH_MAX, Tree, deeper_than

OPS_MAX = 1000


class Step(msgspec.Struct, frozen=True, kw_only=True, rename={"source": "from"}):
    """One operation; fields that it does not know are ignored, as the RFC says."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: Annotated[str, msgspec.Meta(max_length=2000)]
    source: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    value: Any = msgspec.UNSET


def steps_of(listed: object) -> tuple[Step, ...]:
    """Read the body of a patch, already parsed.

    Raises: BadRequest, RequestTooLarge.
    """
    if isinstance(listed, list) and len(listed) > OPS_MAX:
        raise RequestTooLarge(f"patch: {len(listed)} operations, at most {OPS_MAX}")
    try:
        return msgspec.convert(listed, tuple[Step, ...])
    except msgspec.ValidationError as error:
        raise BadRequest(f"patch: not a JSON patch: {error}") from error


def patched(target: Tree, steps: Sequence[Step]) -> Tree:
    """Return target after all steps.

    Raises:
        BadRequest: a path is malformed, would replace the whole object, or nests too deep.
        Invalid: a test fails, or a path is not there.
        RequestTooLarge: altogether, it copies and moves more than a body may hold.
    """
    carried_bytes = 0
    for index, step in enumerate(steps):
        where = f"patch[{index}]"
        parts = _parts(step.path, where)
        match step.op:
            case "add" | "replace":
                _put(target, parts, _value(step, where), where, is_new=step.op == "add")
            case "remove":
                _take(target, parts, where)
            case "test":
                if not _is_same(_get(target, parts, where), _value(step, where)):
                    raise _refused(f"{where}.value", f"the test at {step.path!r} fails")
            case _:
                source = _parts(step.source, where)
                # Copies of copies double, and what is carried costs its size: both have an end.
                carried_bytes += len(msgspec.json.encode(_get(target, source, where)))
                if carried_bytes > BODY_BYTES_MAX:
                    raise RequestTooLarge(f"patch: copies or moves over {BODY_BYTES_MAX} bytes")
                _carry(target, step.op, source, parts, where)
    return target


def _carry(target: Tree, op: str, source: list[str], parts: list[str], where: str) -> None:
    if op == "move":
        if parts[: len(source)] == source and len(parts) > len(source):
            raise BadRequest(f"{where}: cannot move a value into itself")
        _put(target, parts, _take(target, source, where), where, is_new=True)
        return
    _put(target, parts, deepcopy(_get(target, source, where)), where, is_new=True)


def _parts(path: str, where: str) -> list[str]:
    if not path.startswith("/"):
        raise BadRequest(f"{where}: the path {path[:80]!r} must begin with '/'")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _value(step: Step, where: str) -> Any:
    if step.value is msgspec.UNSET:
        raise BadRequest(f"{where}.value: is required")
    return deepcopy(step.value)


def _parent(target: Tree, parts: list[str], where: str) -> Any:
    return _get(target, parts[:-1], where)


def _get(target: Any, parts: Sequence[str], where: str) -> Any:
    for part in parts:
        if isinstance(target, dict) and part in target:
            target = target[part]
        elif isinstance(target, list):
            target = target[_index(part, len(target) - 1, where)]
        else:
            raise _refused(where, f"there is nothing at {part[:80]!r}")
    return target


def _put(target: Tree, parts: list[str], value: Any, where: str, *, is_new: bool) -> None:
    # Here, since moves and copies into one another would sink as deep as there are steps.
    if isinstance(value, dict | list) and deeper_than(value, DEPTH_MAX - len(parts)):
        raise BadRequest(f"{where}: nesting deeper than {DEPTH_MAX}")
    parent, last = _parent(target, parts, where), parts[-1]
    if isinstance(parent, dict):
        if not is_new and last not in parent:
            raise _refused(where, f"there is nothing at {last[:80]!r}")
        parent[last] = value
    elif not isinstance(parent, list):
        raise _refused(where, f"there is nothing at {last[:80]!r}")
    elif is_new:
        index = len(parent) if last == "-" else _index(last, len(parent), where)
        parent.insert(index, value)
    else:
        parent[_index(last, len(parent) - 1, where)] = value


def _take(target: Tree, parts: list[str], where: str) -> Any:
    parent, last = _parent(target, parts, where), parts[-1]
    if isinstance(parent, dict) and last in parent:
        return parent.pop(last)
    if isinstance(parent, list):
        return parent.pop(_index(last, len(parent) - 1, where))
    raise _refused(where, f"there is nothing at {last[:80]!r}")


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON does: to Python, 1 and true are equal."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case dict(), dict():
            same = one.keys() == other.keys()
            return same and all(_is_same(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_is_same, one, other))
        case _:
            return bool(one == other)


def _index(part: str, most: int, where: str) -> int:
    is_number = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
    if not is_number or len(part) > 6 or int(part) > most:
        raise _refused(where, f"there is no entry {part[:80]!r}")
    return int(part)


def _refused(field: str, why: str) -> Invalid:
    return invalid("Patch", "", [Problem(field, why)])
