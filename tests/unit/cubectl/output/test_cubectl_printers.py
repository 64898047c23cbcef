"""Lines and columns: widths, cuts, and what of a text a terminal gets to see."""

import pytest

from cubectl.output.printers import (
    json_text,
    labels_cell,
    list_of,
    name_of,
    row_text,
    safe,
    safe_lines,
    table_text,
    widths_of,
    without_owners,
    yaml_text,
)
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

PODS = Resource("", "v1", "Pod", "pods")
SETS = Resource("apps", "v1", "ReplicaSet", "replicasets")


def test_what_commands_a_terminal_is_written_out_and_the_rest_stays() -> None:
    assert safe("Grüße, 世界") == "Grüße, 世界"
    assert safe("ü\x1b") == r"ü\x1b"
    assert safe("a\x1b[31m\tb\n") == r"a\x1b[31m\tb\n"
    assert safe("to\u202eward") == r"to\u202eward"
    assert safe_lines("a\tb\x07\nc\r\n") == "a\tb\\x07\nc\\r\n"


def test_labels_are_told_in_the_order_of_their_keys() -> None:
    assert labels_cell({"labels": {"tier": "web", "app": "shop"}}) == "app=shop,tier=web"
    nothing: tuple[Tree, ...] = ({}, {"labels": {}}, {"labels": None})
    for metadata in nothing:
        assert labels_cell(metadata) == "<none>"
    assert labels_cell({"labels": {"a": "\x1b"}}) == r"a=\x1b"


def test_a_column_is_as_wide_as_its_widest_cell_and_three_blanks_stand_between() -> None:
    rows = [["NAME", "AGE"], ["a", "60m"], ["longer", ""]]

    assert widths_of(rows) == [6, 3]
    assert table_text(rows) == "NAME     AGE\na        60m\nlonger\n"
    assert table_text([]) == ""
    assert table_text(rows, 5) == "NAME…\na   …\nlong…\n"


@pytest.mark.parametrize(
    ("width", "line"),
    [(None, "abcdef"), (7, "abcdef"), (6, "abcdef"), (5, "abcd…"), (2, "a…"), (1, "abcdef"),
     (0, "abcdef")],
)  # fmt: skip
def test_a_line_is_cut_where_the_terminal_ends_and_a_sign_says_so(
    width: int | None, line: str
) -> None:
    assert row_text(["abcdef"], [6], width) == line


def test_a_row_has_a_cell_for_each_column() -> None:
    for act in (lambda: row_text(["a"], [1, 2]), lambda: widths_of([["a"], ["a", "b"]])):
        with pytest.raises(ValueError, match="zip"):
            act()


def test_a_name_is_what_other_verbs_take() -> None:
    assert name_of(PODS, "web") == "pod/web"
    assert name_of(SETS, "web\x1b") == r"replicaset.apps/web\x1b"


def test_json_is_indented_by_four_and_is_plain_ascii() -> None:
    assert json_text({"a": ["ü"]}) == '{\n    "a": [\n        "\\u00fc"\n    ]\n}\n'


def test_yaml_is_in_the_order_of_the_tree() -> None:
    assert yaml_text({"b": 1, "a": [True]}) == "b: 1\na:\n- true\n"


def test_managed_fields_are_left_out_and_nothing_else() -> None:
    tree = {"kind": "Pod", "metadata": {"name": "web", "managedFields": [1]}, "spec": {}}

    assert without_owners(tree) == {"kind": "Pod", "metadata": {"name": "web"}, "spec": {}}
    for same in ({"kind": "Pod"}, {"metadata": {"name": "web"}}, {"metadata": "managedFields"}):
        assert without_owners(same) is same


def test_several_objects_are_a_list_of_version_v1() -> None:
    assert list_of(({"a": 1},)) == {"apiVersion": "v1", "kind": "List", "items": [{"a": 1}]}
