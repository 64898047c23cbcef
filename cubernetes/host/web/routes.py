"""Which method and path leads where: a table as a tree of path segments. Pure.

Finding a route is a walk down the tree, however many there are. A segment that stands in a pattern
as it is goes before one that may be any name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# A longer path has no route.
PATH_CHARS_MAX = 1024


class NoRoute(Exception):
    """Nothing is at this path."""


class WrongMethod(Exception):
    """There is something at this path, for other methods: those that are allowed, in order."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(f"it takes {', '.join(self.allowed)}")


class Match[R](NamedTuple):
    """A route, and what the names in its pattern stand for in the path."""

    route: R
    names: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Branch[R]:
    branches: dict[str, "_Branch[R]"] = field(default_factory=dict)
    # The branch for any name; what it is a name of, the route at the end knows.
    any: "_Branch[R] | None" = None
    # Which segments may lead to `any`.
    is_name: Callable[[str], bool] = lambda _: True
    # By method: the route, and what the names on its way are names of, in order.
    routes: dict[str, tuple[R, tuple[str, ...]]] = field(default_factory=dict)


class Routes[R]:
    """Routes by method and pattern; a pattern has `{name}` in the place of a segment."""

    def __init__(
        self,
        table: Iterable[tuple[str, str, R]],
        is_name: Callable[[str], bool] = lambda _: True,
        others: Mapping[str, Callable[[str], bool]] | None = None,
    ) -> None:
        """is_name says which segments may stand for a name.

        others: the same for a `{key}` of its own, or for what follows a certain segment.
        """
        self._is_name, self._others = is_name, others or {}
        self._root: _Branch[R] = _Branch()
        for method, pattern, route in table:
            self._add(method, pattern, route)

    def match(self, method: str, path: str) -> Match[R]:
        """Return the route of a request.

        Raises: NoRoute, WrongMethod.
        """
        if len(path) > PATH_CHARS_MAX:
            raise NoRoute
        branch, found = self._root, list[str]()
        for segment in path.removeprefix("/").split("/"):
            below = branch.branches.get(segment)
            if below is None and branch.any is not None and branch.is_name(segment):
                below = branch.any
                found.append(segment)
            if below is None:
                raise NoRoute(path)
            branch = below
        if not branch.routes:
            raise NoRoute(path)
        if method not in branch.routes:
            raise WrongMethod(branch.routes)
        route, called = branch.routes[method]
        return Match(route, tuple(zip(called, found, strict=True)))

    def _add(self, method: str, pattern: str, route: R) -> None:
        branch, called, before = self._root, list[str](), ""
        for segment in pattern.removeprefix("/").split("/"):
            if segment.startswith("{"):
                called.append(segment[1:-1])
                if branch.any is None:
                    branch.any = _Branch()
                    usual = self._others.get(before, self._is_name)
                    branch.is_name = self._others.get(called[-1], usual)
                branch = branch.any
            else:
                branch = branch.branches.setdefault(segment, _Branch())
            before = segment
        branch.routes[method] = (route, tuple(called))
