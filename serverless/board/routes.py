"""Which request leads to which function: Routes as a tree of path segments. Pure.

A host that is named goes before any host. Of two patterns for a path, a segment that stands as it
is goes before a variable, and that before `*`. Of two Routes for the same host, path and method the
older has it, and the younger is told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cubernetes.api.meta import Ref
from cubernetes.api.networking.urls import decoded
from cubernetes.api.serverless.route import Route
from serverless.board.key import FunctionKey

SEGMENTS_MAX = 64
REST = "*"


class RouteMatch(NamedTuple):
    """Where a request leads, and what the variables of its path are."""

    route: Route
    function: FunctionKey
    variables: Mapping[str, str]


class _Served(NamedTuple):
    """A Route, and what each of its path's segments is called that stands for others."""

    route: Route
    function: FunctionKey
    names: tuple[tuple[int, str], ...]


class WrongMethod(NamedTuple):
    """The path is served for other methods."""

    allowed: tuple[str, ...]


@dataclass(slots=True)
class _Branch:
    named: dict[str, "_Branch"] = field(default_factory=dict)
    variable: "_Branch | None" = None
    rest: "_Branch | None" = None
    by_method: dict[str, "_Served"] = field(default_factory=dict)


class RouteTable:
    """Routes, compiled."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._hosts: dict[str, _Branch] = {}
        # Why a Route is not served as it says: by what holds its place.
        self.conflicts: dict[Ref, str] = {}
        for route in sorted(routes, key=_age):
            self._add(route)

    def find(self, host: str, path: str, method: str) -> RouteMatch | WrongMethod | None:
        """Return where a request leads; None where nothing is."""
        segments = path.split("/")[1:]
        if len(segments) > SEGMENTS_MAX:
            return None
        allowed: set[str] = set()
        for name in dict.fromkeys((host.partition(":")[0].lower(), "")):
            if (root := self._hosts.get(name)) is None:
                continue
            for branch in _ends(root, segments):
                # HEAD asks for the head of what GET answers.
                served = branch.by_method.get(method)
                if served is None and method == "HEAD":
                    served = branch.by_method.get("GET")
                if served is not None:
                    variables = _variables(served.names, segments)
                    return RouteMatch(served.route, served.function, variables)
                allowed.update(branch.by_method)
        return WrongMethod(tuple(sorted(allowed))) if allowed else None

    def _add(self, route: Route) -> None:
        branch = self._hosts.setdefault(route.spec.host, _Branch())
        meta, names = route.metadata, list[tuple[int, str]]()
        for index, segment in enumerate(decoded(route.spec.path).split("/")[1:]):
            if segment == REST or segment.startswith("{"):
                names.append((index, segment))
            if segment == REST:
                branch.rest = branch.rest or _Branch()
                branch = branch.rest
            elif segment.startswith("{"):
                branch.variable = branch.variable or _Branch()
                branch = branch.variable
            else:
                branch = branch.named.setdefault(segment, _Branch())
        function = FunctionKey(meta.namespace, route.spec.function)
        own = _Served(route, function, tuple(names))
        for method in route.spec.methods:
            holder = branch.by_method.setdefault(method, own)
            if holder is not own:
                other = holder.route.metadata
                told = f"{method} {route.spec.path} is Route {other.namespace}/{other.name}'s"
                self.conflicts.setdefault(route.ref, told)


def _ends(branch: _Branch, segments: Sequence[str]) -> Iterator[_Branch]:
    """Yield the ends of the ways that a path may take, the best first.

    A path has few ways: each pattern is one, and the bound on segments bounds the depth.
    """
    if not segments:
        if branch.by_method:
            yield branch
        return
    first, others = segments[0], segments[1:]
    if (below := branch.named.get(first)) is not None:
        yield from _ends(below, others)
    if branch.variable is not None and first:
        yield from _ends(branch.variable, others)
    if branch.rest is not None:
        yield branch.rest


def _variables(names: Sequence[tuple[int, str]], segments: Sequence[str]) -> dict[str, str]:
    return {
        REST if name == REST else name[1:-1]: (
            "/".join(segments[index:]) if name == REST else segments[index]
        )
        for index, name in names
    }


def _age(route: Route) -> tuple[float, str, str]:
    meta = route.metadata
    made_at = meta.creation_timestamp
    return made_at.timestamp() if made_at is not None else 0.0, meta.namespace, meta.name
