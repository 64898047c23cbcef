"""Every file of the house as the rules of tests/house see it: read once, parsed once."""

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a program or a library of ours is made of; the rest is scripts, tests and papers.
ROOMS = (
    "cubernetes",
    "apiserver",
    "scheduler",
    "controllers",
    "kubelet",
    "proxy",
    "gateway",
    "resolver",
    "serverless",
    "gpu",
    "cubectl",
    "cuberoot",
    "lab",
    "tsdb",
)
GENERATED = frozenset({"apiserver/storage/etcd/rpc_pb2.py", "apiserver/storage/etcd/rpc_pb2.pyi"})
# Made while working, never part of the house: git ignores them too. Hidden folders are left out.
MADE = frozenset({"var", "dist", "build", "__pycache__", "bench/results"})


@dataclass(frozen=True)
class Source:
    """One Python file. path is from the root of the house, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Everything in the tree, in the order of ast.walk: many rules look through it."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def room(self) -> str:
        return self.path.partition("/")[0]

    @property
    def stem(self) -> str:
        return Path(self.path).stem

    @property
    def module(self) -> str:
        """The dotted name by which it is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def imports(self) -> Mapping[str, str]:
        """Each name that an import binds here, and the dotted name of what it means."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for each in node.names:
                    # `import a.b` binds a; `import a.b as c` binds c to a.b.
                    name = each.name if each.asname else each.name.partition(".")[0]
                    found[each.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    found[each.asname or each.name] = f"{node.module}.{each.name}"
        return found

    def origin(self, node: ast.expr) -> str:
        """Return the dotted name that an expression means; empty where it is no plain name."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.origin(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        return ""

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call with the dotted name of what is called."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield self.origin(node.func), node


def files() -> Iterator[str]:
    """Yield the path of every file of the house, sorted within each folder."""
    for folder, inner, names in ROOT.walk():
        place = folder.relative_to(ROOT)
        inner[:] = sorted(each for each in inner if _is_ours(place / each))
        # In a worktree `.git` is a file that names where the repository is.
        for name in sorted(set(names) - {".git"}):
            yield (place / name).as_posix()


def _is_ours(folder: Path) -> bool:
    is_hidden = folder.name.startswith(".") and folder.name != ".ci"
    return not is_hidden and folder.name not in MADE and folder.as_posix() not in MADE


@cache
def sources() -> tuple[Source, ...]:
    """Return every Python file that people wrote."""
    return tuple(
        Source(path, (ROOT / path).read_text())
        for path in files()
        if path.endswith(".py") and path not in GENERATED
    )


def of_rooms() -> Iterator[Source]:
    return (one for one in sources() if one.room in ROOMS)


def none(found: Collection[str], way_out: str) -> None:
    """Fail unless nothing was found; the failure lists every finding and the way out."""
    assert not found, "\n  ".join([f"{len(found)} found: {way_out}", *found])
