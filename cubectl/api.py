"""Calls on objects, as trees: what verbs ask of the API server, and its refusals as errors.

No kind's model is needed for any of them. What reads refusals and watches knows some models, and
is loaded where there is a refusal or a watch.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, cast

from cubectl.connection.transport import WATCH_SILENCE_S, Stream, Transport
from cubernetes.api.errors import ApiError, error_for
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.client.wire.paths import collection_of, path_of, target_of
from cubernetes.client.wire.queries import Query, list_query, watch_query

JSON, MERGE = "application/json", "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WATCH_S = 300
REFUSAL_BYTES_MAX = 256 * 1024
PAGE_MAX = 500  # objects that one answer of a list brings at most

type Validation = Literal["Strict", "Warn", "Ignore"]


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

    def __init__(self, transport: Transport, warn: Callable[[str], None]) -> None:
        """warn is told what the server says beside its answers."""
        self._transport, self._warn = transport, warn

    def get(self, kind: Resource, name: str, namespace: str, *, accept: str = JSON) -> Tree:
        tree = self._tree("GET", target_of(path_of(kind, namespace, name)), accept=accept)
        return _object_in(tree) if accept == JSON else tree

    def list(self, kind: Resource, namespace: str, selection: Query = ()) -> Listed:
        """Return all pages together; an empty namespace is all of them."""
        items: list[Tree] = []
        revision = ""
        for page in self.pages(kind, namespace, selection):
            listed = page.get("items") or []
            if not isinstance(listed, list):
                raise strange("a list without items")
            items += [_with_kind(kind, _object_in(item)) for item in listed]
            revision = revision_of(page)
        return Listed(items, revision)

    def pages(
        self, kind: Resource, namespace: str, selection: Query = (), *, accept: str = JSON
    ) -> Iterator[Tree]:
        """Yield the pages of a list, as they are."""
        proceed = ""
        while True:
            query = list_query(selection, limit=PAGE_MAX, proceed=proceed)
            page = self._tree(
                "GET", target_of(collection_of(kind, namespace), query), accept=accept
            )
            yield page
            proceed = str((page.get("metadata") or {}).get("continue") or "")
            if not proceed:
                return

    def create(
        self,
        kind: Resource,
        tree: Tree,
        namespace: str,
        *,
        is_dry: bool,
        validation: Validation = "Strict",
    ) -> Tree:
        path = collection_of(kind, namespace)
        target = target_of(path, _write_query(validation, is_dry=is_dry))
        return _object_in(self._tree("POST", target, _json(tree), JSON))

    def replace(
        self,
        kind: Resource,
        name: str,
        tree: Tree,
        namespace: str,
        *,
        is_dry: bool,
        validation: Validation = "Strict",
    ) -> Tree:
        path = path_of(kind, namespace, name)
        target = target_of(path, _write_query(validation, is_dry=is_dry))
        return _object_in(self._tree("PUT", target, _json(tree), JSON))

    def patch(  # noqa: PLR0913  the API's own parameters
        self,
        kind: Resource,
        name: str,
        namespace: str,
        change: Any,
        *,
        subresource: str = "",
        is_dry: bool = False,
        validation: Validation = "Strict",
        media: str = MERGE,
    ) -> Tree:
        path = path_of(kind, namespace, name, subresource)
        target = target_of(path, _write_query(validation, is_dry=is_dry))
        return _object_in(self._tree("PATCH", target, _json(change), media))

    def apply(  # noqa: PLR0913  the API's own parameters
        self,
        kind: Resource,
        name: str,
        namespace: str,
        tree: Tree,
        writer: Query,
        *,
        is_dry: bool,
        validation: Validation = "Strict",
    ) -> Tree:
        """Let the server apply what a document says; writer: who applies, and whether by force."""
        query = [*_write_query(validation, is_dry=is_dry), *writer]
        target = target_of(path_of(kind, namespace, name), query)
        return _object_in(self._tree("PATCH", target, _json(tree), APPLY))

    def delete(self, kind: Resource, name: str, namespace: str, options: Tree) -> Tree:
        """Ask for deletion; options are the fields of a DeleteOptions that are not left out."""
        target = target_of(path_of(kind, namespace, name))
        return self._tree("DELETE", target, _json(options), JSON)

    def remove_ephemeral(self, pods: Resource, name: str, namespace: str, container: str) -> Tree:
        """Take an ephemeral container out of a pod."""
        path = path_of(pods, namespace, name, "ephemeralcontainers")
        return self._tree("DELETE", target_of(path, [("container", container)]))

    def evict(self, pods: Resource, name: str, namespace: str, options: Tree) -> Tree:
        """Ask for a pod's deletion, as far as its budget allows; options as those of delete."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        }
        target = target_of(path_of(pods, namespace, name, "eviction"))
        return self._tree("POST", target, _json(eviction), JSON)

    def token(self, accounts: Resource, name: str, namespace: str, spec: Tree) -> str:
        """Ask for a token of a service account."""
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        target = target_of(path_of(accounts, namespace, name, "token"))
        told: Tree = self._tree("POST", target, _json(asked), JSON)
        return str(told["status"]["token"])

    def review(self, kind: Resource, tree: Tree) -> Tree:
        """Return the answer to a question, which has no name: it is answered and not kept."""
        return self._tree("POST", collection_of(kind, ""), _json(tree), JSON)

    def raw(self, path: str) -> Tree:
        return self._tree("GET", path)

    def text(self, target: str) -> bytes:
        """Return what stands at a path with its query, as it comes."""
        answer = self._transport.send("GET", target)
        if answer.status >= 400:
            raise _refusal(answer.status, answer.body)
        return answer.body

    def watch(
        self,
        kind: Resource,
        namespace: str,
        revision: str,
        selection: Query,
        *,
        span_s: int = WATCH_S,
        accept: str = JSON,
    ) -> Iterator[Change]:
        """Yield changes after a revision until the server ends the watch, after span_s at most.

        Raises: Gone: the revision is too old, list again.
        """
        query = watch_query(selection, revision, span_s)
        target = target_of(collection_of(kind, namespace), query)
        with self._transport.stream(target, silence_s=WATCH_SILENCE_S, accept=accept) as stream:
            if stream.status != 200:
                raise _refusal(stream.status, _beginning(stream))
            for line in stream.lines():
                if line.strip():
                    yield change_in(line, is_whole=accept == JSON)

    def log(
        self, kind: Resource, name: str, namespace: str, query: Query, *, part: str = "log"
    ) -> Iterator[bytes]:
        """Yield what a subresource tells as it comes: a container's log, a job's output."""
        target = target_of(path_of(kind, namespace, name, part), query)
        with self._transport.stream(target, silence_s=None) as stream:
            for warning in stream.warnings:
                self._warn(warning)
            if stream.status != 200:
                raise _refusal(stream.status, _beginning(stream))
            yield from stream.chunks()

    def _tree(
        self, method: str, target: str, body: bytes = b"", media: str = "", *, accept: str = JSON
    ) -> Tree:
        answer = self._transport.send(method, target, body=body, media=media, accept=accept)
        for warning in answer.warnings:
            self._warn(warning)
        if answer.status >= 400:
            raise _refusal(answer.status, answer.body)
        try:
            tree = jsontext.tree_of(answer.body, duplicates_refused=False)
        except ApiError as error:
            raise strange(f"what is not JSON: {error.message}") from error
        if not isinstance(tree.get("metadata") or {}, dict):
            raise strange("an answer whose metadata are no object")
        return tree


def revision_of(tree: Tree) -> str:
    return str((tree.get("metadata") or {}).get("resourceVersion", ""))


def _refusal(code: int, body: bytes) -> ApiError:
    """Return the error that a body tells of; what reads it is loaded where there is one."""
    from cubernetes.client.wire.refusals import refusal_of

    return refusal_of(code, body, {})


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


def change_in(line: bytes, *, is_whole: bool) -> Change:
    """Return what a line of a watch tells; is_whole: its objects are whole, not tables.

    Raises: ApiError: an ERROR, or no event at all.
    """
    from cubernetes.client.wire.watchlines import NoEvent, event_in

    try:
        event = event_in(line)
    except NoEvent as error:
        raise strange(f"a line of a watch that is no event: {error}") from error
    try:
        tree = jsontext.tree_of(event.object, duplicates_refused=False)
    except ApiError as error:
        raise strange(f"a line of a watch that is no event: {error.message}") from error
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("resourceVersion"), str):
        raise strange("a line of a watch without metadata.resourceVersion")
    is_object = is_whole and event.type != "BOOKMARK"
    return Change(event.type, _object_in(tree) if is_object else tree)


def _beginning(stream: Stream) -> bytes:
    """Return as much of a refusal as one can be."""
    found = b""
    for chunk in stream.chunks():
        found += chunk
        if len(found) > REFUSAL_BYTES_MAX:
            break
    return found


def _write_query(validation: Validation, *, is_dry: bool) -> Query:
    return [("fieldValidation", validation)] + ([("dryRun", "All")] if is_dry else [])


def _json(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def _with_kind(kind: Resource, item: Tree) -> Tree:
    """Return a list's item as an object of its own: with apiVersion and kind."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}
