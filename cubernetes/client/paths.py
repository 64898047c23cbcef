"""Where an object is: the path of its kind, its namespace, its name and its sub-resource."""

from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import Object

# What no part of a path may be, or hold: each would name something else. HTTP libraries resolve the
# dots themselves, and `..` behind a namespace's pods is the namespace.
DOTS = (".", "..")
SIGNS = ("/", "%")


def collection_of(kind: type[Object], namespace: str = "") -> str:
    """Return the path of all objects of a kind, in a namespace or (empty) in all; not encoded.

    Raises: BadRequest: the namespace would name something else.
    """
    resource = kind.resource
    is_placed = resource.namespaced and namespace
    place = f"/namespaces/{_part('namespace', namespace)}" if is_placed else ""
    return f"{resource.root}{place}/{resource.plural}"


def path_of(kind: type[Object], namespace: str, name: str, subresource: str = "") -> str:
    """Return the path of one object, or of a part of it; not percent-encoded.

    An empty name is refused, not left out: what is left of the path is the path of every object.

    Raises: BadRequest, before anything is sent: a part is missing, or would name something else.
    """
    if not name:
        raise BadRequest("resource name may not be empty")
    if kind.resource.namespaced and not namespace:
        raise BadRequest("an empty namespace may not be set when a resource name is provided")
    path = f"{collection_of(kind, namespace)}/{_part('resource name', name)}"
    return f"{path}/{subresource}" if subresource else path


def _part(what: str, text: str) -> str:
    if text in DOTS:
        raise BadRequest(f"{what} {text!r} may not be {text!r}")
    for sign in SIGNS:
        if sign in text:
            raise BadRequest(f"{what} {text[:80]!r} may not contain {sign!r}")
    return text
