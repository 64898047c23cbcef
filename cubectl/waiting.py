"""Waiting for one object to become something, by watching it."""

import math
from collections.abc import Callable, Iterator

from cubectl.session import Session
from cubernetes.api.codec import Tree
from cubernetes.api.errors import Gone
from cubernetes.api.meta import Object


class TooLate(Exception):
    """The deadline passed first."""


def wait_until(
    session: Session,
    kind: type[Object],
    name: str,
    namespace: str,
    is_so: Callable[[Tree | None], bool],
    deadline_s: float,
) -> None:
    """Return when is_so says yes to the object as it is, or to None when there is none.

    Raises: TooLate.
    """
    until_s = session.monotonic() + deadline_s
    for tree in _seen(session, kind, name, namespace, until_s):
        if is_so(tree):
            return
    raise TooLate


def _seen(
    session: Session, kind: type[Object], name: str, namespace: str, until_s: float
) -> Iterator[Tree | None]:
    """Yield an object as it is and at each change, until the deadline; None while it is absent."""
    query = {"fieldSelector": f"metadata.name={name}"}
    while True:
        items, revision = session.api.list(kind, namespace, query)
        yield items[0] if items else None
        try:
            while (left_s := until_s - session.monotonic()) > 0:
                span_s = math.ceil(left_s)
                for change in session.api.watch(kind, namespace, revision, query, span_s=span_s):
                    revision = change.tree["metadata"]["resourceVersion"]
                    if change.verdict != "BOOKMARK":
                        yield None if change.verdict == "DELETED" else change.tree
        except Gone:
            continue
        return


def is_gone(uid: str) -> Callable[[Tree | None], bool]:
    """Return whether the incarnation uid is no more; a namesake is somebody else."""

    def judge(tree: Tree | None) -> bool:
        return tree is None or bool(uid and tree["metadata"].get("uid") != uid)

    return judge


def has_condition(kind: str, wanted: str = "True") -> Callable[[Tree | None], bool]:
    """Return whether a condition of a type (in any case of letters) has a status."""

    def judge(tree: Tree | None) -> bool:
        conditions = ((tree or {}).get("status") or {}).get("conditions") or []
        return any(
            str(one.get("type", "")).lower() == kind.lower()
            and str(one.get("status", "")).lower() == wanted.lower()
            for one in conditions
        )

    return judge
