"""Objects as text: tables, names, YAML, JSON, and nothing that could command a terminal. Pure."""

import json
import re
from collections.abc import Sequence
from typing import Any

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

GAP = "   "
MORE = "…"

type Rows = Sequence[Sequence[str]]


def safe(text: str) -> str:
    """Return text with everything that is not a letter, sign or blank written out.

    Control characters, escape sequences and marks that turn the direction of writing come from
    names, messages and images: a terminal would obey them.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def safe_lines(text: str) -> str:
    """Return a log's text: as safe, but lines and tabs stay."""
    return "".join(
        part if part in ("\n", "\t") else safe(part) for part in re.split(r"([\n\t])", text)
    )


def labels_cell(metadata: Tree) -> str:
    labels = metadata.get("labels") or {}
    told = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return safe(told) or "<none>"


def widths_of(rows: Rows) -> list[int]:
    """Return how wide each column must be; the last one needs no room behind it."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def row_text(row: Sequence[str], widths: Sequence[int], width: int | None = None) -> str:
    """Return a row as one line, cut at the terminal's width where there is one."""
    padded = [cell.ljust(room) for cell, room in zip(row, widths, strict=True)]
    line = GAP.join(padded).rstrip()
    if width is not None and len(line) > width > len(MORE):
        return line[: width - len(MORE)] + MORE
    return line


def table_text(rows: Rows, width: int | None = None) -> str:
    """Return rows, the heads first, as lines; empty for no rows."""
    widths = widths_of(rows)
    return "".join(f"{row_text(row, widths, width)}\n" for row in rows)


def name_of(kind: Resource, name: str) -> str:
    """Return `pod/web`, `replicaset.apps/web`: what other verbs take."""
    group = f".{kind.group}" if kind.group else ""
    return safe(f"{kind.singular}{group}/{name}")


def json_text(tree: Any) -> str:
    return json.dumps(tree, indent=4) + "\n"


def yaml_text(tree: Any) -> str:
    # Read when it is needed: the parser beside it costs every other verb its start.
    from cubernetes.api.notation.yaml import text_of

    return text_of(tree)


def without_owners(tree: Tree) -> Tree:
    """Return an object without managedFields, which are longer than the rest, as kubectl does."""
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return tree
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**tree, "metadata": kept}


def list_of(trees: Sequence[Tree]) -> Tree:
    """Return one object for several, as kubectl does."""
    return {"apiVersion": "v1", "kind": "List", "items": list(trees)}
