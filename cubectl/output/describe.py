"""One object for people: its identity, spec, status and events. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cubectl.output.printers import safe, table_text
from cubernetes.api.meta import Object, short_span
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.threeway import LAST_APPLIED

INDENT = "  "
VALUE_COLUMN = 16
HIDDEN = frozenset({"apiVersion", "kind", "metadata"})
# What ConfigMaps and Secrets hold; of a Secret's values only the sizes are shown.
CONTENTS = frozenset({"data", "binaryData"})
# Maps whose keys are somebody's words, not fields.
MAPS = frozenset({"matchLabels", "nodeSelector", "labels", "annotations", "requests", "limits",
                  "capacity", "allocatable"})  # fmt: skip
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")

type Section = tuple[str, Sequence[Sequence[str]]]  # a title, and a table with its heads


def description(
    one: Object, tree: Tree, sections: Sequence[Section], events: Sequence[Tree], now: datetime
) -> str:
    """Return what describe prints; sections are facts from other objects."""
    lines = [*_identity(one, now)]
    hidden = HIDDEN | (CONTENTS if one.kind in ("ConfigMap", "Secret") else frozenset())
    lines += _block({key: value for key, value in tree.items() if key not in hidden and value}, 0)
    if hidden != HIDDEN:
        lines += _contents(one.kind, tree)
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


def _pair(title: str, value: object, indent: str = "", room: int = VALUE_COLUMN) -> str:
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


def _block(tree: Tree, depth: int) -> Iterator[str]:
    """Yield fields, one below the other, their values in one column."""
    fields = {key: value for key, value in tree.items() if value not in ([], None)}
    titles = {key: safe(title_of(key)) for key in fields}
    room = len(max(("", *titles.values()), key=len)) + 3
    for key, value in fields.items():
        yield from _entry(titles[key], key, value, depth, room)


def _entry(title: str, key: str, value: Any, depth: int, room: int) -> Iterator[str]:
    indent = INDENT * depth
    match value:
        case dict() if not value:
            yield _pair(title, "{}", indent, room)
        case dict() if key in MAPS or (key == "selector" and _is_flat(value)):
            pairs = ",".join(f"{name}={one}" for name, one in sorted(value.items()))
            yield _pair(title, pairs, indent, room)
        case dict():
            yield f"{indent}{title}:"
            yield from _block(value, depth + 1)
        case list() if isinstance(value[0], dict):
            yield f"{indent}{title}:"
            for one in value:
                yield from _item(one, depth + 1)
        case list():
            yield _pair(title, " ".join(_scalar(one) for one in value), indent, room)
        case _:
            yield _pair(title, value, indent, room)


def _contents(kind: str, tree: Tree) -> Iterator[str]:
    """Yield what a ConfigMap or a Secret holds, as kubectl lays it out."""
    from cubernetes.api.core.data import configdata

    is_secret = kind == "Secret"
    yield from ("", "Data", "====")
    for key, value in sorted(tree.get("data", {}).items()):
        if is_secret:
            yield f"{safe(key)}:  {len(configdata.decoded(value) or b'')} bytes"
        else:
            lines = (safe(line) for line in value.rstrip("\n").split("\n"))
            yield from (f"{safe(key)}:", "----", *lines, "")
    if not is_secret:
        yield from ("", "BinaryData", "====")
        for key, value in sorted(tree.get("binaryData", {}).items()):
            yield f"{safe(key)}: {len(configdata.decoded(value) or b'')} bytes"
    yield ""


def _is_flat(value: Tree) -> bool:
    return all(isinstance(one, str) for one in value.values())


def _item(value: Tree, depth: int) -> Iterator[str]:
    """Yield an entry of a list: its first line carries the mark."""
    mark = f"{INDENT * depth}- "
    for index, line in enumerate(_block(value, depth + 1)):
        yield line if index else mark + line[len(mark) :]


def title_of(key: str) -> str:
    """Return a field's name in words: `hostIP` as `Host IP`, `clusterIPs` as `Cluster IPs`."""
    words = _WORDS.sub(" ", key)
    return words[:1].upper() + words[1:]


def _events(events: Sequence[Tree], now: datetime) -> Iterator[str]:
    from cubernetes.api.coding import codec
    from cubernetes.api.core.event import Event

    read = [codec.served(Event, tree) for tree in events]
    seen = [(one.last_seen_at or one.metadata.creation_timestamp, one) for one in read]
    rows = [
        [
            short_span((now - at).total_seconds()) if at else "<unknown>",
            one.type,
            safe(one.reason),
            f"{one.seen_count}x" if one.seen_count > 1 else "",
            safe(one.message),
        ]
        for at, one in sorted(seen, key=lambda pair: str(pair[0] or ""))
    ]
    if not rows:
        yield _pair("Events", None)
        return
    yield "Events:"
    yield from _indented(table_text([["LAST SEEN", "TYPE", "REASON", "", "MESSAGE"], *rows]))


def _indented(text: str) -> list[str]:
    return [f"{INDENT}{line}" for line in text.splitlines()]
