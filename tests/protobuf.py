"""Trees to Kubernetes' protobuf bodies, by the API server's own table: what tests read back."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from apiserver.wire.protobuf import MAGIC
from apiserver.wire.protomessages import Field, messages
from cubernetes.api.notation.jsontext import Tree
from cubernetes.host.protowire import bytes_field, varint_field


def body_of(tree: Tree) -> bytes:
    """Return the body that a Go client would send for an object."""
    about = bytes_field(1, tree["apiVersion"].encode()) + bytes_field(2, tree["kind"].encode())
    rest = {key: value for key, value in tree.items() if key not in ("apiVersion", "kind")}
    return MAGIC + bytes_field(1, about) + bytes_field(2, message_of(rest, tree["kind"]))


def message_of(tree: Tree, name: str) -> bytes:
    """Return a message of the table. A field that the table lacks is a KeyError with its name."""
    fields = _fields(name)
    found = b""
    for key, value in tree.items():
        if value is None:
            continue
        number, field, around = fields[key]
        for one in _each(value, field):
            content = _content(number, one, field)
            found += content if around is None else bytes_field(around, content)
    return found


def _fields(name: str) -> dict[str, tuple[int, Field, int | None]]:
    """Return the fields of a message by name: number, field, and the message that it stands in."""
    found: dict[str, tuple[int, Field, int | None]] = {}
    for number, field in messages()[name].items():
        if field.is_inline:
            inner = _fields(field.type)
            found |= {key: (one[0], one[1], number) for key, one in inner.items()}
        else:
            found[field.name] = (number, field, None)
    return found


def _each(value: Any, field: Field) -> Iterator[Any]:
    if field.is_map:
        yield from value.items()
    elif field.is_many:
        yield from value
    else:
        yield value


def _content(number: int, value: Any, field: Field) -> bytes:
    if field.is_map:
        key, one = value
        entry = Field(field.name, field.type)
        return bytes_field(number, bytes_field(1, key.encode()) + _content(2, one, entry))
    match field.type:
        case "int" | "bool":
            return varint_field(number, int(value))
        case "":
            return bytes_field(number, value.encode())
        case "bytes":
            return bytes_field(number, base64.b64decode(value))
        case "json":
            return bytes_field(number, bytes_field(1, json.dumps(value).encode()))
        case "-":
            return bytes_field(number, b"\x0a\x00")
        case "quantity" | "time" | "intOrString":
            return bytes_field(number, _message(value, field.type))
        case name:
            return bytes_field(number, message_of(value, name))


def _message(value: Any, kind: str) -> bytes:
    if kind == "quantity":
        return bytes_field(1, str(value).encode())
    if kind == "time":
        at = datetime.fromisoformat(value)
        seconds = int(at.replace(microsecond=0).timestamp())
        return varint_field(1, seconds) + varint_field(2, at.microsecond * 1000)
    if isinstance(value, int):
        return varint_field(1, 0) + varint_field(2, value)
    return varint_field(1, 1) + bytes_field(3, value.encode())
