"""From the body of a PATCH to a function from the object as it is to the tree that it becomes."""

from collections.abc import Callable
from typing import NamedTuple

from apiserver.call import Call, media_of
from apiserver.wire.bodies import json_in
from cubernetes.api.coding import codec
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import BadRequest, UnsupportedMediaType
from cubernetes.api.meta import Model
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import jsonpatch, patch, strategic

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
STEPS = "application/json-patch+json"
# Server-side apply; where an object can be applied, its verb reads it before this does.
APPLY = "application/apply-patch+yaml"


class Patch(NamedTuple):
    """What a patch makes of an object, and what its body calls to be told of."""

    change: Callable[[Model], Tree]
    warnings: tuple[str, ...] = ()


def patch_in(call: Call) -> Patch:
    """Return what the body's patch makes of an object.

    Raises: BadRequest, RequestTooLarge, UnsupportedMediaType: server-side apply, for one.
    """
    media = media_of(call.request.headers.get("content-type", ""))
    if media == STEPS:
        listed, warnings = _list_in(call)
        steps = jsonpatch.steps_of(listed)
        return Patch(lambda old: jsonpatch.patched(codec.to_tree(old), steps), warnings)
    # A body without a type is taken as JSON everywhere; for a patch that is the plain merge.
    merge = {MERGE: patch.merged, STRATEGIC: strategic.merged, "application/json": patch.merged}
    if issubclass(call.kind, CustomObject):
        # Only models of ours say how their lists merge.
        del merge[STRATEGIC]
        if media not in merge:
            known = ", ".join((STEPS, MERGE, APPLY))
            told = "the body of the request was in an unknown format - accepted media types include"
            raise UnsupportedMediaType(f"{told}: {known}")
    if media not in merge:
        raise UnsupportedMediaType(f"{media[:80]!r}: send {MERGE}, {STRATEGIC} or {STEPS}")
    change, warnings = json_in(call)
    return Patch(lambda old: merge[media](codec.to_tree(old), change), warnings)


def _list_in(call: Call) -> tuple[object, tuple[str, ...]]:
    """Read a list as strictly as every object is read: inside one."""
    tree, warnings = json_in(call, b'{"steps":' + call.request.body + b"}")
    if tree.keys() != {"steps"}:
        raise BadRequest("the body is not valid JSON")
    return tree["steps"], warnings
