"""The tree of a query: what the parser makes and the evaluator walks."""

from dataclasses import dataclass, field
from enum import StrEnum

from tsdb.columns.matching import Matcher


class Type(StrEnum):
    SCALAR = "scalar"
    VECTOR = "instant vector"
    RANGE = "range vector"
    STRING = "string"


@dataclass(frozen=True)
class Node:
    """Any expression."""

    @property
    def type(self) -> Type:
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Node):
    value: float

    @property
    def type(self) -> Type:
        return Type.SCALAR


@dataclass(frozen=True)
class Text(Node):
    value: str

    @property
    def type(self) -> Type:
        return Type.STRING


class Anchor(StrEnum):
    """Where an @ without a number points: the ends of the whole query."""

    START = "start"
    END = "end"


@dataclass(frozen=True)
class Shift:
    """offset and @: which time an expression looks at, instead of the step's own."""

    offset_ms: int = 0
    at_ms: int | Anchor | None = None


@dataclass(frozen=True)
class Selector(Node):
    """Series by matchers; range_ms None means the newest sample, else all within it."""

    matchers: tuple[Matcher, ...]
    range_ms: int | None = None
    shift: Shift = field(default_factory=Shift)

    @property
    def type(self) -> Type:
        return Type.VECTOR if self.range_ms is None else Type.RANGE


@dataclass(frozen=True)
class Subquery(Node):
    """An expression over a range, at times that are multiples of the step."""

    inner: Node
    range_ms: int
    step_ms: int | None
    shift: Shift = field(default_factory=Shift)

    @property
    def type(self) -> Type:
        return Type.RANGE


@dataclass(frozen=True)
class Negation(Node):
    inner: Node

    @property
    def type(self) -> Type:
        return self.inner.type


@dataclass(frozen=True)
class Group(Node):
    """Parentheses."""

    inner: Node

    @property
    def type(self) -> Type:
        return self.inner.type


class Cardinality(StrEnum):
    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True)
class Matching:
    """How the series of two vectors find each other. on False: by all labels but these."""

    on: bool = False
    labels: tuple[str, ...] = ()
    cardinality: Cardinality = Cardinality.ONE_TO_ONE
    include: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binary(Node):
    op: str
    left: Node
    right: Node
    returns_bool: bool = False
    matching: Matching = field(default_factory=Matching)
    _type: Type = field(init=False, repr=False, compare=False, default=Type.VECTOR)

    def __post_init__(self) -> None:
        # Kept, because asking down a long chain of operators at each of them would never end.
        if self.left.type is Type.SCALAR and self.right.type is Type.SCALAR:
            object.__setattr__(self, "_type", Type.SCALAR)

    @property
    def type(self) -> Type:
        return self._type


@dataclass(frozen=True)
class Aggregation(Node):
    op: str
    inner: Node
    parameter: Node | None
    without: bool
    labels: tuple[str, ...]

    @property
    def type(self) -> Type:
        return Type.VECTOR


@dataclass(frozen=True)
class Call(Node):
    name: str
    arguments: tuple[Node, ...]
    returns: Type

    @property
    def type(self) -> Type:
        return self.returns


def height(node: Node) -> int:
    """Return how many nodes stand above each other at most; without recursion, for any tree."""
    found, waiting = 0, [(node, 1)]
    while waiting:
        at, level = waiting.pop()
        found = max(found, level)
        waiting += [(child, level + 1) for child in children(at)]
    return found


def children(node: Node) -> list[Node]:
    """Return the expressions that one is made of."""
    match node:
        case Binary():
            return [node.left, node.right]
        case Aggregation():
            return [node.inner] if node.parameter is None else [node.inner, node.parameter]
        case Call():
            return list(node.arguments)
        case Subquery() | Negation() | Group():
            return [node.inner]
    return []


def unwrapped(node: Node) -> Node:
    """Return what stands inside parentheses."""
    while isinstance(node, Group):
        node = node.inner
    return node
