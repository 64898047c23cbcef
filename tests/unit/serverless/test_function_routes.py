"""Routes: which request leads to which function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless.board.routes import RouteMatch, RouteTable, WrongMethod
from tests.unit.serverless.functionworld import a_route

TABLE = RouteTable(
    [
        a_route("root", "/", "root"),
        a_route("plain", "/a/b", "plain"),
        a_route("one", "/a/{id}", "one"),
        a_route("two", "/a/{id}/b/{other}", "two"),
        a_route("rest", "/a/*", "rest", methods=("GET", "POST")),
        a_route("escaped", "/sp%20ace", "escaped"),
        a_route("host", "/a/b", "host", host="a.example"),
    ]
)


@pytest.mark.parametrize(
    ("path", "function", "variables"),
    [
        ("/", "root", {}),
        ("/a/b", "plain", {}),
        ("/a/7", "one", {"id": "7"}),
        ("/a/7/b/x", "two", {"id": "7", "other": "x"}),
        ("/a/7/c/x", "rest", {"*": "7/c/x"}),
        ("/a/b/c", "rest", {"*": "b/c"}),
        ("/a/", "rest", {"*": ""}),
        ("/sp ace", "escaped", {}),
    ],
)
def test_a_path_leads_to_the_narrowest_pattern(
    path: str, function: str, variables: dict[str, str]
) -> None:
    found = TABLE.find("", path, "GET")

    assert isinstance(found, RouteMatch)
    assert (found.function.name, found.variables) == (function, variables)


@pytest.mark.parametrize("path", ["/b", "/a", "//", "/A/b"])
def test_a_path_without_a_route_leads_nowhere(path: str) -> None:
    found = TABLE.find("", path, "GET")

    assert found is None


def test_a_host_goes_before_any_host_and_its_port_does_not_matter() -> None:
    found = TABLE.find("A.example:6810", "/a/b", "GET")
    other = TABLE.find("a.example", "/a/7", "GET")

    assert isinstance(found, RouteMatch)
    assert isinstance(other, RouteMatch)
    assert (found.function.name, other.function.name) == ("host", "one")


def test_another_method_is_told_which_there_are() -> None:
    assert TABLE.find("", "/a/b", "DELETE") == WrongMethod(("GET", "POST"))
    assert isinstance(TABLE.find("", "/a/b", "HEAD"), RouteMatch)
    # A wider pattern that takes the method is as good.
    found = TABLE.find("", "/a/b", "POST")
    assert isinstance(found, RouteMatch)
    assert found.function.name == "rest"


def test_of_two_routes_the_older_has_the_place_and_the_younger_is_told() -> None:
    older = a_route("z", "/x/{a}", "old", at_s=1)
    younger = a_route("a", "/x/{b}", "new", at_s=2, methods=("GET", "POST"))

    table = RouteTable([younger, older])

    found, free = table.find("", "/x/1", "GET"), table.find("", "/x/1", "POST")
    assert isinstance(found, RouteMatch)
    assert isinstance(free, RouteMatch)
    assert (found.function.name, free.function.name) == ("old", "new")
    assert table.conflicts == {younger.ref: "GET /x/{b} is Route default/z's"}


def test_a_path_of_very_many_segments_leads_nowhere() -> None:
    assert TABLE.find("", "/a" + "/x" * 100, "GET") is None


@given(st.permutations(range(5)))
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    routes = [a_route(f"r{at}", f"/{'ab'[at % 2]}/{{x}}", f"f{at}", at_s=at) for at in range(5)]

    table = RouteTable([routes[at] for at in order])

    for path, name in (("/a/1", "f0"), ("/b/1", "f1")):
        found = table.find("", path, "GET")
        assert isinstance(found, RouteMatch)
        assert found.function.name == name
    assert len(table.conflicts) == 3
