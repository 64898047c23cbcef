"""Objects as a table, for clients that ask for one (`as=Table`): what `get` prints. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from apiserver.state.items import Item
from cubernetes.api.meta import Column, Object

type Included = Literal["None", "Metadata", "Object"]

API_VERSION = "meta.k8s.io/v1"


class _Row(msgspec.Struct, omit_defaults=True):
    cells: list[str | int]
    object: msgspec.Raw | None = None


class _Head(msgspec.Struct, rename="camel"):
    name: str
    type: str
    format: str
    description: str
    priority: int


def table_of(
    kind: type[Object],
    items: Sequence[Item],
    now: datetime,
    *,
    metadata: bytes = b"{}",
    included: Included = "Metadata",
) -> bytes:
    """Return the JSON of a Table with one row for each item; metadata is that of the list."""
    heads = msgspec.json.encode([_head(column) for column in kind.columns])
    rows = msgspec.json.encode([_row(kind, item, now, included) for item in items])
    return (
        b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":%b}'
    ) % (API_VERSION.encode(), metadata, heads, rows)


def _head(column: Column) -> _Head:
    return _Head(
        name=column.title,
        type="string",
        format="name" if column.title == "Name" else "",
        description=column.title,
        priority=1 if column.wide else 0,
    )


def _row(kind: type[Object], item: Item, now: datetime, included: Included) -> _Row:
    item = item.of_version(kind)
    cells = [column.cell(item.object, now) for column in kind.columns]
    match included:
        case "None":
            return _Row(cells)
        case "Object":
            return _Row(cells, msgspec.Raw(item.content))
        case _:
            return _Row(cells, msgspec.Raw(partial_metadata(item)))


def partial_metadata(item: Item) -> bytes:
    """Return the JSON of an object's metadata, without the rest of it."""
    metadata = msgspec.json.encode(item.object.metadata)
    return b'{"kind":"PartialObjectMetadata","apiVersion":"%b","metadata":%b}' % (
        API_VERSION.encode(),
        metadata,
    )
