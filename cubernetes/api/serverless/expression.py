"""Expressions of workflows: a small total language over JSON, without loops and without calls out.

    $.input.orders[0].price >= 5 and not ($.item.kind in ["gift", "test"])
    {"word": $.item, "place": $.index, "all": len($.input.words)}

`$.NAME` is a value that the asker has. What is absent is null; `and`, `or` and `not` take any
value, and null, false, 0, "" and what is empty are false. Parsing fails with what is wrong, and
evaluating with a sentence where an operator does not suit its values. Pure; bounded by the length
and the depth of an expression.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

CHARS_MAX = 4000
DEPTH_MAX = 30
# Of a text or a list that is added up.
SUM_MAX = 1024 * 1024

type Names = Mapping[str, Any]
type Evaluate = Callable[[Names], Any]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<path>\$(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]{1,9}\])+)
    |(?P<word>[a-z]+)
    |(?P<sign>==|!=|<=|>=|[<>()\[\]{},:+])
    )""",
    re.VERBOSE,
)
_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]")
CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class NotAnExpression(Exception):
    """The text is none; says where and why."""


class Unfit(Exception):
    """An operator does not suit its values."""


class Expression(NamedTuple):
    """A parsed expression. paths: what it asks for, such as `("steps", "tag", "score")`."""

    evaluate: Evaluate
    paths: tuple[tuple[str, ...], ...]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parsed(text: str) -> Expression:
    """Return what a text means. Raises: NotAnExpression."""
    if len(text) > CHARS_MAX:
        raise NotAnExpression(f"has {len(text)} characters, at most {CHARS_MAX}")
    parser = _Parser(list(_tokens(text)))
    evaluate = parser.either(0)
    parser.end()
    return Expression(evaluate, tuple(parser.paths))


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise NotAnExpression(f"at character {at + 1}: {text[at : at + 20]!r} is no word of it")
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1)
        at = found.end()


class _Parser:
    """By recursive descent: or, and, not, comparison, sum, value."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._next = tokens, 0
        self.paths: list[tuple[str, ...]] = []

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _takes(self, *texts: str) -> str:
        """Return the sign or word that comes next, where it is one of these, and go on."""
        token = self._peek()
        if token is None or token.kind not in ("sign", "word") or token.text not in texts:
            return ""
        self._next += 1
        return token.text

    def _needs(self, text: str) -> None:
        if not self._takes(text):
            raise self._wrong(f"{text!r} is missing")

    def _wrong(self, why: str) -> NotAnExpression:
        token = self._peek()
        return NotAnExpression(f"at {f'character {token.at}' if token else 'its end'}: {why}")

    def end(self) -> None:
        if (token := self._peek()) is not None:
            raise self._wrong(f"{token.text[:20]!r} was not expected")

    def either(self, depth: int) -> Evaluate:
        if depth > DEPTH_MAX:
            raise self._wrong(f"it is nested deeper than {DEPTH_MAX}")
        found = self._both(depth)
        while self._takes("or"):
            found = _or(found, self._both(depth))
        return found

    def _both(self, depth: int) -> Evaluate:
        found = self._negated(depth)
        while self._takes("and"):
            found = _and(found, self._negated(depth))
        return found

    def _negated(self, depth: int) -> Evaluate:
        count = 0
        while self._takes("not"):
            count += 1
        found = self._comparison(depth)
        return _not(found, count) if count else found

    def _comparison(self, depth: int) -> Evaluate:
        left = self._sum(depth)
        if sign := self._takes("==", "!=", *COMPARED, "in"):
            return _compared(sign, left, self._sum(depth))
        return left

    def _sum(self, depth: int) -> Evaluate:
        found = self._value(depth)
        while self._takes("+"):
            found = _added(found, self._value(depth))
        return found

    def _value(self, depth: int) -> Evaluate:  # noqa: C901  a case for each form
        token = self._peek()
        if token is None:
            raise self._wrong("a value is missing")
        if token.kind in ("text", "number"):
            self._next += 1
            return _constant(_literal(token))
        if token.kind == "path":
            self._next += 1
            return self._path(token.text)
        match self._takes(*CONSTANTS, "len", "(", "[", "{"):
            case "":
                raise self._wrong(f"{token.text[:20]!r} is no value")
            case "len":
                self._needs("(")
                return _length(self._inside(depth))
            case "(":
                return self._inside(depth)
            case "[":
                return self._list(depth)
            case "{":
                return self._object(depth)
            case word:
                return _constant(CONSTANTS[word])

    def _inside(self, depth: int) -> Evaluate:
        found = self.either(depth + 1)
        self._needs(")")
        return found

    def _path(self, text: str) -> Evaluate:
        parts = [name or int(index) for name, index in _PART.findall(text)]
        if not isinstance(parts[0], str):
            raise self._wrong("a path begins with a name: $.input, $.steps, $.item")
        self.paths.append(tuple(str(one) for one in parts))
        return lambda names: _found(names, parts)

    def _list(self, depth: int) -> Evaluate:
        found: list[Evaluate] = []
        while not self._takes("]"):
            if found:
                self._needs(",")
            found.append(self.either(depth + 1))
        return lambda names: [one(names) for one in found]

    def _object(self, depth: int) -> Evaluate:
        found: dict[str, Evaluate] = {}
        while not self._takes("}"):
            if found:
                self._needs(",")
            token = self._peek()
            if token is None or token.kind != "text":
                raise self._wrong('a name in "quotes" is missing')
            self._next += 1
            self._needs(":")
            found[_literal(token)] = self.either(depth + 1)
        return lambda names: {name: one(names) for name, one in found.items()}


def _literal(token: _Token) -> Any:
    return json.loads(token.text)


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _found(names: Names, parts: list[Any]) -> Any:
    value: Any = names
    for part in parts:
        if isinstance(value, Mapping):
            value = value.get(str(part))
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _or(one: Evaluate, other: Evaluate) -> Evaluate:
    return lambda names: one(names) or other(names)


def _and(one: Evaluate, other: Evaluate) -> Evaluate:
    return lambda names: one(names) and other(names)


def _not(one: Evaluate, count: int) -> Evaluate:
    return lambda names: bool(one(names)) if count % 2 == 0 else not one(names)


def _compared(sign: str, one: Evaluate, other: Evaluate) -> Evaluate:
    def compare(names: Names) -> bool:
        left, right = one(names), other(names)
        if sign in ("==", "!="):
            is_equal = left == right and isinstance(left, bool) == isinstance(right, bool)
            return is_equal == (sign == "==")
        try:
            if sign == "in":
                return left in right
            if isinstance(left, bool) or isinstance(right, bool):
                raise Unfit(f"{sign} does not compare {_kind(left)} and {_kind(right)}")
            return COMPARED[sign](left, right)
        except TypeError as error:
            raise Unfit(f"{sign} does not compare {_kind(left)} and {_kind(right)}") from error

    return compare


def _added(one: Evaluate, other: Evaluate) -> Evaluate:
    def add(names: Names) -> Any:
        left, right = one(names), other(names)
        is_number = all(
            isinstance(value, int | float) and not isinstance(value, bool)
            for value in (left, right)
        )
        if is_number:
            return left + right
        if type(left) is type(right) and isinstance(left, str | list):
            if len(left) + len(right) > SUM_MAX:
                raise Unfit(f"+ makes more than {SUM_MAX} of {_kind(left)}")
            return left + right
        raise Unfit(f"+ does not add {_kind(left)} and {_kind(right)}")

    return add


def _length(one: Evaluate) -> Evaluate:
    def length(names: Names) -> int:
        value = one(names)
        if not isinstance(value, str | list | tuple | Mapping):
            raise Unfit(f"len of {_kind(value)} is none")
        return len(value)

    return length


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"
