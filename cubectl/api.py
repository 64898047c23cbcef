"""Calls on objects, as trees: what verbs ask of the API server, and its refusals as errors."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from cubectl.transport import WATCH_SILENCE_S, Transport
from cubernetes.api import codec
from cubernetes.api.codec import Tree
from cubernetes.api.errors import ApiError, error_for
from cubernetes.api.meta import Object
from cubernetes.api.words import DeleteOptions, Status, error_of
from cubernetes.client.paths import collection_of, path_of

JSON, MERGE = "application/json", "application/merge-patch+json"
WATCH_S = 300
PAGE_LIMIT = 500  # objects that one answer of a list brings at most

type Query = Mapping[str, str]


class Change(NamedTuple):
    """One line of a watch; for a bookmark, tree has only a revision."""

    verdict: str
    tree: Tree


class Listed(NamedTuple):
    """Everything that a list found, as of one revision."""

    items: list[Tree]
    revision: str


class Api:
    """Raises ApiError where the server refuses, Unreachable where it does not answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, kind: type[Object], name: str, namespace: str) -> Tree:
        return self._tree("GET", _target(path_of(kind, namespace, name)))

    def list(self, kind: type[Object], namespace: str, query: Query | None = None) -> Listed:
        """Return all pages together; an empty namespace is all of them."""
        items: list[Tree] = []
        proceed = ""
        while True:
            page = {**(query or {}), "limit": str(PAGE_LIMIT)} | (
                {"continue": proceed} if proceed else {}
            )
            tree = self._tree("GET", _target(collection_of(kind, namespace), page))
            items += [_with_kind(kind, item) for item in tree.get("items") or []]
            metadata = tree.get("metadata") or {}
            proceed = str(metadata.get("continue") or "")
            if not proceed:
                return Listed(items, str(metadata.get("resourceVersion", "")))

    def create(self, kind: type[Object], tree: Tree, namespace: str, *, is_dry: bool) -> Tree:
        target = _target(collection_of(kind, namespace), _write_query(is_dry))
        return self._tree("POST", target, _json(tree), JSON)

    def patch(
        self,
        kind: type[Object],
        name: str,
        namespace: str,
        change: Tree,
        *,
        subresource: str = "",
        is_dry: bool = False,
    ) -> Tree:
        path = path_of(kind, namespace, name, subresource)
        target = _target(path, _write_query(is_dry))
        return self._tree("PATCH", target, _json(change), MERGE)

    def delete(self, kind: type[Object], name: str, namespace: str, options: DeleteOptions) -> Tree:
        target = _target(path_of(kind, namespace, name))
        return self._tree("DELETE", target, codec.encode(options), JSON)

    def raw(self, path: str) -> Tree:
        return self._tree("GET", path)

    def watch(
        self,
        kind: type[Object],
        namespace: str,
        revision: str,
        query: Query,
        *,
        span_s: int = WATCH_S,
    ) -> Iterator[Change]:
        """Yield changes after a revision until the server ends the watch, after span_s at most.

        Raises: Gone: the revision is too old, list again.
        """
        asked = {
            **query,
            "watch": "true",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(span_s),
        }
        target = _target(collection_of(kind, namespace), asked)
        with self._transport.stream(target, silence_s=WATCH_SILENCE_S) as stream:
            if stream.status != 200:
                raise refusal(stream.status, b"".join(stream.chunks()))
            for line in stream.lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise refusal(int(event["object"].get("code", 500)), _json(event["object"]))
                yield Change(event["type"], event["object"])

    def log(self, pod: str, namespace: str, query: Query) -> Iterator[bytes]:
        """Yield a container's output as it comes."""
        from cubernetes.api.pod import Pod

        target = _target(path_of(Pod, namespace, pod, "log"), query)
        with self._transport.stream(target, silence_s=None) as stream:
            if stream.status != 200:
                raise refusal(stream.status, b"".join(stream.chunks()))
            yield from stream.chunks()

    def _tree(self, method: str, target: str, body: bytes = b"", media: str = "") -> Tree:
        answer = self._transport.send(method, target, body=body, media=media)
        if answer.status >= 400:
            raise refusal(answer.status, answer.body)
        try:
            return codec.tree_of(answer.body, duplicates_refused=False)
        except ApiError as error:
            raise error_for(500, "")(f"the answer is not JSON: {error.message}") from error


def refusal(code: int, body: bytes) -> ApiError:
    """Return the error that a body tells of; a body that is no Status tells little."""
    try:
        status = codec.decode(Status, body)
    except msgspec.DecodeError:
        said = body.decode(errors="replace").strip()[:200]
        return error_for(code, "")(f"the server answered {code}: {said or 'nothing more'}")
    return error_of(status)


def _target(path: str, query: Query | None = None) -> str:
    return f"{quote(path)}?{urlencode(query)}" if query else quote(path)


def _write_query(is_dry: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if is_dry else {})


def _json(tree: Any) -> bytes:
    return msgspec.json.encode(tree)


def _with_kind(kind: type[Object], item: Tree) -> Tree:
    """Return a list's item as an object of its own: with apiVersion and kind."""
    return {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **item}
