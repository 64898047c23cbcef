"""Server-side apply: who owns which field, what an applier's tree makes of an object. Pure.

As Kubernetes documents it (Server-Side Apply, "Conflicts", "Merge strategy"): an applier owns what
its tree says; a field that somebody else owns with another value is a conflict, unless it is
taken by force; what an applier said before and says no more goes, unless somebody else owns it.
Beyond Kubernetes: what goes takes the defaults with it that stand beside it and that nobody owns,
so that a volume of one type can become one of another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.fieldsets import (
    OURS,
    FieldSet,
    Form,
    Path,
    entries_of,
    leaves_of,
    same,
    to_v1,
)

# The server's own fields: nobody owns them.
NOBODYS = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "uid", "resourceVersion", "generation", "selfLink"),
            *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
            *("managedFields", "generateName"),
        )
    }
)
# Where the server writes of its own, beside what it fills in by default.
SERVERS = frozenset({"metadata", "status"})
# Those who write without applying are remembered one by one up to here, as in Kubernetes.
UPDATERS_MAX = 10
ANCIENT = "ancient-changes"


class Owner(NamedTuple):
    """Who writes, and how."""

    manager: str
    operation: Literal["Apply", "Update"]
    subresource: str = ""
    api_version: str = ""


type Owners = Mapping[Owner, FieldSet]


class Taken(NamedTuple):
    """A field that an applier wants otherwise, and who owns it."""

    owner: Owner
    path: Path


class Outcome(NamedTuple):
    """What becomes of an object: its tree, and who owns what then."""

    tree: Tree
    owners: Owners


class Conflicts(Exception):
    """Others own fields with other values, and the applier does not insist."""

    def __init__(self, taken: tuple[Taken, ...]) -> None:
        super().__init__(f"{len(taken)} conflicts")
        self.taken = taken


def fields_of(tree: Tree, form: Form = OURS) -> FieldSet:
    """Return the fields of a tree that somebody may own. Raises: TooManyFields."""
    return frozenset(leaves_of(tree, form, is_lenient=True)) - NOBODYS


def applied(
    live: Tree, wanted: Tree, owners: Owners, me: Owner, *, is_forced: bool, form: Form = OURS
) -> Outcome:
    """Return what the object becomes that me applies wanted to.

    Raises: Conflicts; NoKey: a list of wanted has an entry that cannot be told from others;
        TooManyFields.
    """
    asked, standing = leaves_of(wanted, form), leaves_of(live, form, is_lenient=True)
    mine = frozenset(asked) - NOBODYS
    # What is owned and not there is left out by the codec: it stands at its default.
    changed = {
        path
        for path in mine
        if not (_stands(path, asked, standing) if path in standing else _is_nothing(asked[path]))
    }
    others = {owner: fields for owner, fields in owners.items() if not _is_same(owner, me)}
    taken = tuple(
        Taken(owner, path) for owner, fields in others.items() for path in sorted(fields & changed)
    )
    if taken and not is_forced:
        raise Conflicts(taken)
    kept = {owner: fields - changed for owner, fields in others.items()}
    said = frozenset().union(*(fields for owner, fields in owners.items() if _is_same(owner, me)))
    owned = frozenset(mine).union(*kept.values())
    merged = _merged(live, wanted, form, ())
    tree = _pruned(merged, form, (), to_v1(said - mine), to_v1(owned))
    # What is gone from the object nobody owns.
    there = frozenset(leaves_of(tree, form, is_lenient=True))
    found = {owner: fields & there for owner, fields in (kept | {me: mine}).items()}
    return Outcome(tree, {owner: fields for owner, fields in found.items() if fields})


def written(old: Tree, new: Tree, owners: Owners, me: Owner, form: Form = OURS) -> Owners:
    """Return who owns what after me wrote new in the place of old without applying it.

    Raises: TooManyFields.
    """
    before, after = (leaves_of(one, form, is_lenient=True) for one in (old, new))
    changed = {path for path in after if not _stands(path, after, before)} - NOBODYS
    gone = before.keys() - after.keys()
    if not changed and not gone:
        return owners
    found = {owner: fields - changed - gone for owner, fields in owners.items()}
    if changed:
        # Who wrote last stands last.
        found[me] = found.pop(me, frozenset()) | changed
    return _bounded({owner: fields for owner, fields in found.items() if fields})


def _bounded(owners: Owners) -> Owners:
    """Return owners with those of too many updaters as one who wrote the longest ago."""
    updaters = [one for one in owners if one.operation == "Update" and one.manager != ANCIENT]
    spare = updaters[: max(0, len(updaters) - UPDATERS_MAX)]
    if not spare:
        return owners
    together: dict[Owner, FieldSet] = defaultdict(frozenset)
    for owner, fields in owners.items():
        known = owner._replace(manager=ANCIENT) if owner in spare else owner
        together[known] |= fields
    return dict(together)


def _is_same(one: Owner, other: Owner) -> bool:
    """Whether two are one applier; the version of the kind that it speaks may change."""
    return one[:3] == other[:3]


def _stands(path: Path, wanted: Mapping[Path, Any], standing: Mapping[Path, Any]) -> bool:
    return path in standing and same(wanted[path], standing[path])


def _is_nothing(value: Any) -> bool:
    return value in (False, "", [], {})


def _merged(live: Any, wanted: Any, form: Form, path: Path) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict) and not form.is_whole:
        result = dict(live)
        for key, value in wanted.items():
            result[key] = _merged(live.get(key), value, form.at(key), (*path, f"f:{key}"))
        return result
    both_lists = isinstance(live, list) and isinstance(wanted, list)
    if both_lists and form.keys is not None:
        return _merged_entries(live, wanted, form, path)
    return wanted


def _merged_entries(live: list[Any], wanted: list[Any], form: Form, path: Path) -> list[Any]:
    known: dict[str, list[Any]] = defaultdict(list)
    for name, entry in entries_of(live, form, path):
        known[name].append(entry)
    asked = dict(entries_of(wanted, form, path))
    result: list[Any] = []
    for name in _ordered(known, asked):
        if name not in asked:
            # Entries of one key, made before anybody applied, stay as they are.
            result += known[name]
        elif name in known:
            below = _merged(known[name][-1], asked[name], form.entry, (*path, name))
            result.append(below)
        else:
            result.append(asked[name])
    return result


def _ordered(known: Iterable[str], asked: Mapping[str, Any]) -> list[str]:
    """Return the entries in the applier's order; those of others stay behind whom they stood."""
    behind: dict[str, list[str]] = defaultdict(list)
    leader = ""
    for name in known:
        if name in asked:
            leader = name
        else:
            behind[leader].append(name)
    return [*behind[""], *(one for name in asked for one in (name, *behind[name]))]


def _pruned(
    value: Any,
    form: Form,
    path: Path,
    gone: Mapping[str, Any],
    owned: Mapping[str, Any],
    *,
    is_servers: bool = False,
) -> Any:
    """Return a value without what is gone and nobody owns.

    is_servers: what nobody owns was written by the server, and stays.
    """
    if isinstance(value, dict) and not form.is_whole:
        result = {}
        for key, child in value.items():
            part, below = f"f:{key}", gone.get(f"f:{key}")
            keeps = is_servers or (not path and key in SERVERS)
            if below is None:
                result[key] = child
            elif part in owned or (keeps and below):
                theirs = owned.get(part, {})
                where = (*path, part)
                left = _pruned(child, form.at(key), where, below, theirs, is_servers=keeps)
                if left or part in owned:
                    result[key] = left
        return result
    if isinstance(value, list) and form.keys is not None:
        return [
            _pruned(entry, form.entry, (*path, part), gone[part], owned[part])
            if part in gone
            else entry
            for part, entry in entries_of(value, form, path)
            if part not in gone or part in owned
        ]
    return value
