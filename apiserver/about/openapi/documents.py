"""The documents of OpenAPI: made when first asked for, kept as bytes.

There is one of v3 for each group, and one of v2 about everything, in two notations.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from apiserver.about.openapi import gnostic
from apiserver.about.openapi.operations import paths_of
from apiserver.about.openapi.schemas import Schemas
from apiserver.about.openapi.swagger import swagger_of
from apiserver.backend import Backend
from apiserver.call import Call, Handler, Route
from cubernetes.api.errors import NotAcceptable
from cubernetes.api.meta import Object
from cubernetes.host.version import VERSION
from cubernetes.host.web.messages import Response

# What a hash names never changes: a client that knows it need not ask for a year.
UNCHANGING = {"Cache-Control": "max-age=31536000, immutable"}


TITLE = "Cubernetes"
JSON = "application/json"


class Document(NamedTuple):
    content: bytes
    hash: str


# By its root a document, and the kinds that it is about.
type Shelf = dict[str, tuple[tuple[type[Object], ...], Document]]


class Documents:
    """Says what the routes of kinds are. Most servers are never asked."""

    def __init__(
        self,
        routes: Iterable[Route],
        kinds: Iterable[type[Object]],
        shelf: "Shelf | None" = None,
    ) -> None:
        """shelf: what was made for other kinds; what is about the same ones is not made anew."""
        self._kinds = tuple(kinds)
        self._made: Shelf = {} if shelf is None else shelf
        self._routes: dict[str, list[Route]] = {}
        for route in routes:
            assert route.kind is not None  # noqa: S101  only routes of kinds are told of
            self._routes.setdefault(route.kind.resource.root, []).append(route)
        self._swagger: dict[str, bytes] = {}
        for root in self._made.keys() - self._routes.keys():
            del self._made[root]

    async def index(self, _: Backend, __: Call) -> Response:
        """Say where each group's document is; the hash follows from what stands in it."""
        paths = {}
        for root in sorted(self._routes):
            url = f"/openapi/v3{root}?hash={self._document(root).hash}"
            paths[root.strip("/")] = {"serverRelativeURL": url}
            # Each takes a while when it is first made: others are answered in between.
            await asyncio.sleep(0)
        return Response(200, msgspec.json.encode({"paths": paths}))

    def of(self, root: str) -> Handler:
        """Return the handler of the document of the group under root (`/apis/apps/v1`)."""

        async def answer(_: Backend, call: Call) -> Response:
            document = self._document(root)
            is_named = call.request.parameter("hash") == document.hash
            return Response(200, document.content, UNCHANGING if is_named else {})

        return answer

    async def swagger(self, _: Backend, call: Call) -> Response:
        """Say everything in OpenAPI v2: as JSON, or as the protobuf that older clients ask for.

        Raises: NotAcceptable.
        """
        media = _swagger_media(call.request.headers.get("accept", ""))
        if not self._swagger:
            await self._make_swagger()
        return Response(200, self._swagger[media], content_type=media)

    async def _make_swagger(self) -> None:
        head = {"swagger": "2.0", "info": {"title": TITLE, "version": VERSION}}
        whole: dict[str, Any] = {"paths": {}, "definitions": {}}
        parts = [gnostic.document_bytes(head)]
        for root in sorted(self._routes):
            part = swagger_of(
                msgspec.json.decode(self._document(root).content), whole["definitions"]
            )
            parts.append(gnostic.document_bytes(part))
            whole = {key: whole[key] | part[key] for key in whole}
            # As above.
            await asyncio.sleep(0)
        self._swagger = {
            JSON: msgspec.json.encode(head | whole, order="sorted"),
            gnostic.MEDIA[-1]: b"".join(parts),
        }

    def _document(self, root: str) -> Document:
        own = tuple(one for one in self._kinds if one.resource.root == root)
        kinds, document = self._made.get(root, ((), None))
        if document is None or kinds != own:
            content = document_of(self._routes[root], self._kinds)
            document = Document(content, hashlib.sha256(content).hexdigest()[:32])
            self._made[root] = own, document
        return document


def document_of(routes: Iterable[Route], kinds: Iterable[type[Object]]) -> bytes:
    """Return the JSON of the document about routes of kinds; kinds are all that there are."""
    schemas = Schemas(kinds)
    paths = paths_of(routes, schemas)
    return msgspec.json.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": TITLE, "version": VERSION},
            "paths": paths,
            "components": {"schemas": schemas.named},
        },
        order="sorted",
    )


def _swagger_media(accept: str) -> str:
    """Return the first among the forms that a client accepts which can be given.

    Raises: NotAcceptable.
    """
    for part in (accept or JSON).split(","):
        media = part.partition(";")[0].strip()
        if media in (JSON, "application/*", "*/*"):
            return JSON
        if media in gnostic.MEDIA:
            return gnostic.MEDIA[-1]
    raise NotAcceptable(f"only {JSON} and {gnostic.MEDIA[-1]} are served here")
