"""Where an object is: the path of its kind, its namespace, its name and its sub-resource.

Every path that any client of ours sends is made here. An empty name is refused, not left out:
what is left of the path would be the path of every object.
"""

from collections.abc import Iterable

from cubernetes.api.errors import BadRequest
from cubernetes.api.resource import Resource

# What no part of a path may be, or hold: each would name something else. HTTP libraries resolve the
# dots themselves, and `..` behind a namespace's pods is the namespace.
DOTS = (".", "..")
SIGNS = ("/", "%")
# What stands for itself in a path, and in a query: RFC 3986's unreserved characters, and slashes.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PLAIN_IN_PATHS = _PLAIN | frozenset(b"/")


def collection_of(resource: Resource, namespace: str = "") -> str:
    """Return the path of all objects of a kind, in a namespace or (empty) in all; not encoded.

    Raises: BadRequest: the namespace would name something else.
    """
    is_placed = resource.namespaced and namespace
    place = f"/namespaces/{_part('namespace', namespace)}" if is_placed else ""
    return f"{resource.root}{place}/{resource.plural}"


def path_of(resource: Resource, namespace: str, name: str, subresource: str = "") -> str:
    """Return the path of one object, or of a part of it; not percent-encoded.

    Raises: BadRequest, before anything is sent: a part is missing, or would name something else.
    """
    if not name:
        raise BadRequest("resource name may not be empty")
    if resource.namespaced and not namespace:
        raise BadRequest("an empty namespace may not be set when a resource name is provided")
    path = f"{collection_of(resource, namespace)}/{_part('resource name', name)}"
    return f"{path}/{_part('subresource', subresource)}" if subresource else path


def target_of(path: str, query: Iterable[tuple[str, str]] = ()) -> str:
    """Return a path and its query as the first line of a request has them: percent-encoded."""
    told = "&".join(f"{_encoded(key, _PLAIN)}={_encoded(value, _PLAIN)}" for key, value in query)
    return _encoded(path, _PLAIN_IN_PATHS) + (f"?{told}" if told else "")


def _encoded(text: str, plain: frozenset[int]) -> str:
    """Return text percent-encoded. The library's own function costs a program's start."""
    return "".join(
        chr(one) if one in plain else f"%{one:02X}"
        for one in text.encode("utf-8", "surrogateescape")
    )


def _part(what: str, text: str) -> str:
    if text in DOTS:
        raise BadRequest(f"{what} {text!r} may not be {text!r}")
    for sign in SIGNS:
        if sign in text:
            raise BadRequest(f"{what} {text[:80]!r} may not contain {sign!r}")
    return text
