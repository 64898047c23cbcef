"""From the body of a PATCH to a function from the object as it is to the tree that it becomes."""

from collections.abc import Callable

from apiserver.call import Call, media_of
from cubernetes.api import codec
from cubernetes.api.errors import BadRequest, UnsupportedMediaType
from cubernetes.api.meta import Model
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import jsonpatch, patch, strategic

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
STEPS = "application/json-patch+json"


def patch_in(call: Call) -> Callable[[Model], Tree]:
    """Return what the body's patch makes of an object.

    Raises: BadRequest, RequestTooLarge, UnsupportedMediaType: server-side apply, for one.
    """
    media = media_of(call.request.headers.get("content-type", ""))
    if media == STEPS:
        steps = jsonpatch.steps_of(_list_in(call.request.body))
        return lambda old: jsonpatch.patched(codec.to_tree(old), steps)
    # A body without a type is taken as JSON everywhere; for a patch that is the plain merge.
    merge = {MERGE: patch.merged, STRATEGIC: strategic.merged, "application/json": patch.merged}
    if media not in merge:
        raise UnsupportedMediaType(f"{media[:80]!r}: send {MERGE}, {STRATEGIC} or {STEPS}")
    change = jsontext.tree_of(call.request.body)
    return lambda old: merge[media](codec.to_tree(old), change)


def _list_in(body: bytes) -> object:
    """Read a list as strictly as every object is read: inside one."""
    tree = jsontext.tree_of(b'{"steps":' + body + b"}")
    if tree.keys() != {"steps"}:
        raise BadRequest("the body is not valid JSON")
    return tree["steps"]
