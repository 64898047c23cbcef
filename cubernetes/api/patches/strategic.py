"""Strategic merge patch, as kubectl sends it: like a merge patch, but some lists merge by a key.

Directives: `$patch: replace | delete | merge`, `$retainKeys`, `$setElementOrder/<list>`,
`$deleteFromPrimitiveList/<list>`. Which lists merge, and by which key, is Kubernetes' published
schema for the fields that our kinds have; every other list is replaced whole.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import DEPTH_MAX, Tree

# (the field above, the list) -> the key by which its entries are the same; "" above is any.
MERGE_KEYS: Mapping[tuple[str, str], str] = {
    ("", "containers"): "name",
    ("", "initContainers"): "name",
    ("", "ephemeralContainers"): "name",
    ("", "volumes"): "name",
    ("", "hostAliases"): "ip",
    ("", "env"): "name",
    ("", "volumeMounts"): "mountPath",
    ("spec", "topologySpreadConstraints"): "topologyKey",
    ("spec", "schedulingGates"): "name",
    ("spec", "imagePullSecrets"): "name",
    ("containers", "ports"): "containerPort",
    ("initContainers", "ports"): "containerPort",
    ("ephemeralContainers", "ports"): "containerPort",
    ("spec", "ports"): "port",
    ("metadata", "ownerReferences"): "uid",
    ("status", "conditions"): "type",
    ("status", "addresses"): "type",
    ("status", "podIPs"): "ip",
    ("status", "hostIPs"): "ip",
}
# Lists of plain values that merge as sets.
MERGED_SETS = frozenset({("metadata", "finalizers"), ("spec", "podCIDRs")})
# Each entry of a change copies what it is merged into: many for one would cost the square.
SAME_KEY_MAX = 16
ORDER, DROP = "$setElementOrder/", "$deleteFromPrimitiveList/"
RETAIN, DIRECTIVE = "$retainKeys", "$patch"


def merged(target: Tree, change: Tree) -> Tree:
    """Return target with change merged in.

    Raises: BadRequest: a directive is malformed, or an entry lacks its list's key.
    """
    return _merged_map(target, change, "", DEPTH_MAX)


def _merged_map(target: Any, change: Tree, above: str, depth_left: int) -> Tree:
    if not depth_left:
        raise BadRequest(f"patch: nesting deeper than {DEPTH_MAX}")
    directive = change.get(DIRECTIVE, "merge")
    if directive not in ("merge", "replace", "delete"):
        raise BadRequest(f"$patch: {str(directive)[:40]!r} is not one of replace, delete, merge")
    if directive != "merge":
        plain: Tree = _without_directives(change)
        return plain if directive == "replace" else {}
    result: Tree = dict(target) if isinstance(target, dict) else {}
    if RETAIN in change:
        kept = {token(one) for one in _listed(change[RETAIN], RETAIN)}
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in change.items():
        if not key.startswith("$"):
            _merge_field(result, key, value, above, depth_left)
    _arrange(result, change, above)
    return result


def _arrange(result: Tree, change: Tree, above: str) -> None:
    """Carry out the directives about whole lists."""
    for key, value in change.items():
        if key.startswith(DROP):
            _drop(result, key.removeprefix(DROP), value)
        elif key.startswith(ORDER):
            _order(result, key.removeprefix(ORDER), value, above)
        elif key.startswith("$") and key not in (DIRECTIVE, RETAIN):
            raise BadRequest(f"patch: unknown directive {key[:80]!r}")


def _merge_field(result: Tree, key: str, value: Any, above: str, depth_left: int) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        if value.get(DIRECTIVE) == "delete":
            result.pop(key, None)
        else:
            result[key] = _merged_map(result.get(key), value, key, depth_left - 1)
    elif isinstance(value, list) and (by := merge_key(above, key)):
        result[key] = _merged_list(result.get(key), value, by, key, depth_left - 1)
    elif isinstance(value, list) and (above, key) in MERGED_SETS:
        was = result.get(key)
        old: list[Any] = was if isinstance(was, list) else []
        known = {token(one) for one in old}
        result[key] = [*old, *(one for one in value if token(one) not in known)]
    else:
        result[key] = _without_directives(value)


def merge_key(above: str, field: str) -> str:
    """Return the key by which the entries of the list above.field merge; empty where none."""
    return MERGE_KEYS.get((above, field)) or MERGE_KEYS.get(("", field), "")


def _merged_list(target: Any, change: list[Any], by: str, field: str, depth_left: int) -> list[Any]:
    entries = [entry for entry in change if not _is_only_directive(entry)]
    if len(entries) < len(change):
        # An entry that is nothing but {"$patch": "replace"} puts the others in the list's place.
        return [_without_directives(entry) for entry in entries]
    result: dict[int, Any] = dict(enumerate(target if isinstance(target, list) else ()))
    places: dict[object, list[int]] = {}
    for place, one in result.items():
        places.setdefault(token(_key(one, by)), []).append(place)
    counted: Counter[object] = Counter()
    for place, entry in enumerate(entries, start=len(result)):
        if not isinstance(entry, dict) or by not in entry:
            raise BadRequest(f"patch: an entry of {field} lacks its merge key {by!r}")
        key = token(entry[by])
        counted[key] += 1
        if counted[key] > SAME_KEY_MAX:
            raise BadRequest(f"patch: over {SAME_KEY_MAX} entries of {field} have the same {by}")
        if entry.get(DIRECTIVE) == "delete":
            for gone in places.pop(key, ()):
                del result[gone]
        else:
            # The first of those that share a key is meant; where there is none, it is new.
            at = places.setdefault(key, [place])[0]
            result[at] = _merged_map(result.get(at, {}), entry, field, depth_left)
    return list(result.values())


def _is_only_directive(entry: Any) -> bool:
    return isinstance(entry, dict) and entry == {DIRECTIVE: "replace"}


def _key(entry: Any, by: str) -> Any:
    return entry.get(by) if isinstance(entry, dict) else None


def token(value: Any) -> object:
    """Return what stands for a JSON value where values are looked up: lists are long."""
    is_plain = value is None or isinstance(value, str | int | float)
    return value if is_plain else (json.dumps(value, sort_keys=True),)


def _drop(result: Tree, field: str, values: Any) -> None:
    gone = {token(one) for one in _listed(values, DROP + field)}
    if isinstance(result.get(field), list):
        result[field] = [one for one in result[field] if token(one) not in gone]


def _order(result: Tree, field: str, order: Any, above: str) -> None:
    """Put the entries that the order names into its order; the others keep their places."""
    entries = result.get(field)
    if not isinstance(entries, list):
        return
    by = merge_key(above, field)
    wanted = [token(_key(one, by) if by else one) for one in _listed(order, ORDER + field)]
    # The first mention of an entry counts.
    ranks = {key: rank for rank, key in reversed(list(enumerate(wanted)))}
    keys = [token(_key(one, by) if by else one) for one in entries]
    places = [index for index, key in enumerate(keys) if key in ranks]
    ordered = sorted(places, key=lambda index: ranks[keys[index]])
    arranged = list(entries)
    for place, source in zip(places, ordered, strict=True):
        arranged[place] = entries[source]
    result[field] = arranged


def _listed(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"patch: {name[:80]} must be a list")
    return value


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        plain = {key: one for key, one in value.items() if not key.startswith("$")}
        return {key: _without_directives(one) for key, one in plain.items() if one is not None}
    if isinstance(value, list):
        return [_without_directives(one) for one in value]
    return value
