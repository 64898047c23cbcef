"""An API server of a few dozen lines, as a transport: keeps trees, refuses, tells of changes."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from apiserver.state.items import Item
from apiserver.wire.tables import table_of
from cubectl.api import JSON, TABLE, Api
from cubectl.cli import main
from cubectl.connection.kubeconfig import Access
from cubectl.connection.transport import Answer, Stream
from cubectl.kinds import Kinds
from cubectl.session import Session
from cubernetes.api.bodies.envelopes import status_of
from cubernetes.api.coding import codec
from cubernetes.api.coding.codec import Validation
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.meta import Object
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import patch
from cubernetes.api.registry import KINDS
from cubernetes.client.wire.catalog import Catalog
from tests.given import NOW

# The least service that the server takes.
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
    - port: 80
"""
ACCESS = Access(server="https://127.0.0.1:1", source="tests")


class Line:
    """A stream that is already whole."""

    def __init__(self, status: int, pieces: list[bytes]) -> None:
        self.status = status
        self._pieces = pieces
        self.warnings: tuple[str, ...] = ()

    def lines(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def chunks(self) -> Iterator[bytes]:
        return iter(self._pieces)


class TinyServer:
    """Objects by path. `asked` is every request; `refusals` come before anything else."""

    def __init__(self, *objects: Object) -> None:
        self.trees: dict[str, Tree] = {}
        self.asked: list[tuple[str, str]] = []
        self.refusals: dict[tuple[str, str], ApiError] = {}
        self.changes: list[tuple[str, Tree]] = []
        self.warnings: list[str] = []
        self.log = [b"one\n", b"two\n"]
        self.log_refusals: dict[str, ApiError] = {}  # by the pod's name
        self.revision = 100
        self.wants_namespaces = False
        for one in objects:
            self.keep(codec.to_tree(one))

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Return what was asked for that changes something: neither reads nor dry runs."""
        return [(verb, path) for verb, path in self.asked if verb != "GET" and "dryRun" not in path]

    def keep(self, tree: Tree) -> Tree:
        self.revision += 1
        metadata = tree["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        self.trees[self._path(tree)] = tree
        return tree

    def send(
        self, method: str, target: str, *, body: bytes = b"", media: str = "", accept: str = JSON
    ) -> Answer:
        self.asked.append((method, target))
        parts = urlsplit(target)
        try:
            tree = self._answer(method, parts.path, dict(parse_qsl(parts.query)), body)
        except ApiError as error:
            return Answer(error.code, codec.encode(status_of(error)))
        if accept == TABLE:
            tree = _table(tree)
        return Answer(200, json.dumps(tree).encode(), tuple(self.warnings))

    @contextmanager
    def stream(
        self, target: str, *, silence_s: float | None, accept: str = JSON
    ) -> Iterator[Stream]:
        self.asked.append(("GET", target))
        for name, refusal in self.log_refusals.items():
            if f"/{name}/log" in target:
                yield Line(refusal.code, [codec.encode(status_of(refusal))])
                return
        if "/log" in target or "/output" in target:
            yield Line(200, list(self.log))
            return
        if not self.changes:
            # A watch that nothing happens on would be followed for ever: somebody presses Ctrl-C.
            raise KeyboardInterrupt
        is_table = accept == TABLE
        told = [
            {"type": verdict, "object": _table(tree) if is_table and verdict != "ERROR" else tree}
            for verdict, tree in self.changes
        ]
        self.changes = []
        yield Line(200, [json.dumps(one).encode() + b"\n" for one in told])

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        is_dry = "dryRun" in query
        refusal = self.refusals.get((method, path))
        if refusal is not None:
            raise refusal
        sent = json.loads(body) if body else {}
        if method == "POST" and path.endswith("/eviction"):
            method, path = "DELETE", path.removesuffix("/eviction")
        if method == "POST":
            return self._posted(path, sent, query, is_dry=is_dry)
        path = path.removesuffix("/scale")
        if method == "GET" and path not in self.trees:
            return self._list(path, query)
        tree = self.trees.get(path)
        if tree is None:
            raise NotFound(f'{path.split("/")[-2]} "{path.rpartition("/")[2]}" not found')
        changes = {"PATCH": self._patch, "PUT": self._put}
        if method in changes:
            return changes[method](tree, sent, is_dry=is_dry)
        if method == "DELETE" and "dryRun" not in (sent.get("deleteOptions") or sent):
            del self.trees[path]
        return tree

    def _posted(self, path: str, sent: Tree, query: Mapping[str, str], *, is_dry: bool) -> Tree:
        if path.endswith("/token"):
            return {**sent, "status": {"token": f"of {path} with {json.dumps(sent['spec'])}"}}
        asked = cast(Validation, query.get("fieldValidation", "Warn"))
        return self._create({**sent, "metadata": dict(sent["metadata"])}, asked, is_dry=is_dry)

    def _create(self, tree: Tree, asked: Validation, *, is_dry: bool) -> Tree:
        kind = _kind(tree)
        if "name" not in tree["metadata"]:
            tree["metadata"]["name"] = f"{tree['metadata']['generateName']}abcde"
        reading = codec.from_tree(kind, tree, asked, is_status_heard=False)
        problems = list(reading.model.problems())
        if problems:
            raise invalid(kind.resource.kind, tree["metadata"]["name"], problems)
        place = tree["metadata"].get("namespace", "")
        if self.wants_namespaces and place and f"/api/v1/namespaces/{place}" not in self.trees:
            raise NotFound(f'namespaces "{place}" not found')
        if self._path(tree) in self.trees:
            raise AlreadyExists(f'{kind.resource.plural} "{tree["metadata"]["name"]}" exists')
        return tree if is_dry else self.keep(tree)

    def _put(self, tree: Tree, sent: Tree, *, is_dry: bool) -> Tree:
        """Keep what was sent; as with a server, the status stays."""
        new = {**sent, "status": tree["status"]} if "status" in tree else sent
        return new if is_dry else self.keep(new)

    def _patch(self, tree: Tree, change: Tree, *, is_dry: bool) -> Tree:
        wanted = (change.get("metadata") or {}).get("resourceVersion")
        if wanted not in (None, tree["metadata"]["resourceVersion"]):
            raise Conflict("modified since")
        new = patch.merged(tree, change)
        codec.from_tree(_kind(new), new)
        return new if is_dry else self.keep(new)

    def _list(self, path: str, query: Mapping[str, str]) -> Tree:
        plural = path.rpartition("/")[2]
        if plural not in {kind.resource.plural for kind in KINDS}:
            raise NotFound(f'{path.split("/")[-2]} "{plural}" not found')
        place = path.removesuffix(plural)
        found = [
            tree
            for one, tree in sorted(self.trees.items())
            if one.startswith(place) and one.split("/")[-2] == plural and _is_asked_for(tree, query)
        ]
        return {"metadata": {"resourceVersion": str(self.revision)}, "items": found}

    def _path(self, tree: Tree) -> str:
        resource = _kind(tree).resource
        place = f"/namespaces/{tree['metadata']['namespace']}" if resource.namespaced else ""
        return f"{resource.root}{place}/{resource.plural}/{tree['metadata']['name']}"


def _kind(tree: Tree) -> type[Object]:
    return next(kind for kind in KINDS if kind.resource.kind == tree["kind"])


def _is_asked_for(tree: Tree, query: Mapping[str, str]) -> bool:
    labels = tree["metadata"].get("labels", {})
    terms = [term.split("=") for term in query.get("labelSelector", "").split(",") if term]
    fields = dict(part.split("=") for part in query.get("fieldSelector", "").split(",") if part)
    found = {
        "metadata.name": tree["metadata"]["name"],
        "spec.nodeName": (tree.get("spec") or {}).get("nodeName", ""),
    }
    return all(labels.get(key) == value for key, value in terms) and all(
        found.get(field, value) == value for field, value in fields.items()
    )


def _table(tree: Tree) -> Tree:
    """Return what the real server makes of an object, a list or a bookmark where asked for rows."""
    trees = tree.get("items", [tree] if "name" in tree["metadata"] else [])
    kind = _kind(trees[0]) if trees else Pod
    items = [Item(kind, "", 1, json.dumps(_known(kind, one)).encode()) for one in trees]
    version = json.dumps({"resourceVersion": tree["metadata"]["resourceVersion"]}).encode()
    return cast(Tree, json.loads(table_of(kind, items, NOW, metadata=version)))


def _known(kind: type[Object], tree: Tree) -> Tree:
    return codec.to_tree(codec.served(kind, tree))


class Said:
    """What a command line printed, and the code it ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class FixedKinds(Kinds):
    """Kinds that are known beforehand: no server is asked for them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._is_fresh = catalog, True


def run(
    server: TinyServer,
    line: str | Sequence[str],
    *,
    columns: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Said:
    """Run a command line against a server; columns is the width of a terminal, 0 a pipe.

    A line is split at its blanks; where that is not enough, give its words.
    """
    out: io.StringIO = Terminal() if columns else io.StringIO()
    passed_s = iter(range(0, 10_000, 5))
    session = Session(
        out=out,
        err=io.StringIO(),
        environment={"COLUMNS": str(columns), **(environment or {})},
        now=lambda: NOW + timedelta(0),
        monotonic=lambda: float(next(passed_s)),
    )
    session.api = Api(server, session.warn)
    session.kinds = FixedKinds(Catalog(kind.resource for kind in KINDS))
    session.access = ACCESS
    code = main(line.split() if isinstance(line, str) else line, session)
    assert isinstance(session.err, io.StringIO)
    return Said(code, out.getvalue(), session.err.getvalue())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
