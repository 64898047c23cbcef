"""Pruning and defaults by a schema: laws over schemas and values, then cases."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.custom.shapes import VALUES_MAX, defaulted, pruned
from cubernetes.api.custom.validation import problems
from cubernetes.api.errors import RequestTooLarge
from tests.definitions import SPEC

type Tree = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text("xy", max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=8,
)


def _objects(below: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, below, max_size=3)},
        optional={"x-kubernetes-preserve-unknown-fields": st.just(True), "nullable": st.booleans()},
    )


def _lists(below: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries({"type": st.just("array"), "items": below})


def _maps(below: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    kinds = {"type": st.just("object"), "additionalProperties": below}
    return st.fixed_dictionaries(kinds, optional={"default": st.just({})})


LEAVES: st.SearchStrategy[Tree] = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"default": st.text("xy", max_size=2), "nullable": st.booleans()},
    ),
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"default": st.integers(0, 9)}),
    st.just({"x-kubernetes-int-or-string": True}),
    st.just({"x-kubernetes-preserve-unknown-fields": True}),
)
SHAPES = st.recursive(
    LEAVES, lambda below: _objects(below) | _lists(below) | _maps(below), max_leaves=8
)


@given(SHAPES, VALUES)
def test_pruning_again_finds_nothing(shape: Tree, value: Any) -> None:
    once = pruned(shape, value, "", [])
    unknown: list[str] = []

    assert pruned(shape, once, "", unknown) == once
    assert unknown == []


@given(SHAPES, VALUES)
def test_defaults_are_filled_in_once(shape: Tree, value: Any) -> None:
    once = defaulted(shape, value)

    assert defaulted(shape, once) == once


@given(SHAPES, VALUES)
def test_what_the_server_fills_in_is_nothing_that_it_would_prune(shape: Tree, value: Any) -> None:
    made = defaulted(shape, pruned(shape, value, "", []))
    unknown: list[str] = []
    pruned(shape, made, "", unknown)

    assert unknown == []


@given(SHAPES, VALUES)
def test_every_value_has_an_answer(shape: Tree, value: Any) -> None:
    for problem in problems(shape, value, "spec"):
        assert problem.field.startswith("spec")


@pytest.mark.parametrize(
    ("sent", "kept", "told"),
    [
        ({"image": "a", "imgae": "b"}, {"image": "a"}, ["spec.imgae"]),
        ({"free": {"x": {"y": 1}}}, {"free": {"x": {"y": 1}}}, []),
        ({"ports": [{"port": 1, "x": 2}]}, {"ports": [{"port": 1}]}, ["spec.ports[0].x"]),
        # What is of another type is the business of validation.
        ({"ports": "many"}, {"ports": "many"}, []),
    ],
)
def test_fields_that_a_schema_does_not_know_are_pruned_and_told_of(
    sent: Tree, kept: Tree, told: list[str]
) -> None:
    unknown: list[str] = []

    assert (pruned(SPEC, sent, "spec", unknown), unknown) == (kept, told)


@pytest.mark.parametrize(
    ("sent", "made"),
    [
        ({}, {"replicas": 1}),
        ({"replicas": 4}, {"replicas": 4}),
        # A null that may not be is absent; where it may be, it stays.
        ({"replicas": None, "image": None}, {"replicas": 1}),
        ({"note": None, "replicas": 2}, {"note": None, "replicas": 2}),
        (
            {"replicas": 1, "ports": [{"port": 1}]},
            {"replicas": 1, "ports": [{"port": 1, "protocol": "TCP"}]},
        ),
    ],
)  # fmt: skip
def test_defaults_stand_where_nothing_stands(sent: Tree, made: Tree) -> None:
    assert defaulted(SPEC, sent) == made


def test_no_object_has_more_values_than_are_looked_at() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    free = {"x-kubernetes-preserve-unknown-fields": True, "type": "object"}
    many = [0] * (VALUES_MAX + 1)

    with pytest.raises(RequestTooLarge):
        pruned(numbers, many, "", [])
    with pytest.raises(RequestTooLarge):
        defaulted(numbers, many)
    # What no schema speaks of is not looked at.
    assert pruned(free, {"a": many}, "", []) == {"a": many}
    assert pruned(numbers, many[1:], "", []) == many[1:]


def test_defaults_count_as_what_is_sent_does() -> None:
    """A short list of a schema's long defaults is a long object."""
    entry = {"type": "object", "properties": {"a": {"type": "array", "default": [0] * 1000}}}
    listed = {"type": "array", "items": entry}

    assert len(defaulted(listed, [{}] * 40)) == 40
    with pytest.raises(RequestTooLarge):
        defaulted(listed, [{}] * 200)


def test_paths_of_long_names_are_cut() -> None:
    name = "n" * 1000
    shape = {"type": "object", "additionalProperties": {"type": "object"}}
    unknown: list[str] = []
    pruned(shape, {name: {"a": 1}}, "", unknown)

    assert unknown == [name[:300]]


def test_an_embedded_object_keeps_its_envelope() -> None:
    shape = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {}}}
    sent = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "status": {}}
    unknown: list[str] = []

    assert "status" not in pruned(shape, sent, "", unknown)
    assert unknown == ["status"]
    assert list(problems(shape, {"kind": "Pod"}, "t")) != []
