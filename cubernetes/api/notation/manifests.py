"""Files of objects: JSON or YAML, one object or many, lists opened into what is in them. Pure."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree

LIST = "List"
# What YAML in flow style begins with too, but seldom goes on like.
_JSON = re.compile(rb"\s*\{\s*[\"}]")


class Part(NamedTuple):
    """One object of a file. where is its line, and its place in a list: `12`, `12: items[0]`."""

    where: str
    tree: Any


def parts_of(content: bytes) -> Iterator[Part]:
    """Yield every object of a file, in order.

    Raises: BadRequest, with line and column.
    """
    for tree, line in _documents(content):
        yield from _opened(Part(str(line), tree))


def _documents(content: bytes) -> list[tuple[Tree, int]]:
    try:
        if _JSON.match(content):
            return list(jsontext.trees_of(content))
    except BadRequest as error:
        # YAML may look so too; where it is neither, it was meant to be JSON.
        try:
            return _yaml(content)
        except BadRequest:
            raise error from None
    return _yaml(content)


def _yaml(content: bytes) -> list[tuple[Tree, int]]:
    # Its library is slow to import, and only verbs that read files need it.
    from cubernetes.api.notation import yaml

    return [(one.tree, one.line) for one in yaml.documents(content)]


def _opened(part: Part) -> Iterator[Part]:
    """Yield what is in a list, whatever the kind of its items, or the one object."""
    tree = part.tree
    kind = str(tree.get("kind", "")) if isinstance(tree, dict) else ""
    items = tree.get("items") if kind.endswith(LIST) else None
    if not isinstance(items, list):
        yield part
        return
    version = tree.get("apiVersion")
    for index, item in enumerate(items):
        own = item
        # The API names the kind of a PodList's items once, in the list.
        if isinstance(item, dict) and kind != LIST and "kind" not in item:
            own = {"apiVersion": version, "kind": kind.removesuffix(LIST), **item}
        yield from _opened(Part(f"{part.where}: items[{index}]", own))
