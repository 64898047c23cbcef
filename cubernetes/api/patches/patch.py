"""JSON merge patch (RFC 7386): what a change makes of a tree. Pure, and never in place."""

from typing import Any

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import DEPTH_MAX, Tree


def merged(target: Tree, change: Tree) -> Tree:
    """Return target with change merged in: null removes a field, lists are replaced whole.

    Raises: BadRequest: the change is nested deeper than any object may be.
    """
    return _merged(target, change, DEPTH_MAX)


def _merged(target: Any, change: Tree, depth_left: int) -> Tree:
    if not depth_left:
        raise BadRequest(f"patch: nesting deeper than {DEPTH_MAX}")
    result: Tree = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result.get(key), value, depth_left - 1)
        else:
            result[key] = value
    return result
