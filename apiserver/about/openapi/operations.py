"""The table of routes as OpenAPI paths: what each method takes and gives, and its parameters."""

import re
from collections.abc import Iterable

from apiserver.about.openapi.schemas import GROUP_VERSION_KIND, Schemas, group_version_kind
from apiserver.call import Route
from apiserver.subresources.registry import method_of, parameters_of, subresource_named
from apiserver.wire import protobuf
from apiserver.wire.bodies import YAML_MEDIA
from apiserver.wire.parameters import TEXT, Tree
from apiserver.wire.patches import MERGE, STEPS, STRATEGIC
from cubernetes.api.bodies.envelopes import DeleteOptions, Status
from cubernetes.api.meta import Model, Object

# As Kubernetes calls a verb in x-kubernetes-action, where it has a word of its own for it.
ACTIONS = {"create": "post", "update": "put"}
JSON = "application/json"
# Subresources whose options Kubernetes writes with more than one capital.
WORDS = {"portforward": "PortForward"}
BODY_MEDIA = (JSON, YAML_MEDIA[0], protobuf.MEDIA)


def paths_of(routes: Iterable[Route], schemas: Schemas) -> Tree:
    """Return the paths of routes of kinds; what they need of schemas is made."""
    paths: dict[str, Tree] = {}
    for route in routes:
        path = paths.setdefault(route.pattern, _path(route.pattern))
        path[route.method.lower()] = _operation(route, schemas)
    return paths


def _path(pattern: str) -> Tree:
    places = [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in re.findall(r"{(\w+)}", pattern)
    ]
    return {"parameters": places} if places else {}


def _operation(route: Route, schemas: Schemas) -> Tree:
    operation: Tree = {
        "operationId": _name(route),
        "parameters": [
            {"name": one.name, "in": "query", "description": one.description, "schema": one.schema}
            for one in parameters_of(route.subresource, route.verb)
        ],
        "responses": {"201" if route.verb == "create" else "200": _answer(route, schemas)},
        "x-kubernetes-action": _action(route),
        GROUP_VERSION_KIND: _told_kind(route),
    }
    body = _body(route, schemas)
    return operation | ({"requestBody": {"content": body}} if body else {})


def _told_kind(route: Route) -> Tree:
    """Return which kind an operation is of; a stream's is that of its options, as in Kubernetes.

    kubectl looks for what a kind's patch takes among all operations of the kind.
    """
    told = group_version_kind(_model(route))
    if not _is_stream(route):
        return told
    part = WORDS.get(route.subresource, route.subresource.capitalize())
    return {**told, "kind": f"{_kind(route).resource.kind}{part}Options"}


def _kind(route: Route) -> type[Object]:
    assert route.kind is not None  # noqa: S101  only routes of kinds are told of
    return route.kind


def _model(route: Route) -> type[Model]:
    part = subresource_named(route.subresource)
    return (part and part.model) or _kind(route)


def _name(route: Route) -> str:
    """Return the operation's name: `listNamespacedPod`, `listPodForAllNamespaces`."""
    resource = _kind(route).resource
    is_inside = "{namespace}" in route.pattern
    inside = "Namespaced" if is_inside else ""
    everywhere = "ForAllNamespaces" if resource.namespaced and not is_inside else ""
    part = route.subresource.capitalize() + _ending(route)
    verb = f"connect{route.method.capitalize()}" if _is_stream(route) else route.verb
    return f"{verb}{inside}{resource.kind}{part}{everywhere}"


def _ending(route: Route) -> str:
    """Return what tells apart the routes of a subresource that hands on what stands behind it."""
    if not route.pattern.endswith("{path}"):
        return ""
    return "WithPortAndPath" if "{locator}" in route.pattern else "WithPath"


def _action(route: Route) -> str:
    return "connect" if _is_stream(route) else ACTIONS.get(route.verb, route.verb)


def _is_stream(route: Route) -> bool:
    """Whether the connection is switched to another protocol, which OpenAPI cannot tell of."""
    part = subresource_named(route.subresource)
    return part is not None and part.is_stream


def _body(route: Route, schemas: Schemas) -> Tree:
    if _is_stream(route):
        return {}
    match route.verb:
        case "create" | "update":
            return _in_every_media(schemas.of(_model(route)))
        case "patch":
            # kubectl takes the keys of lists from here only where the strategic one is named, and
            # by it it knows which kinds take one.
            change = {"schema": {"type": "object"}}
            steps = {"schema": {"type": "array", "items": {"type": "object"}}}
            own = {} if _kind(route).resource.is_custom else {STRATEGIC: change}
            return {MERGE: change, **own, STEPS: steps}
        case "delete" | "deletecollection":
            return _in_every_media(schemas.of(DeleteOptions))
        case _:
            return {}


def _in_every_media(shape: Tree) -> Tree:
    return {media: {"schema": shape} for media in BODY_MEDIA}


def _answer(route: Route, schemas: Schemas) -> Tree:
    part = subresource_named(route.subresource)
    media = part.media if part is not None else JSON
    return {"description": "OK", "content": {media: {"schema": _answered(route, schemas, media)}}}


def _answered(route: Route, schemas: Schemas, media: str) -> Tree:
    if media != JSON:
        return TEXT
    if route.verb == "list":
        return schemas.of_list(_kind(route))
    method = method_of(route.subresource, route.verb)
    told_by_status = method is None and _is_told_by_status(route)
    own = Status if told_by_status else _model(route)
    return schemas.of((method and method.answer) or own)


def _is_told_by_status(route: Route) -> bool:
    match route.verb:
        case "delete":
            return route.strategy is None or not route.strategy.is_answered_with_object
        case "deletecollection":
            return True
        case _:
            return False
