"""Tables of a server, as they are read: heads, cells, and what is refused as no table."""

from typing import Any

import pytest

from cubectl.output.tables import Head, NoTable, Row, Table, table_in
from cubernetes.api.notation.jsontext import Tree

META = {"name": "web", "labels": {"app": "web"}}


def a_row(*cells: object, **fields: object) -> Tree:
    return {"cells": list(cells), "object": {"metadata": META}, **fields}


def a_table(*rows: Any, heads: Any = (), **fields: Any) -> Tree:
    return {"kind": "Table", "columnDefinitions": list(heads), "rows": list(rows), **fields}


def test_heads_have_their_names_and_those_of_a_priority_above_0_are_wide() -> None:
    heads = [
        {"name": "NAME"},
        {"name": "READY", "priority": 0},
        {"name": "IP", "priority": 1},
        {"name": "ODD", "priority": "high"},
        {},
    ]

    assert table_in(a_table(heads=heads)) == Table(
        (
            Head("NAME", is_wide=False),
            Head("READY", is_wide=False),
            Head("IP", is_wide=True),
            Head("ODD", is_wide=False),
            Head("", is_wide=False),
        ),
        (),
    )


def test_cells_are_texts_and_what_is_not_there_is_none() -> None:
    heads = [{"name": name} for name in "abcde"]
    table = table_in(a_table(a_row("Web", 3, None, True, False), heads=heads))

    assert table.rows == (Row(("Web", "3", "<none>", "true", "false"), META),)


def test_a_table_of_a_watch_has_rows_without_heads() -> None:
    for tree in ({"kind": "Table", "rows": [a_row("web", 1)]}, a_table(a_row("web", 1))):
        assert table_in(tree) == Table((), (Row(("web", "1"), META),))
    assert table_in({"kind": "Table"}) == Table((), ())


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"kind": "PodList", "items": []}, "a PodList where a Table"),
        ({}, "a None where"),
        ({"kind": "x" * 41}, f"a {'x' * 40} where"),
        (a_table(rows={}) | {"rows": {"a": 1}}, "rows is no list"),
        (a_table("no object"), "rows is no list of objects"),
        (a_table(heads=[a_row(), "no object"]), "columnDefinitions is no list of objects"),
        (a_table(a_row("a"), heads=[{}, {}]), "^a row that does not fit its heads$"),
        (a_table(a_row("a", "b"), heads=[{}]), "^a row that does not fit its heads$"),
        (a_table(a_row(cells="web")), "^a row that does not fit its heads$"),
        (a_table({"object": {"metadata": META}}), "^a row that does not fit its heads$"),
        (a_table(a_row("a", object=[])), r"^a row without metadata\.name$"),
        (a_table(a_row("a", object={})), r"^a row without metadata\.name$"),
        (a_table(a_row("a", object={"metadata": "web"})), r"^a row without metadata\.name$"),
        (a_table(a_row("a", object={"metadata": {}})), r"^a row without metadata\.name$"),
        (a_table(a_row("a", object={"metadata": {"name": 1}})), r"^a row without metadata\.name$"),
    ],
)
def test_what_is_no_table_is_refused_and_named(tree: Tree, told: str) -> None:
    with pytest.raises(NoTable, match=told):
        table_in(tree)
