"""One object for reading: who it is, what is wanted, what is, and what happened to it. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cubectl.printers import safe, table_text
from cubernetes.api.codec import Tree
from cubernetes.api.meta import Object, short_span
from cubernetes.api.threeway import LAST_APPLIED

INDENT = "  "
VALUE_COLUMN = 16
HIDDEN = frozenset({"apiVersion", "kind", "metadata"})
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

type Section = tuple[str, Sequence[Sequence[str]]]  # a title, and a table with its heads


def description(
    one: Object, tree: Tree, sections: Sequence[Section], events: Sequence[Tree], now: datetime
) -> str:
    """Return what describe prints; sections are facts from other objects."""
    lines = [*_identity(one, now)]
    for key, value in tree.items():
        if key not in HIDDEN and value not in ({}, [], None):
            lines += _entry(key, value, 0)
    for title, rows in sections:
        lines += [f"{title}:", *_indented(table_text(rows))]
    lines += _events(events, now)
    return "".join(f"{line}\n" for line in lines)


def _identity(one: Object, now: datetime) -> Iterator[str]:
    meta = one.metadata
    yield _pair("Name", meta.name)
    if meta.namespace:
        yield _pair("Namespace", meta.namespace)
    yield from _mapping("Labels", meta.labels)
    shown = {key: value for key, value in meta.annotations.items() if key != LAST_APPLIED}
    yield from _mapping("Annotations", shown)
    yield _pair("UID", meta.uid)
    yield _pair("Created", _moment(meta.creation_timestamp, now))
    if meta.deletion_timestamp is not None:
        yield _pair("Deleted", _moment(meta.deletion_timestamp, now))
    for owner in meta.owner_references:
        word = "Controlled By" if owner.controller else "Owned By"
        yield _pair(word, f"{owner.kind}/{owner.name}")
    if meta.finalizers:
        yield _pair("Finalizers", ", ".join(meta.finalizers))


def _moment(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "<unknown>"
    ago = short_span((now - at).total_seconds())
    return f"{at.isoformat(timespec='seconds').replace('+00:00', 'Z')} ({ago} ago)"


def _pair(title: str, value: object, indent: str = "") -> str:
    room = max(VALUE_COLUMN - len(indent), len(title) + 2)
    return f"{indent}{f'{title}:'.ljust(room)}{safe(_scalar(value))}".rstrip()


def _scalar(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case None | "":
            return "<none>"
        case _:
            return str(value)


def _mapping(title: str, values: Any) -> Iterator[str]:
    pairs = [f"{key}={value}" for key, value in sorted(values.items())] or ["<none>"]
    yield _pair(title, pairs[0])
    yield from (f"{' ' * VALUE_COLUMN}{safe(pair)}" for pair in pairs[1:])


def _entry(key: str, value: Any, depth: int) -> Iterator[str]:
    """Yield a field and all that is below it."""
    indent, title = INDENT * depth, safe(title_of(key))
    match value:
        case dict() if value:
            yield f"{indent}{title}:"
            for inner, one in value.items():
                yield from _entry(inner, one, depth + 1)
        case list() if value and isinstance(value[0], dict):
            yield f"{indent}{title}:"
            for one in value:
                yield from _item(one, depth + 1)
        case list():
            yield _pair(title, " ".join(_scalar(one) for one in value), indent)
        case dict():
            yield _pair(title, "{}", indent)
        case _:
            yield _pair(title, value, indent)


def _item(value: Any, depth: int) -> Iterator[str]:
    """Yield an entry of a list: its first line carries the mark."""
    lines = [line for key, one in value.items() for line in _entry(key, one, depth + 1)]
    mark = f"{INDENT * depth}- "
    yield from (mark + line[len(mark) :] if not index else line for index, line in enumerate(lines))


def title_of(key: str) -> str:
    """Return a field's name in words, `hostIP` as `Host IP`; a label's key stays as it is."""
    if not key.isalnum():
        return key
    words = _WORDS.sub(" ", key)
    return words[:1].upper() + words[1:]


def _events(events: Sequence[Tree], now: datetime) -> Iterator[str]:
    from cubernetes.api import codec
    from cubernetes.api.event import Event

    read = [codec.from_tree(Event, tree, "Ignore").model for tree in events]
    rows = [
        [
            short_span((now - at).total_seconds()) if at else "<unknown>",
            one.type,
            safe(one.reason),
            f"{one.count}x" if one.count > 1 else "",
            safe(one.message),
        ]
        for one in sorted(read, key=lambda one: str(one.last_timestamp or ""))
        for at in (one.last_timestamp or one.metadata.creation_timestamp,)
    ]
    if not rows:
        yield _pair("Events", "<none>")
        return
    yield "Events:"
    yield from _indented(table_text([["LAST SEEN", "TYPE", "REASON", "", "MESSAGE"], *rows]))


def _indented(text: str) -> list[str]:
    return [f"{INDENT}{line}" for line in text.splitlines()]
