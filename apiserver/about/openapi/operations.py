"""The table of routes as OpenAPI paths: what each method takes and gives, and its parameters."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from apiserver.about.openapi.schemas import GROUP_VERSION_KIND, Schemas, Tree, group_version_kind
from apiserver.call import Route
from apiserver.strategies.registry import strategy_of
from apiserver.wire import protobuf
from apiserver.wire.bodies import YAML_MEDIA
from apiserver.wire.patches import MERGE, STEPS, STRATEGIC
from cubernetes.api.meta import Model, Object
from cubernetes.api.words import Binding, DeleteOptions, Scale, Status

# What a sub-resource is, where it is not its object itself.
PARTS: Mapping[str, type[Model]] = {"scale": Scale, "binding": Binding}
# As Kubernetes calls a verb in x-kubernetes-action, where it has a word of its own for it.
ACTIONS = {"create": "post", "update": "put"}
BODY_MEDIA = ("application/json", YAML_MEDIA[0], protobuf.MEDIA)

TEXT: Tree = {"type": "string"}
NUMBER: Tree = {"type": "integer", "minimum": 0}
TRUTH: Tree = {"type": "boolean"}


class Parameter(NamedTuple):
    name: str
    schema: Tree
    description: str


def _one_of(*values: str) -> Tree:
    return {"type": "string", "enum": list(values)}


REVISION = Parameter("resourceVersion", TEXT, "Not older than this; 0 is whatever is at hand.")
CHOICE = (
    Parameter("labelSelector", TEXT, "Only objects with these labels: app=web,tier in (a,b),!old"),
    Parameter("fieldSelector", TEXT, "Only objects with these fields: spec.nodeName=n1"),
)
DRY_RUN = Parameter("dryRun", _one_of("All"), "Decide and answer, but write nothing.")
MANAGER = Parameter("fieldManager", TEXT, "Who writes; read by nobody yet.")
WRITE = (
    DRY_RUN,
    MANAGER,
    Parameter(
        "fieldValidation",
        _one_of("Strict", "Warn", "Ignore"),
        "Whether an unknown field is refused (the default), warned of, or dropped in silence.",
    ),
)
DELETE = (
    DRY_RUN,
    Parameter("gracePeriodSeconds", NUMBER, "How long a pod may take to end; 0 is at once."),
    Parameter(
        "propagationPolicy",
        _one_of("Background", "Foreground", "Orphan"),
        "Whether what it owns goes after it, before it, or stays.",
    ),
    Parameter("orphanDependents", TRUTH, "The older way to say Orphan."),
)
LIST = (
    *CHOICE,
    Parameter("limit", NUMBER, "How many objects to give at most; the rest is behind `continue`."),
    Parameter("continue", TEXT, "Where the page before ended, as its metadata says."),
    REVISION,
    Parameter(
        "resourceVersionMatch",
        _one_of("Exact", "NotOlderThan"),
        "How the list must relate to resourceVersion.",
    ),
    Parameter("watch", TRUTH, "Give changes as they come, one JSON object a line."),
    Parameter("allowWatchBookmarks", TRUTH, "A watch also tells how far it has come."),
    Parameter("timeoutSeconds", NUMBER, "When a watch ends; 0 leaves it to the server."),
)
LOG = (
    Parameter("container", TEXT, "Whose log; a pod with one container needs no name."),
    Parameter("follow", TRUTH, "Go on as more is written."),
    Parameter("previous", TRUTH, "Of the container before the last restart."),
    Parameter("sinceSeconds", NUMBER, "Only what was written so recently."),
    Parameter("tailLines", NUMBER, "Only so many lines from the end."),
    Parameter("timestamps", TRUTH, "Each line with its time."),
)
# By verb; by sub-resource where that has its own.
PARAMETERS: Mapping[str, tuple[Parameter, ...]] = {
    "get": (REVISION,),
    "list": LIST,
    "create": WRITE,
    "update": WRITE,
    "patch": WRITE,
    "delete": DELETE,
    "deletecollection": (*CHOICE, *DELETE),
    "log": LOG,
    # Both are read strictly always.
    "binding": (DRY_RUN, MANAGER),
    "scale": (DRY_RUN, MANAGER),
}


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
            for one in _parameters(route)
        ],
        "responses": {"201" if route.verb == "create" else "200": _answer(route, schemas)},
        "x-kubernetes-action": ACTIONS.get(route.verb, route.verb),
        GROUP_VERSION_KIND: group_version_kind(_model(route)),
    }
    body = _body(route, schemas)
    return operation | ({"requestBody": {"content": body}} if body else {})


def _kind(route: Route) -> type[Object]:
    assert route.kind is not None  # noqa: S101  only routes of kinds are told of
    return route.kind


def _model(route: Route) -> type[Model]:
    return PARTS.get(route.subresource, _kind(route))


def _name(route: Route) -> str:
    """Return the operation's name: `listNamespacedPod`, `listPodForAllNamespaces`."""
    resource = _kind(route).resource
    is_inside = "{namespace}" in route.pattern
    inside = "Namespaced" if is_inside else ""
    everywhere = "ForAllNamespaces" if resource.namespaced and not is_inside else ""
    part = route.subresource.capitalize()
    return f"{route.verb}{inside}{resource.kind}{part}{everywhere}"


def _parameters(route: Route) -> tuple[Parameter, ...]:
    is_read = route.verb == "get" and route.subresource != "log"
    word = route.verb if is_read or route.subresource not in PARAMETERS else route.subresource
    return PARAMETERS[word]


def _body(route: Route, schemas: Schemas) -> Tree:
    match route.verb:
        case "create" | "update":
            return _in_every_media(schemas.of(_model(route)))
        case "patch":
            # kubectl takes the keys of lists from here only where the strategic one is named.
            change = {"schema": {"type": "object"}}
            steps = {"schema": {"type": "array", "items": {"type": "object"}}}
            return {MERGE: change, STRATEGIC: change, STEPS: steps}
        case "delete" | "deletecollection":
            return _in_every_media(schemas.of(DeleteOptions))
        case _:
            return {}


def _in_every_media(shape: Tree) -> Tree:
    return {media: {"schema": shape} for media in BODY_MEDIA}


def _answer(route: Route, schemas: Schemas) -> Tree:
    media, shape = "application/json", TEXT
    if route.subresource == "log":
        media = "text/plain"
    elif route.verb == "list":
        shape = schemas.of_list(_kind(route))
    else:
        shape = schemas.of(Status if _is_told_by_status(route) else _model(route))
    return {"description": "OK", "content": {media: {"schema": shape}}}


def _is_told_by_status(route: Route) -> bool:
    match route.verb:
        case "delete":
            return not strategy_of(_kind(route)).is_answered_with_object
        case "deletecollection":
            return True
        case _:
            return route.subresource == "binding"
