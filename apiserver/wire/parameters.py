"""Query parameters, as the documents tell of them."""

from typing import Any, NamedTuple

type Tree = dict[str, Any]

TEXT: Tree = {"type": "string"}
NUMBER: Tree = {"type": "integer", "minimum": 0}
TRUTH: Tree = {"type": "boolean"}


class Parameter(NamedTuple):
    name: str
    schema: Tree
    description: str


def one_of(*values: str) -> Tree:
    return {"type": "string", "enum": list(values)}


DRY_RUN = Parameter("dryRun", one_of("All"), "Decide and answer, but write nothing.")
MANAGER = Parameter("fieldManager", TEXT, "Who writes; read by nobody yet.")
