"""Which objects a list or a watch is about: a namespace, labels and fields. Pure."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from apiserver.state.items import Item
from apiserver.state.keys import prefix_of
from cubernetes.api.meta import Object, text_field
from cubernetes.api.selectors import EVERYTHING, FieldTerm, Selector, parse, parse_fields

type EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_METADATA_FIELDS: dict[str, Callable[[Any], str]] = {
    "metadata.name": text_field("metadata.name"),
    "metadata.namespace": text_field("metadata.namespace"),
}


class Selection(NamedTuple):
    """Objects of one kind whose keys begin with prefix, and that hold every term."""

    kind: type[Object]
    prefix: str
    labels: Selector = EVERYTHING
    fields: tuple[FieldTerm, ...] = ()

    @property
    def is_whole(self) -> bool:
        """No selector narrows it: the prefix alone decides."""
        return not self.labels.terms and not self.fields

    def matches(self, item: Item | None) -> bool:
        if item is None or not item.key.startswith(self.prefix):
            return False
        if self.is_whole:
            return True
        thing = item.object
        return self.labels.matches(thing.metadata.labels) and all(
            (self._text(term.field, thing) == term.value) == term.equal for term in self.fields
        )

    def verdict(self, old: Item | None, new: Item | None) -> EventType | None:
        """Return what a change looks like from here: an object that begins to match is ADDED.

        One that ceases to match is DELETED, whatever became of it elsewhere. None: no concern.
        """
        was, is_now = self.matches(old), self.matches(new)
        if was:
            return "MODIFIED" if is_now else "DELETED"
        return "ADDED" if is_now else None

    def required(self, field: str) -> str:
        """Return the value that a field must have, where the selection says so; else nothing."""
        asked = (term.value for term in self.fields if term.field == field and term.equal)
        return next(asked, "")

    def _text(self, field: str, thing: Object) -> str:
        read = self.kind.selectable.get(field) or _METADATA_FIELDS[field]
        return read(thing)


def selection_of(
    kind: type[Object], namespace: str, label_selector: str, field_selector: str
) -> Selection:
    """Return the selection that a query asks for.

    Raises: BadRequest: a selector is malformed or names an unknown field.
    """
    return Selection(
        kind,
        prefix_of(kind, namespace),
        parse(label_selector),
        parse_fields(field_selector, kind.selectable),
    )
