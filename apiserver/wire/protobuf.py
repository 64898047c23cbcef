"""Kubernetes' protobuf bodies to trees: what Go clients send where they are told to be quick.

kubectl's `create` commands send nothing else. A body is the letters `k8s`, a zero, and a message
Unknown that says apiVersion and kind and holds the object's own message. The tree is the one that
the same client would have sent as JSON: what Go leaves out of JSON is left out, and what is not
known here is told by its name. Pure.

Source: the comments of k8s.io/apimachinery's protobuf serializer.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from apiserver.wire.protomessages import OTHER_VERSIONS, Field, Message, messages
from cubernetes.api.errors import BadRequest
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.host.protowire import VARINT, ProtobufBroken, fields, signed, utf8

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From the year 1 to the end of 9999, as RFC 3339 can say it.
SECONDS_MIN, SECONDS_MAX = -62_135_596_800, 253_402_300_799
# Of all messages of a body together; a pod of a hundred containers has some five thousand.
FIELDS_MAX = 100_000
# IntOrString's own type: 0 is the number, 1 the text.
TEXT = 1


class Wire(NamedTuple):
    """One field as it came."""

    number: int
    content: int | bytes


def tree_of(body: bytes, more: str = "") -> Tree:
    """Return the tree of a body; more: messages beside those of the built-in kinds.

    Raises: BadRequest: it is no such body, of a kind that has no messages here, or too much.
    """
    if not body.startswith(MAGIC):
        raise BadRequest("the body does not begin as Kubernetes' protobuf does, with k8s and 0")
    known = messages(more)
    read = _Reader(known)
    envelope = read.by_number(body[len(MAGIC) :], "Unknown")
    about = read.by_number(_bytes(envelope.get(1), "typeMeta"), "TypeMeta")
    if _bytes(envelope.get(3), "contentEncoding"):
        raise BadRequest("a content encoding within protobuf is not taken")
    api_version, kind = (_text(about.get(number), "typeMeta") for number in (1, 2))
    message = OTHER_VERSIONS.get((api_version, kind), kind)
    if message not in known:
        raise BadRequest(f"{kind[:80]!r} is not read from protobuf: send application/json")
    tree: Tree = {"apiVersion": api_version, "kind": kind} if api_version else {"kind": kind}
    return tree | read.message(_bytes(envelope.get(2), "raw"), message)


class _Reader:
    """Reads one body; counts its fields, for a field can be two bytes and cost a hundred."""

    def __init__(self, messages: Mapping[str, Message]) -> None:
        self._messages = messages
        self._count = 0

    def fields(self, content: bytes, place: str) -> Iterator[Wire]:
        """Yield the fields of a message, in the order in which they stand."""
        try:
            for number, kind, start, stop in fields(content):
                self._count += 1
                if self._count > FIELDS_MAX:
                    raise BadRequest(f"protobuf of more than {FIELDS_MAX} fields")
                yield Wire(number, start if kind == VARINT else content[start:stop])
        except ProtobufBroken as error:
            raise BadRequest(f"{place}: {error}") from error

    def by_number(self, content: bytes, place: str) -> dict[int, Wire]:
        """Return the last field of each number."""
        return {one.number: one for one in self.fields(content, place)}

    def message(self, content: bytes, name: str) -> Tree:
        """Return the fields of a message by their names in JSON."""
        known = self._messages[name]
        tree: Tree = {}
        for wire in self.fields(content, name):
            field = known.get(wire.number)
            if field is None:
                # A later Kubernetes': the check of the kind's fields tells of it, as of any other.
                if wire.content:
                    tree[f"(protobuf field {wire.number})"] = {}
                continue
            place = f"{name}.{field.name}"
            if field.is_inline:
                tree |= self.message(_bytes(wire, place), field.type)
            elif field.is_map:
                key, value = self._entry(_bytes(wire, place), field, place)
                tree.setdefault(field.name, {})[key] = value
            elif field.is_many:
                tree.setdefault(field.name, []).append(self._value(wire, field, place))
            elif (value := self._value(wire, field, place)) is not None:
                tree[field.name] = value
        return tree

    def _entry(self, content: bytes, field: Field, place: str) -> tuple[str, Any]:
        told = self.by_number(content, place)
        found = self._value(told.get(2, Wire(2, b"")), field, place)
        return _text(told.get(1), place), "" if found is None else found

    def _value(self, wire: Wire, field: Field, place: str) -> Any:
        """Return a value of JSON; None where Go would leave the field out."""
        match field.type:
            case "":
                text = _text(wire, place)
                return text if text or field.is_many or field.is_pointer else None
            case "int":
                number = _int(wire, place)
                return number if number or field.is_pointer else None
            case "bool":
                return (_int(wire, place) != 0) or (False if field.is_pointer else None)
            case "time" | "quantity" | "intOrString":
                inner = self.by_number(_bytes(wire, place), place)
                return _message_value(field.type, inner, place)
            case "bytes":
                return base64.b64encode(_bytes(wire, place)).decode()
            case "json":
                inner = self.by_number(_bytes(wire, place), place)
                return jsontext.tree_of(_bytes(inner.get(1), place))
            case "-":
                return {} if _bytes(wire, place) else None
            case message:
                return self.message(_bytes(wire, place), message)


def _message_value(kind: str, told: Mapping[int, Wire], place: str) -> str | int | None:
    """Return the value of a message that JSON has a text or a number for."""
    if kind == "time":
        return _time(told, place)
    if kind == "quantity":
        return _text(told.get(1), place) or "0"
    return _int_or_string(told, place)


def _bytes(wire: Wire | None, place: str) -> bytes:
    """Return the content of a field; nothing for one that is not there."""
    if wire is None:
        return b""
    if not isinstance(wire.content, bytes):
        raise BadRequest(f"{place}: a message, a text or bytes are expected in protobuf")
    return wire.content


def _text(wire: Wire | None, place: str) -> str:
    try:
        return utf8(_bytes(wire, place))
    except ProtobufBroken as error:
        raise BadRequest(f"{place}: {error}") from error


def _int(wire: Wire, place: str) -> int:
    if not isinstance(wire.content, int):
        raise BadRequest(f"{place}: a number is expected in protobuf")
    return signed(wire.content)


def _time(told: Mapping[int, Wire], place: str) -> str | None:
    """Return RFC 3339, with the fraction where there is one; the zero time is no time."""
    seconds, nanos = (_int(told[number], place) if number in told else 0 for number in (1, 2))
    if not told or seconds == SECONDS_MIN:
        return None
    if not SECONDS_MIN <= seconds <= SECONDS_MAX or not 0 <= nanos < 10**9:
        raise BadRequest(f"{place}: is no time between the years 1 and 9999")
    moment = UNIX_EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def _int_or_string(told: Mapping[int, Wire], place: str) -> int | str:
    if 1 in told and _int(told[1], place) == TEXT:
        return _text(told.get(3), place)
    return _int(told[2], place) if 2 in told else 0
