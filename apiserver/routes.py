"""Which method and path is which verb on what, who decides about it, and who carries it out.

The table is made of the registered kinds once, at start; a route without a policy is refused there.
Every name of every kind is a subdomain: nothing else in a path ever becomes a key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from apiserver.about import components, counts, discovery, health
from apiserver.about.openapi.documents import Documents, Shelf
from apiserver.call import Checks, Handler, Policy, Route
from apiserver.enrolment import joining
from apiserver.proxying.targets import is_locator
from apiserver.reviews.registry import OWN, REVIEWERS
from apiserver.strategies.registry import STRATEGIES, Strategies, strategy_of
from apiserver.subresources.registry import parameters_of, refused_of, subresources_of
from apiserver.subresources.subresource import Subresource
from apiserver.uses import custom
from apiserver.uses import metrics as uses
from apiserver.uses.targets import pod_targets, targets
from apiserver.verbs import apply, delete, read
from apiserver.verbs import write as writing
from apiserver.verbs.worded import handlers_of
from apiserver.views.components import KIND as COMPONENTS
from apiserver.views.registry import WORDINGS, kinds_shown
from apiserver.wire.parameters import COMMON, checks_of
from cubernetes.api import names
from cubernetes.api.errors import BadRequest, MethodNotAllowed, NotFound
from cubernetes.api.meta import Object
from cubernetes.host.web import routes as http

# Kinds whose objects are found when somebody asks, by the verbs that they have.
ASKED: Mapping[type[Object], Mapping[str, Handler]] = {
    COMPONENTS: components.HANDLERS,
    **uses.HANDLERS,
    **REVIEWERS,
}

# Segments of paths that are relayed: an object with how it is reached, and what is the target's.
LOCATOR, REST = "locator", "path"


class PolicyMissing(Exception):
    """A route does not say who may use it: the server does not start."""


class Match(NamedTuple):
    route: Route
    namespace: str = ""
    name: str = ""


class Routes:
    """The table as a tree, and what Kubernetes says of a path that is not in it."""

    def __init__(self, table: Iterable[Route]) -> None:
        routes = tuple(table)
        own = {
            one.kind.resource.plural: one.kind.name_rule.is_legal
            for one in routes
            # Of custom kinds a name is a subdomain, as of most.
            if one.kind and not one.kind.resource.is_custom
        }
        others = {**own, **custom.NAMES, LOCATOR: is_locator}
        self._tree = http.Routes(_checked(routes), names.is_subdomain, others, REST)

    def match(self, method: str, path: str) -> Match:
        """Return the route of a request; a slash at the end matters to the deletion of many.

        Behind it a client has left out a name, which was empty. Of slashes at the beginning only
        the first is none of a segment's: with more of them it is another path, as a proxy before us
        reads it.

        Raises: NotFound, MethodNotAllowed, BadRequest.
        """
        try:
            route, found = self._tree.match(method, path.rstrip("/"))
        except http.NoRoute as error:
            raise NotFound("the server could not find the requested resource") from error
        except http.WrongMethod as error:
            raise MethodNotAllowed(
                f"{method[:20]} is not for this path; {error}", allowed=error.allowed
            ) from error
        if route.verb == "deletecollection" and path.endswith("/"):
            raise BadRequest("resource name may not be empty")
        named = dict(found)
        name = named.get("name") or named.get(LOCATOR, "")
        return Match(route, named.get("namespace", ""), name)


def _checked(table: Iterable[Route]) -> Iterator[tuple[str, str, Route]]:
    for route in table:
        if route.policy is None:
            raise PolicyMissing(f"{route.method} {route.pattern}")
        yield route.method, route.pattern, route


def table(
    kinds: Sequence[type[Object]],
    strategies: Strategies = STRATEGIES,
    shelf: Shelf | None = None,
) -> Iterator[Route]:
    """Yield every route of the server; each of a kind has the kind's strategy.

    shelf: where the documents about kinds are kept from one table to the next.
    """
    # A version that is stored and not served has no verbs.
    kinds = tuple(kind for kind in (*kinds, *kinds_shown(kinds)) if kind.resource.verbs)
    of_kinds = [
        route._replace(
            handler=_handler(route, kind, strategies),
            strategy=strategy_of(kind, strategies),
            checks=_checks(route.subresource, route.verb),
            policy=Policy.KNOWN if kind in OWN else route.policy,
        )
        for kind in kinds
        for route in (*_of_collections(kind), *_of_objects(kind))
        # A kind may lack a verb; its parts have verbs of their own.
        if route.subresource or route.verb in kind.resource.verbs
    ]
    common = checks_of(COMMON, {})
    told = [route for route in of_kinds if f"{{{LOCATOR}}}" not in route.pattern]
    for route in _about_the_server(kinds, Documents(told, kinds, shelf)):
        yield route._replace(checks=common)
    yield from of_kinds


def _handler(route: Route, kind: type[Object], strategies: Strategies) -> Handler:
    """Return what carries a route out; what is written of a view is written in other words."""
    if kind in ASKED:
        return ASKED[kind].get(route.verb, route.handler)
    wording = WORDINGS.get(kind)
    if wording is None:
        return route.handler
    reworded = handlers_of(wording, strategy_of(wording.stored, strategies))
    return reworded.get(route.verb, route.handler)


@cache
def _checks(part: str, verb: str) -> Checks:
    return checks_of(parameters_of(part, verb), refused_of(part, verb))


def _about_the_server(kinds: Sequence[type[Object]], documents: Documents) -> Iterator[Route]:
    for path in ("/livez", "/healthz"):
        yield Route("GET", path, "get", health.livez, Policy.OPEN)
    yield Route("GET", "/readyz", "get", health.readyz, Policy.OPEN)
    yield Route("GET", "/metrics", "get", counts.metrics, Policy.ROLE, resource="metrics")
    for path, found in (("/metrics/targets", targets), ("/metrics/targets/pods", pod_targets)):
        yield Route("GET", path, "get", found, Policy.ROLE, resource="metrics")
    yield Route("GET", "/version", "get", discovery.version, Policy.OPEN)
    yield Route("GET", "/cluster-info", "get", joining.cluster_info, Policy.OPEN)
    yield Route("GET", "/api", "get", discovery.versions, Policy.KNOWN)
    groups_of = discovery.groups_of(kinds, custom.groups)
    yield Route("GET", "/apis", "get", groups_of, Policy.KNOWN)
    yield from custom.routes()
    yield Route("GET", "/openapi/v3", "get", documents.index, Policy.KNOWN)
    yield Route("GET", "/openapi/v2", "get", documents.swagger, Policy.KNOWN)
    groups = {kind.resource.root: kind.resource for kind in kinds}
    for root, resource in sorted(groups.items()):
        own = [kind for kind in kinds if kind.resource.root == root]
        yield Route("GET", root, "get", discovery.resources_of(own), Policy.KNOWN)
        yield Route("GET", f"/openapi/v3{root}", "get", documents.of(root), Policy.KNOWN)
        if resource.group:
            group = discovery.group_of(resource.group, kinds)
            yield Route("GET", f"/apis/{resource.group}", "get", group, Policy.KNOWN)
    ours = "/apis/cubernetes.io/v1"
    yield Route("POST", f"{ours}/join", "create", joining.join, Policy.ROLE, resource="join")
    tokens = f"{ours}/tokens"
    token_routes: tuple[tuple[str, str, str, Handler], ...] = (
        ("GET", tokens, "list", joining.list_tokens),
        ("POST", tokens, "create", joining.create_token),
        ("DELETE", f"{tokens}/{{name}}", "delete", joining.revoke_token),
    )
    for method, pattern, verb, handler in token_routes:
        yield Route(method, pattern, verb, handler, Policy.ROLE, resource="tokens")


def _of_collections(kind: type[Object]) -> Iterator[Route]:
    resource = kind.resource
    everywhere = f"{resource.root}/{resource.plural}"
    yield Route("GET", everywhere, "list", read.list_or_watch, Policy.ROLE, kind)
    path = everywhere
    if resource.namespaced:
        path = f"{resource.root}/namespaces/{{namespace}}/{resource.plural}"
        yield Route("GET", path, "list", read.list_or_watch, Policy.ROLE, kind)
    yield Route("POST", path, "create", writing.create, Policy.ROLE, kind)
    removing = delete.delete_collection
    yield Route("DELETE", path, "deletecollection", removing, Policy.ROLE, kind)


def _of_objects(kind: type[Object]) -> Iterator[Route]:
    resource = kind.resource
    place = "namespaces/{namespace}/" if resource.namespaced else ""
    path = f"{resource.root}/{place}{resource.plural}/{{name}}"
    verbs: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "get", read.get),
        ("PUT", "update", writing.update),
        ("PATCH", "patch", apply.patch),
        ("DELETE", "delete", delete.delete),
    )
    for method, verb, handler in verbs:
        yield Route(method, path, verb, handler, Policy.ROLE, kind)
    for part in subresources_of(resource):
        for pattern in _patterns(path, part):
            for method, verb, handler, *_ in part.methods:
                route = Route(method, pattern, verb, handler, Policy.ROLE, kind, part.name)
                yield route._replace(is_relayed=part.is_relayed)


def _patterns(path: str, part: Subresource) -> Iterator[str]:
    """Yield the paths of a part of the object at a path."""
    yield f"{path}/{part.name}"
    if part.is_relayed:
        yield f"{path}/{part.name}/{{{REST}}}"
        located = path.replace("{name}", f"{{{LOCATOR}}}")
        yield f"{located}/{part.name}/{{{REST}}}"
