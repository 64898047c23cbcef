"""The forms in which objects are shown: whole, as a table of what `get` prints, or metadata alone.

Which one a client wants is in its Accept header, in Kubernetes' words (`as=Table`,
`as=PartialObjectMetadata`, `as=PartialObjectMetadataList`). YAML is another notation of the same
answer, whatever its form.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from apiserver.state.items import Item
from apiserver.wire.tables import API_VERSION, Included, partial_metadata, table_of
from cubernetes.api.errors import NotAcceptable
from cubernetes.api.meta import Object
from cubernetes.api.notation.yaml import text_of
from cubernetes.host.web.messages import Response

type Shape = Literal["whole", "table", "metadata"]
type Notation = Literal["json", "yaml"]

_SHAPES: dict[str, Shape] = {
    "": "whole",
    "Table": "table",
    "PartialObjectMetadata": "metadata",
    "PartialObjectMetadataList": "metadata",
}
_NOTATIONS: dict[str, Notation] = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "application/yaml": "yaml",
}


# Larger answers stay in JSON's notation, which YAML 1.2 contains: to write a list of all pods in
# lines and indents would hold up every other request.
BLOCK_YAML_BYTES_MAX = 64 * 1024


class Accepted(NamedTuple):
    """What a client wants to be shown, and how it is to be written."""

    shape: Shape
    notation: Notation


class Form(NamedTuple):
    """How objects of one kind are shown to one client.

    name: forms of equal names show equal bytes, so that watches share them.
    item: one object. listing: a list, given its items and its metadata as JSON.
    bookmark: the object of a bookmark at a revision.
    """

    name: str
    item: Callable[[Item], bytes]
    listing: Callable[[Sequence[Item], bytes], bytes]
    bookmark: Callable[[int], bytes]


@lru_cache(maxsize=64)
def accepted(accept: str) -> Accepted:
    """Return the first among the forms that a client accepts which can be given.

    Raises: NotAcceptable: only protobuf, for instance.
    """
    if not accept:
        return Accepted("whole", "json")
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        asked = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        notation = _NOTATIONS.get(media)
        shape = _SHAPES.get(asked.get("as", ""))
        if notation and shape and (shape == "whole" or asked.get("v", "v1") == "v1"):
            return Accepted(shape, notation)
    raise NotAcceptable("only application/json and application/yaml are served here")


def whole(kind: type[Object]) -> Form:
    """Return the form of objects as they are."""
    resource = kind.resource
    kinds = (resource.kind, resource.list_kind)
    if kind.stored_as is None:
        return _plain("whole", kinds, resource.api_version, attrgetter("content"))
    # Watches of all versions of a kind are of one cache.
    name = f"whole/{resource.version}"
    return _plain(name, kinds, resource.api_version, lambda item: item.of_version(kind).content)


def metadata_only(_: type[Object]) -> Form:
    """Return the form that shows an object's metadata and nothing else of it."""
    kinds = ("PartialObjectMetadata", "PartialObjectMetadataList")
    return _plain("metadata", kinds, API_VERSION, partial_metadata)


def table(kind: type[Object], now: Callable[[], datetime], included: Included) -> Form:
    """Return the form of a table; now tells the time from which ages are counted."""

    def shown(items: Sequence[Item], metadata: bytes) -> bytes:
        return table_of(kind, items, now(), metadata=metadata, included=included)

    return Form(
        f"table/{kind.resource.version}/{included}",
        lambda item: shown([item], _metadata(item.revision)),
        shown,
        lambda revision: shown([], _metadata(revision)),
    )


def _plain(
    name: str, kinds: tuple[str, str], api_version: str, show: Callable[[Item], bytes]
) -> Form:
    """Return a form; kinds: what one object says it is, and what a list says."""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b'

    def listing(items: Sequence[Item], metadata: bytes) -> bytes:
        begin = head % (kinds[1].encode(), api_version.encode(), metadata)
        return b'%b,"items":[%b]}' % (begin, b",".join([show(item) for item in items]))

    def bookmark(revision: int) -> bytes:
        return head % (kinds[0].encode(), api_version.encode(), _metadata(revision)) + b"}"

    return Form(name, show, listing, bookmark)


def _metadata(revision: int) -> bytes:
    return msgspec.json.encode({"resourceVersion": str(revision)})


def noted(accept: str, response: Response) -> Response:
    """Return a response in the notation that the client accepts; streams and texts stay."""
    body = response.body
    if "yaml" not in accept or response.content_type != "application/json":
        return response
    try:
        notation = accepted(accept).notation
    except NotAcceptable:
        return response
    if notation == "json" or not isinstance(body, bytes):
        return response
    if len(body) <= BLOCK_YAML_BYTES_MAX:
        body = text_of(msgspec.json.decode(body)).encode()
    return replace(response, body=body, content_type="application/yaml")


def indented(response: Response) -> Response:
    """Return a response whose JSON is in lines and indents; streams and texts stay."""
    if not isinstance(response.body, bytes) or response.content_type != "application/json":
        return response
    if response.switch is not None or not response.body:
        return response
    return replace(response, body=msgspec.json.format(response.body, indent=2))
