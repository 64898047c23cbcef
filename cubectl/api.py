"""Calls on objects, as trees: what verbs ask of the API server, and its refusals as errors."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode

import msgspec

from cubectl.connection.transport import WATCH_SILENCE_S, Stream, Transport
from cubernetes.api import codec
from cubernetes.api.errors import ApiError, error_for
from cubernetes.api.meta import Object
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.words import DeleteOptions, Status, error_of
from cubernetes.client.paths import collection_of, path_of

JSON, MERGE = "application/json", "application/merge-patch+json"
WATCH_S = 300
REFUSAL_BYTES_MAX = 256 * 1024
VERDICTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
PAGE_MAX = 500  # objects that one answer of a list brings at most

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
        return _object_in(self._tree("GET", _target(path_of(kind, namespace, name))))

    def list(self, kind: type[Object], namespace: str, query: Query | None = None) -> Listed:
        """Return all pages together; an empty namespace is all of them."""
        items: list[Tree] = []
        proceed = ""
        while True:
            page = {**(query or {}), "limit": str(PAGE_MAX)} | (
                {"continue": proceed} if proceed else {}
            )
            tree = self._tree("GET", _target(collection_of(kind, namespace), page))
            listed = tree.get("items") or []
            if not isinstance(listed, list):
                raise strange("a list without items")
            items += [_with_kind(kind, _object_in(item)) for item in listed]
            metadata = tree.get("metadata") or {}
            proceed = str(metadata.get("continue") or "")
            if not proceed:
                return Listed(items, str(metadata.get("resourceVersion", "")))

    def create(self, kind: type[Object], tree: Tree, namespace: str, *, is_dry: bool) -> Tree:
        target = _target(collection_of(kind, namespace), _write_query(is_dry))
        return _object_in(self._tree("POST", target, _json(tree), JSON))

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
        return _object_in(self._tree("PATCH", target, _json(change), MERGE))

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
                raise refusal(stream.status, _beginning(stream))
            for line in stream.lines():
                if line.strip():
                    yield _change_in(line)

    def log(self, pod: str, namespace: str, query: Query) -> Iterator[bytes]:
        """Yield a container's output as it comes."""
        from cubernetes.api.core.pod import Pod

        target = _target(path_of(Pod, namespace, pod, "log"), query)
        with self._transport.stream(target, silence_s=None) as stream:
            if stream.status != 200:
                raise refusal(stream.status, _beginning(stream))
            yield from stream.chunks()

    def _tree(self, method: str, target: str, body: bytes = b"", media: str = "") -> Tree:
        answer = self._transport.send(method, target, body=body, media=media)
        if answer.status >= 400:
            raise refusal(answer.status, answer.body)
        try:
            tree = jsontext.tree_of(answer.body, duplicates_refused=False)
        except ApiError as error:
            raise strange(f"what is not JSON: {error.message}") from error
        if not isinstance(tree.get("metadata") or {}, dict):
            raise strange("an answer whose metadata are no object")
        return tree


def refusal(code: int, body: bytes) -> ApiError:
    """Return the error that a body tells of; a body that is no Status tells little."""
    try:
        status = codec.decode(Status, body)
    except msgspec.DecodeError:
        said = body.decode(errors="replace").strip()[:200]
        return error_for(code, "")(f"the server answered {code}: {said or 'nothing more'}")
    return error_of(status)


def strange(what: str) -> ApiError:
    """Return the error of a server that answers what nobody can read."""
    return error_for(500, "")(f"the server sent {what}")


def _object_in(tree: Any) -> Tree:
    """Return an object, of which everybody may know who it is. Raises: ApiError."""
    metadata = tree.get("metadata") if isinstance(tree, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise strange("an object without metadata.name")
    for field in ("namespace", "uid", "resourceVersion"):
        if not isinstance(metadata.get(field, ""), str):
            raise strange(f"an object whose metadata.{field} is no text")
    return cast(Tree, tree)


def _change_in(line: bytes) -> Change:
    """Return what a line of a watch tells. Raises: ApiError: an ERROR, or no event at all."""
    try:
        event = jsontext.tree_of(line, duplicates_refused=False)
    except ApiError as error:
        raise strange(f"a line of a watch that is not JSON: {error.message}") from error
    verdict, tree = event.get("type"), event.get("object")
    if not isinstance(tree, dict):
        raise strange("a line of a watch without an object")
    if verdict == "ERROR":
        code = tree.get("code")
        raise refusal(code if isinstance(code, int) else 500, _json(tree))
    if verdict not in VERDICTS:
        raise strange(f"a line of a watch of the type {str(verdict)[:40]!r}")
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("resourceVersion"), str):
        raise strange("a line of a watch without metadata.resourceVersion")
    return Change(str(verdict), tree if verdict == "BOOKMARK" else _object_in(tree))


def _beginning(stream: Stream) -> bytes:
    """Return as much of a refusal as one can be."""
    found = b""
    for chunk in stream.chunks():
        found += chunk
        if len(found) > REFUSAL_BYTES_MAX:
            break
    return found


def _target(path: str, query: Query | None = None) -> str:
    return f"{quote(path)}?{urlencode(query)}" if query else quote(path)


def _write_query(is_dry: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if is_dry else {})


def _json(tree: Any) -> bytes:
    return msgspec.json.encode(tree)


def _with_kind(kind: type[Object], item: Tree) -> Tree:
    """Return a list's item as an object of its own: with apiVersion and kind."""
    return {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **item}
