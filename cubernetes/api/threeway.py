"""Three-way apply: what a file says, what it said before, and what others have made of it. Pure.

A field that the file sets is set. A field that it set before and sets no more is removed. What it
never mentioned belongs to others (defaults, controllers, people) and stays. Lists whose entries
have a key (containers by name, ports by number) are merged entry by entry, others as a whole.
"""

import json
from typing import Any, cast

from cubernetes.api.codec import Tree
from cubernetes.api.strategic import MERGE_KEYS

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


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
    return _merged_map(last, live, wanted, "")


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


def _merged_map(last: Any, live: Any, wanted: Tree, above: str) -> Tree:
    before: Tree = last if isinstance(last, dict) else {}
    there: Tree = live if isinstance(live, dict) else {}
    given_up = before.keys() - wanted.keys()
    result = {key: value for key, value in there.items() if key not in given_up}
    for key, value in wanted.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged_map(before.get(key), there.get(key), value, key)
        elif isinstance(value, list) and (by := _merge_key(above, key)):
            result[key] = _merged_list(before.get(key), there.get(key), value, by, key)
        else:
            result[key] = value
    return result


def _merged_list(last: Any, live: Any, wanted: list[Any], by: str, field: str) -> list[Any]:
    """Merge entry by entry: the file's in its order, then those of others in theirs."""
    before, there = _by_key(last, by), _by_key(live, by)
    listed = _by_key(wanted, by)
    if len(listed) < len(wanted):
        # An entry without its key, or two with the same: the server will say what is wrong.
        return wanted
    mine = [
        _merged_map(before.get(key), there.get(key), entry, field) for key, entry in listed.items()
    ]
    others = [entry for key, entry in there.items() if key not in listed and key not in before]
    return mine + others


def _merge_key(above: str, field: str) -> str:
    return MERGE_KEYS.get((above, field)) or MERGE_KEYS.get(("", field), "")


def _by_key(entries: Any, by: str) -> dict[tuple[Any, str], Tree]:
    """Return entries under their key. A port is told by its protocol too: 53 may be there twice."""
    listed = entries if isinstance(entries, list) else []
    return {
        (entry[by], str(entry.get("protocol", "TCP"))): entry
        for entry in listed
        if isinstance(entry, dict) and isinstance(entry.get(by), str | int)
    }


def _without_note(tree: Tree) -> Tree:
    metadata = tree.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return tree
    kept = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**tree, "metadata": {**metadata, "annotations": kept}}
