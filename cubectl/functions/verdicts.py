"""What a program says of an object in a condition, and waiting until it says it."""

from collections.abc import Callable
from typing import Any

from cubectl.objects.waiting import TooLate, named, wait_until
from cubectl.session import Failed, Session
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource


def condition_in(status: Tree, kind: str) -> Tree:
    """Return a condition of a status; empty where there is none."""
    return next((one for one in status.get("conditions") or () if one["type"] == kind), {})


def await_verdict(
    session: Session,
    of: Resource,
    name: str,
    kind: str,
    late: Callable[[Tree], str],
    *,
    generation: int = 0,
) -> Tree:
    """Return a condition of an object once it is True or False.

    late: why there was none in time, by what the condition was last. generation: older ones of the
    object's spec do not count.

    Raises: Failed: there was none in time.
    """
    verdict: Tree = {}

    def is_known(trees: Any) -> bool:
        for tree in trees:
            status = tree.get("status") or {}
            if status.get("observedGeneration", 0) >= generation:
                verdict.update(condition_in(status, kind))
        return verdict.get("status") in ("True", "False")

    try:
        wait_until(session, of, session.namespace, named(name), is_known, session.choice.timeout_s)
    except TooLate as error:
        raise Failed(late(verdict)) from error
    return verdict
