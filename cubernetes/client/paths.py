"""Where an object is: the path of its kind, its namespace, its name and its sub-resource."""

from cubernetes.api.meta import Object


def path_of(kind: type[Object], namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the path of a collection (no name) or of one object; not percent-encoded.

    Raises:
        ValueError: one part holds a slash and would name something else.
    """
    resource = kind.resource
    place = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
    parts = [resource.plural, *(part for part in (name, subresource) if part)]
    if any("/" in part for part in (namespace, *parts)):
        raise ValueError(f"no part of an object's path may hold '/': {namespace} {name}")
    return f"{resource.root}{place}/{'/'.join(parts)}"
