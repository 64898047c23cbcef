"""Tables as the server makes them of objects: which columns, which rows, of which objects. Pure."""

from typing import Any, NamedTuple

from cubernetes.api.notation.jsontext import Tree


class NoTable(Exception):
    """The server sent what is no table: the sentence says what is wrong."""


class Head(NamedTuple):
    """One column. Those that are wide are shown only with -o wide."""

    title: str
    is_wide: bool


class Row(NamedTuple):
    """What is shown of one object, under each head, and the object's metadata."""

    cells: tuple[str, ...]
    metadata: Tree


class Table(NamedTuple):
    """heads is empty in the tables of a watch: they are those of the list before it."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def table_in(tree: Tree) -> Table:
    """Read a Table of meta.k8s.io/v1. Raises: NoTable."""
    if tree.get("kind") != "Table":
        raise NoTable(f"a {str(tree.get('kind'))[:40]} where a Table was asked for")
    heads = tuple(_head(one) for one in _objects(tree, "columnDefinitions"))
    return Table(heads, tuple(_row(one, len(heads)) for one in _objects(tree, "rows")))


def _head(tree: Tree) -> Head:
    priority = tree.get("priority")
    return Head(str(tree.get("name", "")), isinstance(priority, int) and priority > 0)


def _row(tree: Tree, count: int) -> Row:
    cells = tree.get("cells")
    if not isinstance(cells, list) or (count and len(cells) != count):
        raise NoTable("a row that does not fit its heads")
    one = tree.get("object")
    metadata = one.get("metadata") if isinstance(one, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise NoTable("a row without metadata.name")
    return Row(tuple(_text(cell) for cell in cells), metadata)


def _text(cell: Any) -> str:
    """Return a cell as people read it; nothing is `<none>`, as in kubectl."""
    if cell is None:
        return "<none>"
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _objects(tree: Tree, field: str) -> list[Tree]:
    entries = tree.get(field) or []
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise NoTable(f"{field} is no list of objects")
    return entries
