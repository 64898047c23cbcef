"""OpenAPI v2 as protobuf: the document that kubectl before 1.27 asks for, and takes nothing else.

The messages are those of gnostic, which Kubernetes' clients read. A name and its fields stand in
one line, `number=name:type`; a line that is indented goes on. Types are

    (none)      text                        any       any JSON value, written as a text of it
    int bool    as they say                 double    a number
    Name        another message             [type]    any number of them
    {Name}      a map from texts: a message whose entries have a name and a value
    x-          every field whose name begins with it, as entries of any value

Where gnostic has alternatives, each is a message around the one that is meant: AROUND says which
numbers lead to it. Pure. Source: openapiv2/OpenAPIv2.proto of google/gnostic.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from cubernetes.host.protowire import bytes_field, double_field, varint_field

# The older name, and the one that Go 1.18 takes for a media type; answers have the newer one.
MEDIA = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
_MESSAGES = """
Document 1=swagger 2=info:Info 8=paths:{Path} 9=definitions:{Schema}
Info 1=title 2=version
Path 2=get:Operation 3=put:Operation 4=post:Operation 5=delete:Operation 6=options:Operation
  7=head:Operation 8=patch:Operation 9=parameters:[Parameter]
Operation 3=description 5=operationId 6=produces:[] 7=consumes:[] 8=parameters:[Parameter]
  9=responses:{Response} 13=x-:x-
Body 1=description 2=name 3=in 4=required:bool 5=schema:Schema
Query 1=required:bool 2=in 3=description 4=name 6=type 7=format 13=minimum:double 15=maxLength:int
  21=enum:[any]
Place 1=required:bool 2=in 3=description 4=name 5=type 6=format
Response 1=description 2=schema:Shown
Schema 1=$ref 2=format 4=description 5=default:any 7=maximum:double 9=minimum:double
  11=maxLength:int 14=maxItems:int 19=required:[] 20=enum:[any] 21=additionalProperties:Values
  22=type:Types 23=items:Items 25=properties:{Schema} 31=x-:x-
"""
# The number of the entries in the message that a map is; 1 where it is not said.
ENTRIES: Mapping[str, int] = {"Path": 2}
# What a type is that is no message of the table itself: the message that it holds, and the numbers
# by which it is held, from the inmost on.
AROUND: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "Body": ("Body", (1, 1)),
    "Query": ("Query", (3, 2, 1)),
    "Place": ("Place", (4, 2, 1)),
    "Response": ("Response", (1,)),
    "Shown": ("Schema", (1,)),
    "Values": ("Schema", (1,)),
    "Items": ("Schema", (1,)),
}
PARAMETERS: Mapping[str, str] = {"body": "Body", "query": "Query", "path": "Place"}
_TYPE = re.compile(r"(?P<open>[\[{]?)(?P<name>x-|\w*)[\]}]?\Z")


class _Field(NamedTuple):
    number: int
    name: str
    type: str
    is_many: bool
    is_map: bool


@cache
def _messages() -> Mapping[str, tuple[_Field, ...]]:
    whole = _MESSAGES.replace("\n  ", " ").split("\n")
    lines = (line.split() for line in whole if line)
    return {name: tuple(_field(text) for text in fields) for name, *fields in lines}


def _field(text: str) -> _Field:
    number, _, rest = text.partition("=")
    name, _, told = rest.partition(":")
    form = _TYPE.match(told)
    assert form is not None, text  # noqa: S101  the table is ours
    return _Field(int(number), name, form["name"], form["open"] == "[", form["open"] == "{")


def document_bytes(tree: Mapping[str, Any]) -> bytes:
    """Return a document, or a part of one: parts behind one another are the whole.

    Raises: KeyError: the tree has a field that the table lacks.
    """
    return _message("Document", tree)


def _message(name: str, tree: Mapping[str, Any]) -> bytes:
    fields = {one.name: one for one in _messages()[name]}
    return b"".join(
        _content(fields["x-" if key.startswith("x-") else key], key, value)
        for key, value in tree.items()
    )


def _content(field: _Field, key: str, value: Any) -> bytes:
    if field.name == "x-":
        return bytes_field(field.number, _entry(key, _any(value)))
    if field.is_map:
        entry = ENTRIES.get(field.type, 1)
        made = (_entry(name, _around(field.type, one)) for name, one in value.items())
        return bytes_field(field.number, b"".join(bytes_field(entry, one) for one in made))
    each: Iterable[Any] = value if field.is_many else (value,)
    return b"".join(_one(field, one) for one in each)


def _one(field: _Field, value: Any) -> bytes:
    match field.type:
        case "int" | "bool":
            return varint_field(field.number, int(value))
        case "double":
            return double_field(field.number, value)
        case "":
            return bytes_field(field.number, value.encode())
        case "any":
            return bytes_field(field.number, _any(value))
        case name:
            return bytes_field(field.number, _around(name, value))


def _around(name: str, value: Any) -> bytes:
    """Return a message, with those around it that say which alternative it is."""
    if name == "Types":
        return bytes_field(1, value.encode())
    if name == "Parameter":
        name = PARAMETERS[value["in"]]
    held, numbers = AROUND.get(name, (name, ()))
    content = _message(held, value)
    for number in numbers:
        content = bytes_field(number, content)
    return content


def _entry(name: str, content: bytes) -> bytes:
    return bytes_field(1, name.encode()) + bytes_field(2, content)


def _any(value: Any) -> bytes:
    """Return gnostic's Any: a text of YAML, which JSON is."""
    return bytes_field(2, msgspec.json.encode(value))
