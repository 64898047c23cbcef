"""What a structural schema makes of a value: unknown fields pruned, defaults filled in. Pure.

A schema is the tree of a CustomResourceDefinition's openAPIV3Schema. Values are trees as JSON has
them; they are never changed, only replaced. What is of another type than the schema says is left
as it is: `validation` tells of it.
"""

from collections.abc import Mapping
from typing import Any

from cubernetes.api.errors import RequestTooLarge
from cubernetes.api.notation.jsontext import Tree

# Of one object, and its defaults: each costs some 4 us of the program's loop.
VALUES_MAX = 50_000
# A path is told, and made for each value: its names may be long.
PATH_CHARS_MAX = 300

type Shape = Mapping[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
# What an embedded object has beside what its schema says.
ENVELOPE = frozenset({"apiVersion", "kind", "metadata"})
NOTHING: Shape = {}
ANYTHING: Shape = {PRESERVE: True}


def child_of(shape: Shape, name: str) -> Shape | None:
    """Return the schema of a field; None where the schema knows no such field."""
    if (found := shape.get("properties", NOTHING).get(name)) is not None:
        return found  # type: ignore[no-any-return]  # a schema is a tree
    others = shape.get("additionalProperties")
    if isinstance(others, Mapping):
        return others
    return NOTHING if others is True else None


class Count:
    """How many values of one object are looked at, and no more."""

    def __init__(self) -> None:
        self._left = VALUES_MAX

    def take(self, count: int) -> None:
        """Raises: RequestTooLarge."""
        self._left -= count
        if self._left < 0:
            told = f"the object has over {VALUES_MAX} values that its schema speaks of"
            raise RequestTooLarge(told)


def pruned(
    shape: Shape, value: Any, path: str, unknown: list[str], count: Count | None = None
) -> Any:
    """Return a value without what its schema does not know; its paths go to unknown.

    Raises: RequestTooLarge: it has too many values to look at each.
    """
    if not isinstance(value, list | dict):
        return value
    count = count or Count()
    count.take(len(value))
    if isinstance(value, list):
        items = _items_of(shape)
        return [pruned(items, one, f"{path}[{at}]", unknown, count) for at, one in enumerate(value)]
    kept: Tree = {}
    is_open, is_embedded = bool(shape.get(PRESERVE)), bool(shape.get(EMBEDDED))
    for name, one in value.items():
        where = (f"{path}.{name}" if path else name)[:PATH_CHARS_MAX]
        below = child_of(shape, name)
        if below is not None:
            kept[name] = pruned(below, one, where, unknown, count)
        elif is_open or (is_embedded and name in ENVELOPE):
            kept[name] = one
        else:
            unknown.append(where)
    return kept


def defaulted(shape: Shape, value: Any, count: Count | None = None) -> Any:
    """Return a value with the defaults of its schema: where a field is absent, or null in vain.

    A null that may not be, and has no default, is no field at all.

    Raises: RequestTooLarge: it has too many values, those of defaults among them.
    """
    if not isinstance(value, list | dict):
        return value
    count = count or Count()
    count.take(len(value))
    if isinstance(value, list):
        items = _items_of(shape)
        return [_filled(items, one, count) for one in value]
    made: Tree = {}
    for name, one in value.items():
        below = child_of(shape, name)
        if below is None or not _is_vain(below, one) or "default" in below:
            made[name] = one if below is None else _filled(below, one, count)
    for name, below in shape.get("properties", NOTHING).items():
        if name not in made and "default" in below:
            count.take(1)
            made[name] = defaulted(below, below["default"], count)
    return made


def _filled(shape: Shape, value: Any, count: Count) -> Any:
    """Return a value with its defaults; a null in vain is its own default."""
    if "default" in shape and _is_vain(shape, value):
        value = shape["default"]
    return defaulted(shape, value, count)


def _items_of(shape: Shape) -> Shape:
    """Return the schema of a list's entries; where none is said, they may be anything."""
    items = shape.get("items")
    return items if isinstance(items, Mapping) else ANYTHING


def _is_vain(shape: Shape, value: Any) -> bool:
    """Whether a value is a null that its schema says nothing may be."""
    is_said = bool(shape.get("type") or shape.get(INT_OR_STRING))
    return value is None and is_said and not shape.get("nullable")
