"""Three-way apply: what a file says, what it said before, and what others have made of it. Pure.

A field that the file sets is set. A field that it set before and sets no more is removed. What it
never mentioned belongs to others (defaults, controllers, people) and stays. Lists whose entries
have a key (containers by name, ports by number) are merged entry by entry, sets (finalizers) value
by value, others as a whole. A field that is one of several shapes (a Deployment's strategy, a
volume) keeps nothing of another shape. Labels, annotations, such lists and sets never go as a
whole: where the file says them no more, only what it said goes.
"""

import json
from collections import Counter
from typing import Any, cast

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.strategic import MERGED_SETS, merge_key, token

# Maps to which several add.
SHARED_MAPS = frozenset({("metadata", "labels"), ("metadata", "annotations")})
# One of several shapes: Kubernetes' schema has the patch strategy retainKeys there.
SHAPES = frozenset({("spec", "strategy"), ("volumes", "volumes")})
# Of metadata: what the server alone writes. Its uid and resourceVersion are preconditions.
SERVER_FIELDS = frozenset(
    {"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
     "managedFields", "selfLink"}
)  # fmt: skip
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def wanted_of(tree: Tree, *, has_status: bool) -> Tree:
    """Return what a file says that is anybody's to say: exported files hold the server's too.

    has_status: the kind's status is written apart, and nothing said of it here is heard.
    """
    metadata = tree.get("metadata") or {}
    own = {key: value for key, value in metadata.items() if key not in SERVER_FIELDS}
    kept = {key: value for key, value in tree.items() if key != "status" or not has_status}
    return {**kept, "metadata": own}


def annotated(wanted: Tree) -> Tree:
    """Return what a file says with a note of it, by which the next apply knows what it said."""
    plain = _without_note(wanted)
    note = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    metadata = dict(plain.get("metadata") or {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: note}
    return {**plain, "metadata": metadata}


def last_applied(live: Tree) -> Tree:
    """Return what was applied before; empty where there is no note, or none that can be read."""
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    try:
        noted = json.loads(annotations.get(LAST_APPLIED, "{}"))
    except ValueError:
        return {}
    return cast(Tree, noted) if isinstance(noted, dict) else {}


def merged(last: Tree, live: Tree, wanted: Tree) -> Tree:
    """Return what live becomes; none of the three is changed."""
    return _merged_map(last, live, wanted, "", "")


def change_between(old: Tree, new: Tree) -> Tree:
    """Return the JSON merge patch (RFC 7386) that makes new of old; empty where they are equal."""
    change: Tree = {key: None for key in old if key not in new}
    for key, value in new.items():
        was = old.get(key)
        if isinstance(value, dict) and isinstance(was, dict):
            inner = change_between(was, value)
            if inner:
                change[key] = inner
        elif key not in old or not _are_same(was, value):
            change[key] = value
    return change


def _are_same(one: Any, other: Any) -> bool:
    """Compare as JSON does: Python takes false for 0, however deep it is."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _merged_map(last: Any, live: Any, wanted: Tree, parent: str, above: str) -> Tree:
    """Merge what stands at parent.above; to the entry of a list both are the list's name."""
    before: Tree = last if isinstance(last, dict) else {}
    there: Tree = live if isinstance(live, dict) else {}
    result = dict(there)
    for key in sorted(before.keys() - wanted.keys()):
        left = _without(before[key], result.pop(key, None), above, key)
        if left:
            result[key] = left
    for key, value in wanted.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged_map(before.get(key), there.get(key), value, above, key)
        elif isinstance(value, list):
            result[key] = _merged_list(before.get(key), there.get(key), value, above, key)
        else:
            result[key] = value
    is_another = any(result.get(key) != there.get(key) for key in wanted)
    if (parent, above) in SHAPES and is_another:
        return {key: value for key, value in result.items() if key in wanted}
    return result


def _without(last: Any, live: Any, above: str, field: str) -> Any:
    """Return what is left of a field that the file says no more: what others put there."""
    if isinstance(last, dict) and isinstance(live, dict) and (above, field) in SHARED_MAPS:
        return {key: value for key, value in live.items() if key not in last}
    return _merged_list(last, live, [], above, field)


def _merged_list(last: Any, live: Any, wanted: list[Any], above: str, field: str) -> list[Any]:
    """Return the file's entries in its order, then those that others added in theirs."""
    before, there = _listed(last), _listed(live)
    if by := merge_key(above, field):
        return _merged_entries(before, there, wanted, by, field)
    if (above, field) not in MERGED_SETS:
        return wanted
    known = {token(one) for one in (*before, *wanted)}
    return [*wanted, *(one for one in there if token(one) not in known)]


def _merged_entries(
    before: list[Any], there: list[Any], wanted: list[Any], by: str, field: str
) -> list[Any]:
    """Merge entry by entry. The server will say what is wrong with one that has no key."""
    was, found = _by_key(before, by), _by_key(there, by)
    keys = [_key_of(entry, by) for entry in wanted]
    counts = Counter(keys)
    mine = [
        # Of two with one key nobody knows which is meant: they stand as the file says.
        _merged_map(was.get(key), found.get(key), entry, field, field)
        if key is not None and counts[key] == 1
        else entry
        for key, entry in zip(keys, wanted, strict=True)
    ]
    known = {None, *keys, *was}
    return mine + [entry for entry in there if _key_of(entry, by) not in known]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _by_key(entries: list[Any], by: str) -> dict[object, Tree]:
    return {key: entry for entry in entries if (key := _key_of(entry, by)) is not None}


def _key_of(entry: Any, by: str) -> object:
    """Return what tells an entry; None where nothing does.

    A port is told by its protocol too: 53 may be there twice.
    """
    key = entry.get(by) if isinstance(entry, dict) else None
    return (key, str(entry.get("protocol", "TCP"))) if isinstance(key, str | int) else None


def _without_note(tree: Tree) -> Tree:
    metadata = tree.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return tree
    kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**tree, "metadata": {**metadata, "annotations": kept}}
