"""Columns by paths, and what objects are sorted by."""

import pytest

from cubectl.output.columns import columns_of, one_path, order_by, rows_of
from cubernetes.api.notation.jsonpath import Malformed
from cubernetes.api.notation.jsontext import Tree

TREES: list[Tree] = [
    {"metadata": {"name": "web"}, "spec": {"ports": [80, 443], "on": True, "none": None}},
    {"metadata": {"name": "d\x1bb"}},
]


def test_each_object_is_a_row_and_what_is_not_there_is_none() -> None:
    columns = columns_of("NAME:.metadata.name,PORTS:{.spec.ports[*]},ON:spec.on,NO:.spec.none")

    assert [one.title for one in columns] == ["NAME", "PORTS", "ON", "NO"]
    assert rows_of(columns, TREES) == [
        ["web", "80,443", "true", "<none>"],
        [r"d\x1bb", "<none>", "<none>", "<none>"],
    ]


@pytest.mark.parametrize("text", ["", "NAME", "NAME:", ":.metadata.name", "A:.a,", "A:.a,B"])
def test_a_column_has_a_head_and_a_path(text: str) -> None:
    with pytest.raises(Malformed, match="expected <header>:<json-path-expr>"):
        columns_of(text)


def test_of_a_long_word_only_the_beginning_is_told() -> None:
    with pytest.raises(Malformed) as caught:
        columns_of("x" * 81)
    assert str(caught.value).endswith(f"got '{'x' * 80}'")


def test_the_second_colon_belongs_to_the_path() -> None:
    (column,) = columns_of("FIRST:.spec.ports[0:1]")

    assert rows_of([column], TREES[:1]) == [["80"]]


def test_a_path_may_stand_in_braces_of_which_both_are_needed() -> None:
    assert one_path(" {.metadata.name} ") == one_path("metadata.name") == one_path(".metadata.name")
    assert one_path("{metadata.name}") == one_path("metadata.name")
    for text in ("{.metadata.name", ".metadata.name}"):
        with pytest.raises(Malformed):
            one_path(text)


def test_sorting_puts_nothing_before_numbers_before_texts() -> None:
    values = ["b", 10, None, 9.5, "a", True, {"x": 1}]
    trees = [{"at": value} for value in values] + [{}]

    found = sorted(trees, key=order_by(one_path(".at")))

    assert [one.get("at") for one in found] == [
        None, None, True, 9.5, 10, "a", "b", {"x": 1}
    ]  # fmt: skip


def test_of_several_values_the_first_is_sorted_by() -> None:
    trees = [{"at": [2, 1]}, {"at": [1, 3]}]

    assert sorted(trees, key=order_by(one_path(".at[*]"))) == [trees[1], trees[0]]


def test_objects_without_a_value_keep_their_order() -> None:
    key = order_by(one_path(".at"))

    assert key({}) == key({"at": None})
    assert key({}) < key({"at": -1}) < key({"at": 0}) < key({"at": ""}) < key({"at": "a"})
