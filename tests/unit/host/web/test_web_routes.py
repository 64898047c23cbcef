"""The table of routes of any server: literal segments, names, methods, and what is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.web.routes import PATH_CHARS_MAX, NoRoute, Routes, WrongMethod

ROUTES = Routes(
    [
        ("GET", "/metrics", "metrics"),
        ("GET", "/logs/{pod}/{container}", "log"),
        ("POST", "/logs/all/{pod}", "all"),
        ("POST", "/metrics", "push"),
    ],
    str.islower,
)


def test_a_path_leads_to_its_route_and_names_what_stands_in_it() -> None:
    assert ROUTES.match("GET", "/metrics") == ("metrics", ())
    assert ROUTES.match("GET", "/logs/web/main") == ("log", (("pod", "web"), ("container", "main")))
    assert ROUTES.match("POST", "/logs/all/web") == ("all", (("pod", "web"),))


@pytest.mark.parametrize(
    "path",
    ["", "/", "metrics/", "/metrics/", "//metrics", "/logs/web", "/logs/web/UPPER", "/logs//main",
     "/logs/web/main/more", "/logs/" + "x" * PATH_CHARS_MAX + "/main"],
)  # fmt: skip
def test_what_is_not_in_the_table_has_no_route(path: str) -> None:
    with pytest.raises(NoRoute):
        ROUTES.match("GET", path)


def test_a_wrong_method_is_told_the_right_ones() -> None:
    with pytest.raises(WrongMethod) as told:
        ROUTES.match("PUT", "/metrics")
    assert told.value.allowed == ("GET", "POST")


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "x"]))
def test_no_text_breaks_the_table(path: str, method: str) -> None:
    try:
        assert ROUTES.match(method, path).route
    except (NoRoute, WrongMethod):
        return
