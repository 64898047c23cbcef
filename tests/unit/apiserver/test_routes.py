"""The table of routes: each path its verb, and none without a policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.backend import Backend
from apiserver.call import Call, Route
from apiserver.routes import Match, PolicyMissing, Routes, table
from apiserver.subresources.registry import SUBRESOURCES, SubresourceUnknown
from apiserver.subresources.subresource import Subresource
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.errors import MethodNotAllowed, NotFound
from cubernetes.api.registry import KINDS
from cubernetes.host.web.messages import Response

ROUTES = Routes(table(KINDS))


async def _handler(_: Backend, __: Call) -> Response:
    return Response(200, b"")


def _found(method: str, path: str) -> tuple[str, str, str, str, str]:
    match = ROUTES.match(method, path)
    kind = match.route.kind.resource.plural if match.route.kind else ""
    return match.route.verb, kind, match.route.subresource, match.namespace, match.name


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/api/v1/pods", ("list", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/", ("list", "pods", "", "a", "")),
        ("POST", "/api/v1/namespaces/a/pods", ("create", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "namespaces", "", "", "a")),
        ("PUT", "/api/v1/namespaces/a/status", ("update", "namespaces", "status", "", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "namespaces", "finalize", "", "a")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", ("get", "pods", "log", "a", "b")),
        ("POST", "/api/v1/namespaces/a/pods/b/binding", ("create", "pods", "binding", "a", "b")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/replicasets/b/scale",
            ("patch", "replicasets", "scale", "a", "b"),
        ),
        ("DELETE", "/api/v1/nodes", ("deletecollection", "nodes", "", "", "")),
    ],
)
def test_a_path_is_a_verb_on_something(
    method: str, path: str, wanted: tuple[str, str, str, str, str]
) -> None:
    assert _found(method, path) == wanted


def test_namespaces_are_not_deleted_all_at_once() -> None:
    with pytest.raises(MethodNotAllowed, match="GET, POST"):
        _found("DELETE", "/api/v1/namespaces")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/namespaces/a/pods/b/c",
        "/api/v1/teapots",
        "/apis/apps/v2",
        "/api/v1/namespaces/a/pods/..",
        "/api/v1/namespaces/../pods",
        "/api/v1/namespaces/a/pods/UPPER",
        "/api/v1/namespaces//pods",
        "/apis/apps/v1/namespaces/a/pods",
        "/api/v1/pods/" + "x" * 300,
        "//api/v1/namespaces/a/pods/b/exec",
        "///api/v1/pods",
        "/api//v1/pods",
        "/./api/v1/pods",
    ],
)
def test_w43_what_is_not_there_is_not_found(path: str) -> None:
    """W43: a name from the outside became a path; here only a legal name gets as far as a key."""
    with pytest.raises(NotFound):
        ROUTES.match("GET", path)


def test_a_path_that_does_not_take_a_method_says_which_it_takes() -> None:
    with pytest.raises(MethodNotAllowed, match="DELETE, GET, PATCH, PUT"):
        ROUTES.match("POST", "/api/v1/nodes/n1")


def test_w42_a_route_without_a_policy_does_not_start() -> None:
    with pytest.raises(PolicyMissing):
        Routes([Route("GET", "/secret", "get", _handler, None)])


@given(st.text(max_size=60))
def test_no_text_breaks_the_table(path: str) -> None:
    try:
        found = ROUTES.match("GET", path)
    except (NotFound, MethodNotAllowed):
        return
    assert isinstance(found, Match)


def test_every_route_finds_itself() -> None:
    for route in table(KINDS):
        path = route.pattern.replace("{locator}", "https:web:80")
        path = path.replace("{", "").replace("}", "")
        found = ROUTES.match(route.method, path).route
        # What is handed on is one route, whatever stands behind it.
        wanted = route.pattern.removesuffix("/{path}")
        assert found.pattern.removesuffix("/{path}") == wanted
        assert found.subresource == route.subresource


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/namespaces/a/pods/b/proxy", "b"),
        ("/api/v1/namespaces/a/pods/b/proxy/log", "b"),
        ("/api/v1/namespaces/a/services/https:b:80/proxy/x/../" + "y" * 2000, "https:b:80"),
        ("/api/v1/nodes/n1:10250/proxy/", "n1:10250"),
    ],
)
def test_what_is_behind_proxy_is_the_targets_and_a_name_may_say_how_it_is_reached(
    path: str, name: str
) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
        found = ROUTES.match(method, path)
        assert (found.route.subresource, found.name) == ("proxy", name)


@pytest.mark.parametrize("part", ["", "/log", "/exec", "/status"])
def test_a_name_with_a_port_is_nothing_but_a_way(part: str) -> None:
    with pytest.raises(NotFound):
        ROUTES.match("GET", f"/api/v1/namespaces/a/pods/http:b:80{part}")


def test_a_kind_with_a_subresource_that_is_not_registered_is_refused_by_its_name() -> None:
    class Ghost(Lease):
        resource = Lease.resource._replace(kind="Ghost", plural="ghosts", subresources=("haunt",))

    with pytest.raises(SubresourceUnknown, match="Ghost: subresources: 'haunt' is none of status"):
        list(table([Ghost]))


@pytest.mark.parametrize("one", SUBRESOURCES, ids=lambda one: one.name)
def test_every_method_of_a_subresource_is_routed_for_the_kinds_that_list_it(
    one: Subresource,
) -> None:
    kinds = [kind for kind in KINDS if one.name in kind.resource.subresources]
    found = {
        (route.kind, route.method, route.verb)
        for route in table(KINDS)
        if route.subresource == one.name
    }

    assert kinds
    assert found == {(kind, method.method, method.verb) for kind in kinds for method in one.methods}
