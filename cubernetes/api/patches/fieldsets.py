"""Which fields an object has, as server-side apply counts them: a path each, and FieldsV1. Pure.

A path is made of what FieldsV1 is made of: `f:NAME` is a field, `k:{...}` the entry of a list with
these keys, `v:VALUE` a member of a set. Lists of Kubernetes' schema whose x-kubernetes-list-type
is map or set are taken apart; other lists, and maps that are one value (a selector, a reference),
are a field each.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.strategic import MERGED_SETS, merge_key, token

type Path = tuple[str, ...]
# What stands at each path; an entry of a list is a field of its own, whatever it holds.
type Leaves = Mapping[Path, Any]
type FieldSet = frozenset[Path]

ENTRY = "."
# x-kubernetes-list-map-keys where they are more than the key of a strategic merge patch; a key has
# the default that the schema gives it.
MAP_KEYS: Mapping[tuple[str, str], Mapping[str, str | None]] = {
    ("containers", "ports"): {"containerPort": None, "protocol": "TCP"},
    ("initContainers", "ports"): {"containerPort": None, "protocol": "TCP"},
    ("ephemeralContainers", "ports"): {"containerPort": None, "protocol": "TCP"},
    ("spec", "ports"): {"port": None, "protocol": "TCP"},
    ("spec", "topologySpreadConstraints"): {"topologyKey": None, "whenUnsatisfiable": None},
}
# x-kubernetes-map-type: atomic.
WHOLE_MAPS = frozenset(
    {"selector", "nodeSelector", "labelSelector", "namespaceSelector", "podSelector"}
    | {"secretRef", "configMapRef", "configMapKeyRef", "secretKeyRef", "fieldRef"}
    | {"resourceFieldRef", "scaleTargetRef", "targetRef", "roleRef"}
    # Schemas have more fields than are counted, and one author.
    | {"openAPIV3Schema"}
)


# Fields of one object that are counted: each costs some 20 us of processor at every write.
FIELDS_MAX = 10_000


class TooManyFields(ValueError):
    """An object has more fields than are counted."""


class NoKey(ValueError):
    """An entry of a list lacks the key by which it is told from others, or has that of another."""


def leaves_of(tree: Tree, *, is_lenient: bool = False) -> dict[Path, Any]:
    """Return what stands at each field of a tree.

    is_lenient: of entries with one key, which stood before anybody applied, the last counts.

    Raises: NoKey, TooManyFields.
    """
    found: dict[Path, Any] = {}
    for count, (path, value) in enumerate(_leaves(tree, "", "", ())):
        if count >= FIELDS_MAX:
            raise TooManyFields(f"the object has over {FIELDS_MAX} fields that could be owned")
        if path in found and not is_lenient:
            raise NoKey(f"{shown(path[:-1])}: two entries have the key {path[-1][2:]}")
        found[path] = value
    return found


def _leaves(value: Any, above: str, field: str, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and field not in WHOLE_MAPS:
        for key, child in value.items():
            yield from _leaves(child, field, key, (*path, f"f:{key}"))
    elif isinstance(value, list) and value and is_apart(above, field):
        for name, entry in entries_of(value, above, field):
            yield (*path, name), None
            if isinstance(entry, dict):
                yield from _leaves(entry, "", field, (*path, name))
    elif path:
        yield path, value


def is_apart(above: str, field: str) -> bool:
    """Whether the entries of a list are fields each."""
    return bool(merge_key(above, field)) or (above, field) in MERGED_SETS


def entries_of(listed: list[Any], above: str, field: str) -> Iterator[tuple[str, Any]]:
    """Yield each entry of a list that is taken apart, with its part of a path. Raises: NoKey."""
    keys = MAP_KEYS.get((above, field))
    if keys is None and (by := merge_key(above, field)):
        keys = {by: None}
    for index, entry in enumerate(listed):
        if keys is None:
            yield f"v:{_text(entry)}", entry
            continue
        told = entry if isinstance(entry, dict) else {}
        chosen = {key: told.get(key, default) for key, default in keys.items()}
        if absent := [key for key, value in chosen.items() if value is None]:
            raise NoKey(f"{field}[{index}]: lacks {absent[0]!r}, which is its key")
        yield f"k:{_text(chosen)}", entry


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_v1(fields: FieldSet) -> dict[str, Any]:
    """Return a set as FieldsV1 writes it: a tree of the parts of its paths."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        if path[-1][:2] in ("k:", "v:"):
            node[ENTRY] = {}
    return tree


def from_v1(tree: Mapping[str, Any]) -> FieldSet:
    """Return the set that to_v1 wrote."""
    return frozenset(_paths(tree, ()))


def _paths(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    if path and (not tree or ENTRY in tree):
        yield path
    for part, below in tree.items():
        if part != ENTRY:
            yield from _paths(below, (*path, part))


def shown(path: Path) -> str:
    """Return a path as people read it: `.spec.containers[name="web"].image`."""
    text = ""
    for part in path:
        kind, rest = part[0], part[2:]
        if kind == "f":
            text += f".{rest}"
        elif kind == "v":
            text += f"[={rest}]"
        else:
            keys = json.loads(rest)
            text += "[" + ",".join(f"{key}={_text(value)}" for key, value in keys.items()) + "]"
    return text


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is not true."""
    return token(one) == token(other) and type(one) is type(other)
