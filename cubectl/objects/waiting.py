"""Waiting for objects to become something, by watching them."""

import math
from collections.abc import Callable, Iterator, Sequence

from cubectl.session import Session
from cubernetes.api.errors import Gone
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.client.wire.queries import Query, selection_query

# Tells whether what is there now is what was waited for.
type Judge = Callable[[Sequence[Tree]], bool]


class TooLate(Exception):
    """The deadline passed first."""


def named(name: str) -> Query:
    """Return the query for one object."""
    return selection_query("", f"metadata.name={name}")


def wait_until(
    session: Session,
    kind: Resource,
    namespace: str,
    query: Query,
    judge: Judge,
    deadline_s: float,
) -> None:
    """Return when judge says yes to all that the query finds.

    Raises: TooLate.
    """
    until_s = session.monotonic() + deadline_s
    for trees in _seen(session, kind, namespace, query, until_s):
        if judge(trees):
            return
    raise TooLate


def _seen(
    session: Session,
    kind: Resource,
    namespace: str,
    query: Query,
    until_s: float,
) -> Iterator[list[Tree]]:
    """Yield what there is, at once and after every change, until the deadline."""
    while True:
        items, revision = session.api.list(kind, namespace, query)
        found = {_key(tree): tree for tree in items}
        yield list(found.values())
        try:
            while (left_s := until_s - session.monotonic()) > 0:
                span_s = math.ceil(left_s)
                for change in session.api.watch(kind, namespace, revision, query, span_s=span_s):
                    revision = change.tree["metadata"]["resourceVersion"]
                    if change.verdict == "DELETED":
                        found.pop(_key(change.tree), None)
                    elif change.verdict != "BOOKMARK":
                        found[_key(change.tree)] = change.tree
                    yield list(found.values())
        except Gone:
            continue
        return


def _key(tree: Tree) -> tuple[str, str]:
    return tree["metadata"].get("namespace", ""), tree["metadata"]["name"]


def are_gone(uids: Sequence[str]) -> Judge:
    """Return whether these incarnations are no more; a namesake is somebody else."""
    return lambda trees: not any(tree["metadata"].get("uid") in uids for tree in trees)


def all_have(kind: str, wanted: str = "True") -> Judge:
    """Return whether there are objects, and all have a condition (in any case) of a status."""
    return lambda trees: bool(trees) and all(_has(tree, kind, wanted) for tree in trees)


def are_there() -> Judge:
    """Return whether there are objects."""
    return bool


def _has(tree: Tree, kind: str, wanted: str) -> bool:
    conditions = (tree.get("status") or {}).get("conditions") or []
    return any(
        str(one.get("type", "")).lower() == kind.lower()
        and str(one.get("status", "")).lower() == wanted.lower()
        for one in conditions
    )
