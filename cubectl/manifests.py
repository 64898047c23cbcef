"""Manifests from files, folders and stdin: every document is read and judged before any is sent."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cubectl.session import Failed
from cubernetes.api import codec
from cubernetes.api.errors import ApiError, BadRequest
from cubernetes.api.meta import Object, replaced
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.registry import KINDS, kind_of

SIZE_BYTES_MAX = 10 * 1024 * 1024
FILE_MAX = 1000
ENDINGS = (".yaml", ".yml", ".json")
NAMELESS = "resource name may not be empty"
GENERATED = f"{NAMELESS} (generateName cannot be applied or deleted, only created)"


class Rejected(Exception):
    """Documents that cannot be sent: one sentence for each thing that is wrong."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = tuple(sentences)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document. where tells a person which: `web.yaml:12`."""

    where: str
    kind: type[Object]
    tree: Tree
    namespace: str

    @property
    def name(self) -> str:
        return str(self.tree["metadata"].get("name", ""))


def manifests_in(
    paths: Sequence[str],
    namespace: str,
    *,
    is_namespace_chosen: bool = False,
    is_name_needed: bool = True,
) -> list[Manifest]:
    """Return every document, in order. namespace is for those that name none.

    is_name_needed false is for new objects alone: the server makes names of their generateName.

    Raises: Failed: a file cannot be read. Rejected: with every problem of every document.
    """
    found: list[Manifest] = []
    wrong: list[str] = []
    for path in paths:
        for where, tree in _documents(path):
            read = _read(where, tree, namespace, is_namespace_chosen=is_namespace_chosen)
            if not isinstance(read, Manifest):
                wrong += [f"{where}: {problem}" for problem in read]
            elif is_name_needed and not read.name:
                wrong.append(f"{where}: {read.kind.resource.kind}: metadata.name: {GENERATED}")
            else:
                found.append(read)
    if wrong:
        raise Rejected(wrong)
    if not found:
        raise Failed(f"no objects in {', '.join(paths)}")
    return found


def _documents(path: str) -> Iterator[tuple[str, Tree]]:
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


def _trees(name: str, content: bytes) -> Iterator[tuple[str, Tree]]:
    # Its library is slow to import, and only verbs that read files need it.
    from cubernetes.api.notation import yaml

    try:
        is_json = content.lstrip()[:1] == b"{"
        found = (
            [yaml.Document(jsontext.tree_of(content), 1)] if is_json else yaml.documents(content)
        )
    except BadRequest as error:
        raise Rejected([f"{name}: {error.message}"]) from error
    for tree, line in found:
        where = f"{name}:{line}"
        if tree.get("kind") == "List" and isinstance(tree.get("items"), list):
            items = enumerate(tree["items"])
            yield from ((f"{where}: items[{index}]", one) for index, one in items)
        else:
            yield where, tree


def _read(
    where: str, tree: object, namespace: str, *, is_namespace_chosen: bool
) -> Manifest | list[str]:
    """Return a document as a manifest, or everything that is wrong with it, each with its field."""
    if not isinstance(tree, dict):
        return ["must be an object"]
    version, word = str(tree.get("apiVersion", "")), str(tree.get("kind", ""))
    kind = kind_of(version, word)
    if kind is None:
        return [_unknown(version, word)]
    try:
        one = codec.from_tree(kind, tree).model
    except ApiError as error:
        fields = [f"{problem.field}: {problem.message}" for problem in error.problems]
        return [f"{word}: {told}" for told in fields or [error.message]]
    if not one.metadata.name and not one.metadata.generate_name:
        return [f"{word}: metadata.name: {NAMELESS}"]
    named = one.metadata.namespace
    place = (named or namespace) if kind.resource.namespaced else named
    # Where the server is to make a name up, it judges that; the rest is judged here.
    meta = replaced(one.metadata, namespace=place, name=one.metadata.name or "generated")
    title = f"{word}/{one.metadata.name}" if one.metadata.name else word
    problems = list(replaced(one, metadata=meta).defaulted().problems())
    wrong = [f"{title}: {problem.field}: {problem.message}" for problem in problems]
    if is_namespace_chosen and kind.resource.namespaced and place != namespace:
        wrong.append(f"{title}: metadata.namespace: is {place!r}, but -n says {namespace!r}")
    metadata = {**(tree.get("metadata") or {})} | ({"namespace": place} if place else {})
    return wrong or Manifest(where, kind, {**tree, "metadata": metadata}, place)


def _unknown(version: str, word: str) -> str:
    if not version or not word:
        return f"{'apiVersion' if not version else 'kind'}: is required"
    right = [one.resource.api_version for one in KINDS if one.resource.kind == word]
    if right:
        return f"apiVersion: {version[:80]!r} has no {word}, use {right[0]!r}"
    known = ", ".join(sorted(one.resource.kind for one in KINDS))
    return f"kind: there is no {word[:80]!r}: {known}"
