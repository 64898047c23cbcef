"""Manifests from files, folders and stdin: every document is read and judged before any is sent."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cubectl.kinds import Kinds
from cubectl.objects.forerunner import translated
from cubectl.session import Failed, Rejected
from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.notation.manifests import parts_of
from cubernetes.api.resource import Resource

SIZE_BYTES_MAX = 10 * 1024 * 1024
FILE_MAX = 1000
ENDINGS = (".yaml", ".yml", ".json")
NAMELESS = "resource name may not be empty"
GENERATED = f"{NAMELESS} (generateName cannot be applied or deleted, only created)"


class Manifest(NamedTuple):
    """One document. where tells a person which: `web.yaml:12`.

    told: that it was of another platform, and what it means here; empty: it is as it was written.
    """

    where: str
    kind: Resource
    tree: Tree
    namespace: str
    told: str = ""

    @property
    def name(self) -> str:
        return str(self.tree["metadata"].get("name", ""))


# Returns everything that is wrong with a document beyond who it is, each with its field.
type Judge = Callable[[Manifest], list[str]]


def manifests_in(
    paths: Sequence[str],
    kinds: Kinds,
    namespace: str,
    *,
    is_namespace_chosen: bool = False,
    is_name_needed: bool = True,
    judge: Judge = lambda _: [],
) -> list[Manifest]:
    """Return every document, in order. namespace is for those that name none.

    is_name_needed false is for new objects alone: the server makes names of their generateName.

    Raises: Failed: a file cannot be read. Rejected: with every problem of every document.
    """
    found: list[Manifest] = []
    wrong: list[str] = []
    for path in paths:
        for where, tree in _documents(path):
            read = _read(where, tree, kinds, namespace)
            if not isinstance(read, Manifest):
                wrong.append(f"{where}: {read}")
                continue
            problems = judge(read) or _identity_problems(read, is_name_needed=is_name_needed)
            if not problems and is_namespace_chosen and read.kind.namespaced:
                problems = _place_problems(read, namespace)
            wrong += [f"{where}: {problem}" for problem in problems]
            found.append(read)
    if wrong:
        raise Rejected(wrong)
    if not found:
        raise Failed(f"no objects in {', '.join(paths)}")
    return found


def _documents(path: str) -> Iterator[tuple[str, Any]]:
    """Yield (where, tree) for each document of a file, a folder's files, or stdin (`-`)."""
    if path == "-":
        yield from _trees("stdin", _content(sys.stdin.buffer, "stdin"))
        return
    for file in _files(Path(path)):
        try:
            with file.open("rb") as opened:
                content = _content(opened, str(file))
        except OSError as error:
            raise Failed(f"{file}: {error.strerror}") from error
        yield from _trees(str(file), content)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.suffix in ENDINGS and one.is_file())
    if not files:
        raise Failed(f"{path}: no {', '.join(ENDINGS)} file in this folder")
    if len(files) > FILE_MAX:
        raise Failed(f"{path}: {len(files)} files, at most {FILE_MAX}")
    return files


def _content(file: BinaryIO, name: str) -> bytes:
    content = file.read(SIZE_BYTES_MAX + 1)
    if len(content) > SIZE_BYTES_MAX:
        raise Failed(f"{name}: over {SIZE_BYTES_MAX} bytes")
    return content


def _trees(name: str, content: bytes) -> Iterator[tuple[str, Any]]:
    try:
        found = list(parts_of(content))
    except BadRequest as error:
        raise Rejected([f"{name}: {error.message}"]) from error
    for part in found:
        yield f"{name}:{part.where}", part.tree


def _read(where: str, tree: object, kinds: Kinds, namespace: str) -> Manifest | str:
    """Return a document as a manifest, or why nobody can tell what it is."""
    if not isinstance(tree, dict):
        return "must be an object"
    of_old = translated(tree)
    tree, told = of_old or (tree, "")
    version, word = str(tree.get("apiVersion", "")), str(tree.get("kind", ""))
    if not version or not word:
        return f"{'apiVersion' if not version else 'kind'}: is required"
    kind = kinds.find(lambda catalog: catalog.of(version, word))
    if kind is None:
        return _unknown(version, word, kinds)
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    named = metadata.get("namespace")
    place = str(named or namespace) if kind.namespaced else ""
    metadata = {**metadata, "namespace": place} if place else metadata
    whole = {**tree, "metadata": metadata} if metadata or "metadata" not in tree else tree
    return Manifest(where, kind, whole, place, told)


def _identity_problems(manifest: Manifest, *, is_name_needed: bool) -> list[str]:
    word, metadata = manifest.kind.kind, manifest.tree["metadata"]
    if not isinstance(metadata, dict):
        return [f"{word}: metadata: must be an object"]
    name = metadata.get("name") or ""
    if not isinstance(name, str) or not isinstance(metadata.get("namespace") or "", str):
        return [
            f"{word}: metadata.{'namespace' if isinstance(name, str) else 'name'}: must be text"
        ]
    if not name and not metadata.get("generateName"):
        return [f"{word}: metadata.name: {NAMELESS}"]
    if not name and is_name_needed:
        return [f"{word}: metadata.name: {GENERATED}"]
    return []


def _place_problems(manifest: Manifest, namespace: str) -> list[str]:
    if manifest.namespace == namespace:
        return []
    title = f"{manifest.kind.kind}/{manifest.name}"
    told = f"is {manifest.namespace!r}, but -n says {namespace!r}"
    return [f"{title}: metadata.namespace: {told}"]


def _unknown(version: str, word: str, kinds: Kinds) -> str:
    resources = kinds.catalog.resources
    right = [one.api_version for one in resources if one.kind == word]
    if right:
        return f"apiVersion: {version[:80]!r} has no {word}, use {right[0]!r}"
    known = ", ".join(sorted({one.kind for one in resources}))
    return f"kind: there is no {word[:80]!r}: {known}"
