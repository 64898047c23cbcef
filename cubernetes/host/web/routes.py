"""Which method and path leads where: a table as a tree of path segments. Pure.

Finding a route is a walk down the tree, however many there are. A segment that stands in a pattern
as it is goes before one that may be any name. The rest of a path may be a name's, too.
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
    # The branches for names, each with which segments lead there; what they are names of, the
    # route at the end knows.
    named: list[tuple[Callable[[str], bool], "_Branch[R]"]] = field(default_factory=list)
    # By method: the route, and what the names on its way are names of, in order.
    routes: dict[str, tuple[R, tuple[str, ...]]] = field(default_factory=dict)
    # Whether the routes are those of every path that begins so.
    is_open: bool = False

    def below(self, segment: str) -> "_Branch[R] | None":
        """Return the first branch for a segment that is a name."""
        for is_name, one in self.named:
            if is_name(segment):
                return one
        return None


class Routes[R]:
    """Routes by method and pattern; a pattern has `{name}` in the place of a segment."""

    def __init__(
        self,
        table: Iterable[tuple[str, str, R]],
        is_name: Callable[[str], bool] = lambda _: True,
        others: Mapping[str, Callable[[str], bool]] | None = None,
        rest: str = "",
    ) -> None:
        """is_name says which segments may stand for a name.

        others: the same for a `{key}` of its own, or for what follows a certain segment.
        rest: the `{key}` at the end of a pattern that stands for whatever follows, or nothing.
        """
        self._is_name, self._others, self._rest = is_name, others or {}, rest
        self._root: _Branch[R] = _Branch()
        for method, pattern, route in table:
            self._add(method, pattern, route)

    def match(self, method: str, path: str) -> Match[R]:
        """Return the route of a request.

        Raises: NoRoute, WrongMethod.
        """
        branch, found = self._root, list[str]()
        segments = path[: PATH_CHARS_MAX + 1].removeprefix("/").split("/")
        for segment in segments:
            below = branch.branches.get(segment)
            if below is None and (below := branch.below(segment)) is not None:
                found.append(segment)
            if below is None:
                raise NoRoute(path)
            branch = below
            if branch.is_open:
                break
        if not branch.routes or (len(path) > PATH_CHARS_MAX and not branch.is_open):
            raise NoRoute(path)
        if method not in branch.routes:
            raise WrongMethod(branch.routes)
        route, called = branch.routes[method]
        return Match(route, tuple(zip(called, found, strict=True)))

    def _add(self, method: str, pattern: str, route: R) -> None:
        branch, called, before = self._root, list[str](), ""
        for segment in pattern.removeprefix("/").split("/"):
            key = segment[1:-1] if segment.startswith("{") else ""
            if key and key == self._rest:
                branch.is_open = True
            elif key:
                called.append(key)
                usual = self._others.get(before, self._is_name)
                branch = _branch_for(branch, self._others.get(key, usual))
            else:
                branch = branch.branches.setdefault(segment, _Branch())
            before = segment
        branch.routes[method] = (route, tuple(called))


def _branch_for[R](branch: _Branch[R], is_name: Callable[[str], bool]) -> _Branch[R]:
    """Return the branch for names of one kind; it is made where there is none."""
    found = next((one for test, one in branch.named if test == is_name), None)
    if found is None:
        found = _Branch()
        branch.named.append((is_name, found))
    return found
