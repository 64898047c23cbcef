"""From the body of a PATCH to a function from the object as it is to the tree that it becomes."""

from collections.abc import Callable

from apiserver.call import Call, media_of
from cubernetes.api import codec, patch, strategic
from cubernetes.api.codec import Tree
from cubernetes.api.errors import UnsupportedMediaType
from cubernetes.api.meta import Model

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def patch_in(call: Call) -> Callable[[Model], Tree]:
    """Return what the body's patch makes of an object.

    Raises: BadRequest, UnsupportedMediaType: server-side apply and JSON patch among them.
    """
    media = media_of(call.request.headers.get("content-type", ""))
    # A body without a type is taken as JSON everywhere; for a patch that is the plain merge.
    merge = {MERGE: patch.merged, STRATEGIC: strategic.merged, "application/json": patch.merged}
    if media not in merge:
        raise UnsupportedMediaType(f"{media[:80]!r}: send {MERGE} or {STRATEGIC}")
    change = codec.tree_of(call.request.body)
    return lambda old: merge[media](codec.to_tree(old), change)
