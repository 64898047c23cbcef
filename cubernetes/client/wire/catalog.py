"""The kinds of a cluster, as its discovery documents tell them. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

KINDS_MAX = 1000
CORE = "/api/v1"


class Malformed(Exception):
    """A discovery document that is none: the sentence says what is wrong."""


class Catalog:
    """What a cluster has, in the order in which it tells it; the core kinds come first."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = tuple(resources)

    def called(self, word: str) -> Resource | None:
        """Return the kind that a person means; None if there is none of that name."""
        return next((one for one in self.resources if one.is_called(word)), None)

    def of_category(self, word: str) -> list[Resource]:
        return [one for one in self.resources if word.lower() in one.categories]

    def of(self, api_version: str, kind: str) -> Resource | None:
        """Return the kind of a manifest's apiVersion and kind."""
        wanted = (api_version, kind)
        return next((one for one in self.resources if (one.api_version, one.kind) == wanted), None)


def roots_in(groups: Tree) -> list[str]:
    """Return the path of every group's preferred version, from `GET /apis`. Raises: Malformed."""
    roots = [CORE]
    for group in _objects(groups, "groups"):
        preferred = group.get("preferredVersion")
        version = preferred.get("groupVersion") if isinstance(preferred, dict) else None
        if not isinstance(version, str) or not version or "?" in version:
            raise Malformed("a group without a preferred version")
        roots.append(f"/apis/{version}")
    return roots


def resources_in(document: Tree) -> list[Resource]:
    """Return the kinds of an APIResourceList. Raises: Malformed."""
    group, _, version = _text(document, "groupVersion").rpartition("/")
    entries = list(_objects(document, "resources"))
    parts: dict[str, list[str]] = {}
    for entry in entries:
        plural, slash, part = _text(entry, "name").partition("/")
        if slash:
            parts.setdefault(plural, []).append(part)
    found = [entry for entry in entries if "/" not in entry["name"]]
    if len(found) > KINDS_MAX:
        raise Malformed(f"over {KINDS_MAX} kinds in one group")
    return [
        Resource(
            group=group,
            version=version,
            kind=_text(entry, "kind"),
            plural=entry["name"],
            short_names=_texts(entry, "shortNames"),
            namespaced=entry.get("namespaced") is True,
            subresources=tuple(parts.get(entry["name"], ())),
            categories=_texts(entry, "categories"),
            verbs=_texts(entry, "verbs"),
        )
        for entry in found
    ]


def document_of(resources: Sequence[Resource]) -> list[list[Any]]:
    """Return kinds as JSON holds them, for `kept_in`."""
    return [list(one) for one in resources]


def kept_in(document: Any) -> list[Resource]:
    """Return the kinds that `document_of` wrote. Raises: Malformed."""
    wanted = [type(value) for value in Resource("", "", "", "")]
    found = []
    for entry in document if isinstance(document, list) else [None]:
        values = [tuple(value) if isinstance(value, list) else value for value in entry or ()]
        is_whole = [type(value) for value in values] == wanted
        if not is_whole or not all(values[1:4]):
            raise Malformed("what is kept is no list of kinds")
        found.append(Resource._make(values))
    return found


def _objects(tree: Tree, field: str) -> Iterator[Tree]:
    entries = tree.get(field)
    if not isinstance(entries, list):
        raise Malformed(f"{field} is no list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise Malformed(f"{field} holds what is no object")
        yield entry


def _text(tree: Tree, field: str) -> str:
    value = tree.get(field)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{field} is no text")
    return value


def _texts(tree: Tree, field: str) -> tuple[str, ...]:
    values = tree.get(field) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Malformed(f"{field} is no list of texts")
    return tuple(values)
