"""Merge patches: RFC 7386's own table, and laws."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.errors import BadRequest
from cubernetes.api.patches.patch import merged

LEAVES = st.one_of(st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers()))
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(LEAVES, inner), max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "change", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_table_of_the_rfc(target: Any, change: Any, wanted: Any) -> None:
    assert merged(target, change) == wanted


@given(target=TREES, change=TREES)
def test_a_patch_applied_twice_is_applied_once_and_nothing_is_changed_in_place(
    target: dict[str, Any], change: dict[str, Any]
) -> None:
    before = json.dumps([target, change])
    once = merged(target, change)

    assert merged(once, change) == once
    assert merged(target, {}) == target
    assert json.dumps([target, change]) == before


def test_a_patch_that_is_too_deep_is_refused() -> None:
    change: dict[str, Any] = {"a": 1}
    for _ in range(70):
        change = {"a": change}
    with pytest.raises(BadRequest, match="deeper than 64"):
        merged({}, change)
