"""`cubectl taint`: keep pods away from nodes that do not bear it, and take that back."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import NamedTuple

from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, add_selection, selection_of
from cubectl.verbs.nodes.cordon import DRY, NODES, add_dry_run
from cubernetes.api.errors import ApiError, Conflict
from cubernetes.api.notation.jsontext import Tree

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
FORM = "write KEY=VALUE:EFFECT or KEY:EFFECT to set, KEY:EFFECT- or KEY- to remove"
ATTEMPTS = 5  # how often a node is read again that somebody else is writing too


class Change(NamedTuple):
    """One taint to be set, or to be removed: then without an effect, of every effect."""

    key: str
    value: str = ""
    effect: str = ""
    is_removal: bool = False


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl taint nodes NODE ... KEY=VALUE:EFFECT ... KEY[:EFFECT]- ..."
    parser.add_argument("words", nargs="+", metavar="nodes NODE ... TAINT ...")
    parser.add_argument("--overwrite", action="store_true", help="also change what is set")
    parser.add_argument("--all", action="store_true", help="every node")
    add_selection(parser, fields=False)
    add_dry_run(parser)


def run(options: Namespace, session: Session) -> None:
    kind, *words = options.words
    if kind not in ("node", "nodes", "no"):
        raise Misused("only nodes are tainted: cubectl taint nodes NODE KEY=VALUE:EFFECT")
    names = [word for word in words if not _is_change(word)]
    changes = [change_in(word) for word in words[len(names) :]]
    if not changes:
        raise Misused(f"at least one taint update is required: {FORM}")
    is_dry = options.dry_run != "none"
    for name in _nodes(names, options, session):
        try:
            done = _changed(name, changes, session, may_overwrite=options.overwrite, is_dry=is_dry)
        except ApiError as error:
            session.fail(safe(error.message))
        except Failed as error:
            session.fail(safe(str(error)))
        else:
            session.say(f"{name_of(NODES, name)} {done}{DRY if is_dry else ''}")


def _nodes(names: Sequence[str], options: Namespace, session: Session) -> list[str]:
    query = selection_of(options)
    if sum((bool(names), bool(query), options.all)) != 1:
        raise Misused("name nodes, or choose them by -l, or --all")
    if names:
        return [name.removeprefix("node/") for name in names]
    return [one["metadata"]["name"] for one in session.api.list(NODES, "", query).items]


def _is_change(word: str) -> bool:
    return "=" in word or ":" in word or word.endswith("-")


def change_in(word: str) -> Change:
    """Return what a word asks for. Raises: Misused."""
    text = word.removesuffix("-")
    is_removal = text != word
    pair, colon, effect = text.partition(":")
    key, _, value = pair.partition("=")
    if not key or (colon and effect not in EFFECTS) or not (colon or is_removal):
        raise Misused(f"{word[:80]!r} is no taint: {FORM}; effects are {', '.join(EFFECTS)}")
    return Change(key, value, effect, is_removal)


def tainted(
    taints: Sequence[Tree], changes: Sequence[Change], node: str, *, may_overwrite: bool
) -> list[Tree]:
    """Return the taints of a node after these changes. Pure.

    Raises: Failed: one is set already, or one to be removed is not there.
    """
    left = list(taints)
    for one in changes:
        same = [
            taint
            for taint in left
            if taint["key"] == one.key and one.effect in ("", taint["effect"])
        ]
        if one.is_removal and not same:
            told = f"{one.key}:{one.effect}" if one.effect else one.key
            raise Failed(f'taint "{told}" not found')
        if same and not one.is_removal and not may_overwrite:
            told = f"node {node} already has {one.key} taint(s) with same effect(s)"
            raise Failed(f"{told} and --overwrite is false")
        left = [taint for taint in left if taint not in same]
        if not one.is_removal:
            value = {"value": one.value} if one.value else {}
            left.append({"key": one.key, **value, "effect": one.effect})
    return left


def _changed(
    name: str, changes: Sequence[Change], session: Session, *, may_overwrite: bool, is_dry: bool
) -> str:
    """Change the taints of a node; return the word for it. Raises: ApiError, Failed."""
    for attempt in range(1, ATTEMPTS + 1):
        found = session.api.get(NODES, name, "")
        taints = found["spec"].get("taints") or []
        after = tainted(taints, changes, name, may_overwrite=may_overwrite)
        # A list goes over whole: somebody else's change since the reading must not be lost in it.
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        change = {"metadata": version, "spec": {"taints": after or None}}
        try:
            session.api.patch(NODES, name, "", change, is_dry=is_dry)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            continue
        removed = [one.is_removal for one in changes]
        if all(removed):
            return "untainted"
        return "modified" if any(removed) or may_overwrite else "tainted"
    raise AssertionError("the last attempt returns or raises")


VERB = Verb(configure, run)
