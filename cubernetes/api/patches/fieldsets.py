"""Which fields an object has, as server-side apply counts them: a path each, and FieldsV1. Pure.

A path is made of what FieldsV1 is made of: `f:NAME` is a field, `k:{...}` the entry of a list with
these keys, `v:VALUE` a member of a set. Lists of Kubernetes' schema whose x-kubernetes-list-type
is map or set are taken apart; other lists, and maps that are one value (a selector, a reference),
are a field each. What is so of a custom object its own schema says.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from cubernetes.api.custom.shapes import NOTHING, Shape, child_of
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


class Form(Protocol):
    """How a value of an object is taken apart, if it is a map or a list."""

    @property
    def is_whole(self) -> bool:
        """Whether a map is one value."""
        ...

    @property
    def keys(self) -> Mapping[str, Any] | None:
        """The keys of a list's entries, each with its default; none of a set; None: one value."""
        ...

    @property
    def entry(self) -> "Form":
        """The form of a list's entries."""
        ...

    def at(self, name: str) -> "Form":
        """Return the form of a map's value."""
        ...


class Named(NamedTuple):
    """The form of a value of our own kinds: told by its field, and the one above."""

    above: str = ""
    field: str = ""

    @property
    def is_whole(self) -> bool:
        return self.field in WHOLE_MAPS

    @property
    def keys(self) -> Mapping[str, Any] | None:
        place = (self.above, self.field)
        if by := merge_key(*place):
            return MAP_KEYS.get(place) or {by: None}
        return {} if place in MERGED_SETS else None

    @property
    def entry(self) -> Form:
        return Named("", self.field)

    def at(self, name: str) -> Form:
        return Named(self.field, name)


class Shaped(NamedTuple):
    """The form of a value of a custom object, by its schema; the metadata are as of every kind."""

    shape: Shape
    is_root: bool = False

    @property
    def is_whole(self) -> bool:
        return bool(self.shape.get("x-kubernetes-map-type") == "atomic")

    @property
    def keys(self) -> Mapping[str, Any] | None:
        kind = self.shape.get("x-kubernetes-list-type")
        if kind != "map":
            return {} if kind == "set" else None
        items = self.entry
        return {
            key: items.at(key).shape.get("default")
            for key in self.shape.get("x-kubernetes-list-map-keys", ())
        }

    @property
    def entry(self) -> "Shaped":
        return Shaped(self.shape.get("items", NOTHING))

    def at(self, name: str) -> Any:
        if self.is_root and name == "metadata":
            return Named("", name)
        return Shaped(child_of(self.shape, name) or NOTHING)


OURS = Named()


def leaves_of(tree: Tree, form: Form = OURS, *, is_lenient: bool = False) -> dict[Path, Any]:
    """Return what stands at each field of a tree.

    is_lenient: of entries with one key, which stood before anybody applied, the last counts; and a
    list is one value where an entry lacks its key.

    Raises: NoKey, TooManyFields.
    """
    found: dict[Path, Any] = {}
    for count, (path, value) in enumerate(_leaves(tree, form, (), is_lenient=is_lenient)):
        if count >= FIELDS_MAX:
            raise TooManyFields(f"the object has over {FIELDS_MAX} fields that could be owned")
        if path in found and not is_lenient:
            raise NoKey(f"{shown(path[:-1])}: two entries have the key {path[-1][2:]}")
        found[path] = value
    return found


def _leaves(value: Any, form: Form, path: Path, *, is_lenient: bool) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and not form.is_whole:
        for key, child in value.items():
            below = (*path, f"f:{key}")
            yield from _leaves(child, form.at(key), below, is_lenient=is_lenient)
        return
    entries = _entries(value, form, path, is_lenient=is_lenient)
    if entries is None and path:
        yield path, value
    for name, entry in entries or ():
        yield (*path, name), None
        if isinstance(entry, dict):
            yield from _leaves(entry, form.entry, (*path, name), is_lenient=is_lenient)


def _entries(
    value: Any, form: Form, path: Path, *, is_lenient: bool
) -> list[tuple[str, Any]] | None:
    """Return the entries of a list that is taken apart; None: the value is one. Raises: NoKey."""
    if not isinstance(value, list) or not value or form.keys is None:
        return None
    try:
        return list(entries_of(value, form, path))
    except NoKey:
        if is_lenient:
            return None
        raise


def entries_of(listed: list[Any], form: Form, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each entry of a list that is taken apart, with its part of a path. Raises: NoKey."""
    keys = form.keys
    for index, entry in enumerate(listed):
        if not keys:
            yield f"v:{_text(entry)}", entry
            continue
        told = entry if isinstance(entry, dict) else {}
        chosen = {key: told.get(key, default) for key, default in keys.items()}
        if absent := [key for key, value in chosen.items() if value is None]:
            field = path[-1][2:] if path else "an entry"
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
