"""`-o custom-columns=NAME:.metadata.name,...` and `--sort-by`: objects by paths in them. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cubectl.output.printers import safe
from cubernetes.api.notation.jsonpath import Malformed, Path, path_of, shown, values_at
from cubernetes.api.notation.jsontext import Tree

ABSENT = "<none>"


class Column(NamedTuple):
    title: str
    path: Path


def columns_of(text: str) -> list[Column]:
    """Read what stands behind `custom-columns=`. Raises: Malformed."""
    columns = []
    for word in text.split(","):
        title, colon, path = word.partition(":")
        if not title or not colon or not path:
            raise Malformed(f"expected <header>:<json-path-expr>, got {word[:80]!r}")
        columns.append(Column(title, one_path(path)))
    return columns


def one_path(text: str) -> Path:
    """Read a path, which may stand in braces and begin without a dot. Raises: Malformed."""
    plain = text.strip()
    if plain.startswith("{") and plain.endswith("}"):
        plain = plain[1:-1]
    return path_of(plain)


def rows_of(columns: Sequence[Column], trees: Sequence[Tree]) -> list[list[str]]:
    """Return a row for each object."""
    return [[_cell(values_at(one.path, tree)) for one in columns] for tree in trees]


def _cell(values: Sequence[Any]) -> str:
    return safe(",".join(shown(value) for value in values if value is not None)) or ABSENT


def order_by(path: Path) -> Callable[[Tree], Any]:
    """Return what objects are sorted by: numbers before texts, and first what has neither."""

    def key(tree: Tree) -> tuple[bool, bool, Any]:
        found = values_at(path, tree)
        value = found[0] if found else None
        is_number = isinstance(value, int | float)
        return value is not None, not is_number, value if is_number else shown(value)

    return key
