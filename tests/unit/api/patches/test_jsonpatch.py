"""JSON patches: the RFC's own examples, and that anything else is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.errors import ApiError
from cubernetes.api.patches.jsonpatch import patched, steps_of

LISTED = {"foo": ["bar", "baz"]}


@pytest.mark.parametrize(
    ("target", "steps", "wanted"),
    [
        ({"foo": "bar"}, [("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
        (LISTED, [("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
        (LISTED, [("add", "/foo/-", "qux")], {"foo": ["bar", "baz", "qux"]}),
        ({"baz": 1, "foo": 2}, [("remove", "/baz", None)], {"foo": 2}),
        (LISTED, [("remove", "/foo/1", None)], {"foo": ["bar"]}),
        ({"baz": 1}, [("replace", "/baz", 2)], {"baz": 2}),
        (LISTED, [("replace", "/foo/0", 2)], {"foo": [2, "baz"]}),
        ({"a": {"b": 1}, "c": {}}, [("move", "/c/d", "/a/b")], {"a": {}, "c": {"d": 1}}),
        ({"a": {"b": 1}}, [("copy", "/c", "/a")], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": 1, "m~n": 2}, [("test", "/a~1b", 1), ("test", "/m~0n", 2)], {"a/b": 1, "m~n": 2}),
        ({"a": None}, [("replace", "/a", None)], {"a": None}),
    ],
)
def test_an_example_of_the_rfc(
    target: dict[str, Any], steps: list[tuple[str, str, Any]], wanted: dict[str, Any]
) -> None:
    listed = [
        {"op": op, "path": path, ("from" if op in ("move", "copy") else "value"): other}
        for op, path, other in steps
    ]
    assert patched({**target, **_copied(target)}, steps_of(listed)) == wanted


def _copied(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: list(one) if isinstance(one, list) else one for key, one in tree.items()}


@pytest.mark.parametrize(
    "step",
    [
        {"op": "add", "path": "/foo/3", "value": 1},
        {"op": "add", "path": "/foo/01", "value": 1},
        {"op": "add", "path": "/foo/-1", "value": 1},
        {"op": "add", "path": "/absent/x", "value": 1},
        {"op": "add", "path": "foo", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "remove", "path": "/foo/-"},
        {"op": "move", "path": "/foo/0", "from": "/foo"},
        {"op": "copy", "path": "/x", "from": "/y"},
        {"op": "test", "path": "/foo/0", "value": "other"},
        {"op": "add", "path": "/foo/0/deeper", "value": 1},
    ],
)
def test_a_step_that_cannot_be_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        patched({"foo": ["bar", "baz"]}, steps_of([step]))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(("add", "remove", "replace", "move", "copy", "test")),
                "path": st.sampled_from(("", "/", "/a", "/a/0", "/a/-", "/b", "/b/c", "/b/c/d")),
            },
            optional={
                "from": st.sampled_from(("/a", "/b", "/b/c", "/a/0", "")),
                "value": st.one_of(st.none(), st.integers(), st.lists(st.integers())),
            },
        ),
        max_size=6,
    )
)
def test_any_steps_change_the_tree_or_are_refused(listed: list[dict[str, Any]]) -> None:
    try:
        assert isinstance(patched({"a": [1, 2], "b": {"c": 3}}, steps_of(listed)), dict)
    except ApiError:
        return
