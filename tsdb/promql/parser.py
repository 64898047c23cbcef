"""From words to a tree: Prometheus' grammar, with its types checked on the way."""

import math
from collections.abc import Sequence
from dataclasses import replace

from tsdb.columns.labels import NAME, is_label_name
from tsdb.columns.matching import Matcher, Op
from tsdb.errors import BadData, LimitExceeded
from tsdb.limits import Limits
from tsdb.promql.checks import check_aggregation, check_binary, check_call
from tsdb.promql.functions.signatures import AGGREGATIONS, NOT_SUPPORTED, SIGNATURES
from tsdb.promql.lexer import Kind, Word, duration_ms, number_of, string_of, words_of
from tsdb.promql.tree import (
    Aggregation,
    Anchor,
    Binary,
    Call,
    Cardinality,
    Group,
    Matching,
    Negation,
    Node,
    Number,
    Selector,
    Shift,
    Subquery,
    Text,
    Type,
    height,
)

# From weak to strong; ^ is stronger than a sign before a number, and binds to the right.
PRECEDENCE = {
    "or": 1, "and": 2, "unless": 2,
    "==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 7,
}  # fmt: skip
SIGN_PRECEDENCE = 6
# `a or b or c` nests as parentheses do, yet people write longer chains than they nest.
CHAIN_PER_DEPTH = 4
SET_OPS = frozenset({"and", "or", "unless"})
COMPARISONS = frozenset({"==", "!=", "<=", "<", ">=", ">"})
_EMPTY_SHIFT = Shift()


def parse(text: str, limits: Limits | None = None) -> Node:
    """Return the tree of a query.

    Raises:
        BadData: it is none; says what was found where.
        LimitExceeded: it is too long, or nested too deeply.
    """
    limits = limits or Limits()
    if len(text) > limits.query_length:
        raise LimitExceeded("query_length", limits.query_length, len(text))
    parser = _Parser(list(words_of(text)), limits)
    node = parser.expression(0)
    parser.expect_end()
    # A long chain of operators is deep too, for every walk of the tree.
    if (found := height(node)) > CHAIN_PER_DEPTH * limits.query_depth:
        raise LimitExceeded("query_depth", CHAIN_PER_DEPTH * limits.query_depth, found)
    return node


def parse_selector(text: str, limits: Limits | None = None) -> tuple[Matcher, ...]:
    """Return the matchers of a series selector, as match[] has them."""
    node = parse(text, limits)
    if not isinstance(node, Selector) or node.range_ms is not None or node.shift != _EMPTY_SHIFT:
        raise BadData(f"{text!r} is not a series selector")
    return node.matchers


class _Parser:
    """Recursive descent with operator precedence; one method for each rule of the grammar."""

    def __init__(self, words: Sequence[Word], limits: Limits) -> None:
        self._words = words
        self._at = 0
        self._depth = 0
        self._depth_max = limits.query_depth
        self._patterns = 0
        self._patterns_max = limits.query_patterns

    # Words

    @property
    def _word(self) -> Word:
        return self._words[self._at]

    def _next(self) -> Word:
        word = self._words[self._at]
        self._at = min(self._at + 1, len(self._words) - 1)
        return word

    def _is(self, text: str) -> bool:
        word = self._word
        if word.kind is Kind.SIGN:
            return word.text == text
        return word.kind is Kind.NAME and word.text.lower() == text

    def _took(self, text: str) -> bool:
        if self._is(text):
            self._next()
            return True
        return False

    def _expect(self, text: str, where: str) -> None:
        if not self._took(text):
            raise self._unexpected(where, text)

    def _unexpected(self, where: str, wanted: str = "") -> BadData:
        word = self._word
        found = repr(word.text) if word.text else "end of input"
        hint = f", expected {wanted!r}" if wanted else ""
        return BadData(f"parse error: unexpected {found} at position {word.at + 1} {where}{hint}")

    def expect_end(self) -> None:
        if self._word.kind is not Kind.END:
            raise self._unexpected("after the expression")

    # Expressions

    def expression(self, strength: int) -> Node:
        """Parse operands joined by operators at least that strong."""
        self._depth += 1
        if self._depth > self._depth_max:
            raise LimitExceeded("query_depth", self._depth_max, self._depth)
        left = self._signed()
        while (op := self._operator()) and PRECEDENCE[op] >= strength:
            self._next()
            returns_bool, matching = self._modifiers(op)
            right = self.expression(PRECEDENCE[op] + (op != "^"))
            left = Binary(op, left, right, returns_bool, matching)
            check_binary(left)
        self._depth -= 1
        return left

    def _operator(self) -> str:
        word = self._word
        text = word.text.lower()
        return text if word.kind in (Kind.SIGN, Kind.NAME) and text in PRECEDENCE else ""

    def _signed(self) -> Node:
        if self._is("+") or self._is("-"):
            sign = self._next().text
            inner = self.expression(SIGN_PRECEDENCE)
            if inner.type not in (Type.SCALAR, Type.VECTOR):
                raise BadData(
                    "parse error: unary expression only allowed on expressions of type scalar "
                    f"or instant vector, got {inner.type}"
                )
            if sign == "+":
                return inner
            return Number(-inner.value) if isinstance(inner, Number) else Negation(inner)
        return self._suffixed(self._atom())

    def _modifiers(self, op: str) -> tuple[bool, Matching]:
        returns_bool = self._took("bool")
        if returns_bool and op not in COMPARISONS:
            raise BadData("parse error: bool modifier can only be used on comparison operators")
        on = False
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        cardinality = Cardinality.ONE_TO_ONE
        if self._is("on") or self._is("ignoring"):
            on = self._next().text.lower() == "on"
            labels = self._label_list()
        if self._is("group_left") or self._is("group_right"):
            is_left = self._next().text.lower() == "group_left"
            cardinality = Cardinality.MANY_TO_ONE if is_left else Cardinality.ONE_TO_MANY
            include = self._label_list() if self._is("(") else ()
            if op in SET_OPS:
                raise BadData(f"parse error: no grouping allowed for {op!r} operation")
        if op in SET_OPS:
            cardinality = Cardinality.MANY_TO_MANY
        return returns_bool, Matching(on, labels, cardinality, include)

    def _label_list(self) -> tuple[str, ...]:
        self._expect("(", "in a list of labels")
        names: list[str] = []
        while not self._took(")"):
            word = self._next()
            if word.kind is not Kind.NAME or not is_label_name(word.text):
                self._at -= 1
                raise self._unexpected("in a list of labels")
            names.append(word.text)
            if not self._took(",") and not self._is(")"):
                raise self._unexpected("in a list of labels", ")")
        return tuple(names)

    # Atoms

    def _atom(self) -> Node:
        word = self._word
        match word.kind:
            case Kind.NUMBER:
                return Number(number_of(self._next().text))
            case Kind.STRING:
                return Text(string_of(self._next().text))
            case Kind.NAME:
                return self._named()
        if self._took("("):
            inner = self.expression(0)
            self._expect(")", "in parentheses")
            return Group(inner)
        if self._is("{"):
            return self._selector("")
        raise self._unexpected("where an expression begins")

    def _named(self) -> Node:
        word = self._next()
        lower = word.text.lower()
        if lower in AGGREGATIONS and (self._is("(") or self._is("by") or self._is("without")):
            return self._aggregation(lower)
        if self._is("("):
            return self._call(word.text)
        if lower in ("inf", "nan"):
            return Number(math.inf if lower == "inf" else math.nan)
        return self._selector(word.text)

    def _call(self, name: str) -> Call:
        if name in NOT_SUPPORTED:
            raise BadData(f"function {name!r} is not supported by this store")
        if name not in SIGNATURES:
            raise BadData(f"parse error: unknown function with name {name!r}")
        arguments = self._arguments(name)
        check_call(name, SIGNATURES[name], arguments)
        return Call(name, arguments, SIGNATURES[name].gives)

    def _arguments(self, name: str) -> tuple[Node, ...]:
        self._expect("(", f"in a call of {name}")
        arguments: list[Node] = []
        while not self._took(")"):
            arguments.append(self.expression(0))
            if not self._took(",") and not self._is(")"):
                raise self._unexpected(f"in a call of {name}", ")")
        return tuple(arguments)

    def _aggregation(self, op: str) -> Aggregation:
        without, labels = self._grouping()
        arguments = self._arguments(op)
        if not labels and not without:
            without, labels = self._grouping()
        inner, parameter = check_aggregation(op, arguments)
        return Aggregation(op, inner, parameter, without, labels)

    def _grouping(self) -> tuple[bool, tuple[str, ...]]:
        if self._is("by") or self._is("without"):
            without = self._next().text.lower() == "without"
            return without, self._label_list()
        return False, ()

    def _selector(self, metric: str) -> Selector:
        matchers: list[Matcher] = []
        if metric:
            matchers.append(Matcher(NAME, Op.EQUAL, metric))
        if self._took("{"):
            while not self._took("}"):
                matchers.append(self._matcher(metric))
                if not self._took(",") and not self._is("}"):
                    raise self._unexpected("in label matching", "}")
        if all(matcher.accepts("") for matcher in matchers):
            raise BadData(
                "parse error: vector selector must contain at least one non-empty matcher"
            )
        return Selector(tuple(matchers))

    def _matcher(self, metric: str) -> Matcher:
        word = self._next()
        if word.kind is not Kind.NAME or not is_label_name(word.text):
            self._at -= 1
            raise self._unexpected("in label matching", "label name")
        op = self._next()
        if op.kind is not Kind.SIGN or op.text not in {member.value for member in Op}:
            self._at -= 1
            raise self._unexpected("in label matching", "=")
        value = self._next()
        if value.kind is not Kind.STRING:
            self._at -= 1
            raise self._unexpected("in label matching", "string")
        if metric and word.text == NAME:
            raise BadData(f"parse error: metric name must not be set twice: {metric!r}")
        if op.text in (Op.LIKE, Op.UNLIKE):
            # Each is compiled at once.
            self._patterns += 1
            if self._patterns > self._patterns_max:
                raise LimitExceeded("query_patterns", self._patterns_max, self._patterns)
        return Matcher(word.text, Op(op.text), string_of(value.text))

    # Suffixes

    def _suffixed(self, node: Node) -> Node:
        while True:
            if self._is("["):
                node = self._ranged(node)
            elif self._took("offset"):
                node = self._shifted(node, offset_ms=self._signed_duration())
            elif self._took("@"):
                node = self._shifted(node, at=self._instant())
            else:
                return node

    def _ranged(self, node: Node) -> Node:
        self._expect("[", "before a range")
        range_ms = self._duration()
        if self._took(":"):
            step_ms = None if self._is("]") else self._duration()
            self._expect("]", "in a subquery")
            if node.type is not Type.VECTOR and node.type is not Type.SCALAR:
                raise BadData(
                    "parse error: subquery is only allowed on instant vector, "
                    f"got {node.type} instead"
                )
            return Subquery(node, range_ms, step_ms)
        self._expect("]", "in a range")
        if not isinstance(node, Selector) or node.range_ms is not None:
            raise BadData("parse error: ranges only allowed for vector selectors")
        if node.shift != _EMPTY_SHIFT:
            raise BadData("parse error: no offset or @ modifiers allowed before range")
        return replace(node, range_ms=range_ms)

    def _shifted(
        self, node: Node, *, offset_ms: int | None = None, at: int | Anchor | None = None
    ) -> Node:
        if not isinstance(node, Selector | Subquery):
            raise BadData(
                "parse error: offset and @ must be preceded by an instant vector selector or "
                "range vector selector or a subquery"
            )
        shift = node.shift
        if offset_ms is not None:
            if shift.offset_ms:
                raise BadData("parse error: offset may not be set multiple times")
            return replace(node, shift=replace(shift, offset_ms=offset_ms))
        if shift.at_ms is not None:
            raise BadData("parse error: @ may not be set multiple times")
        return replace(node, shift=replace(shift, at_ms=at))

    def _duration(self) -> int:
        word = self._word
        if word.kind is not Kind.DURATION:
            raise self._unexpected("where a duration is expected", "duration")
        self._next()
        found = duration_ms(word.text)
        if found <= 0:
            raise BadData("parse error: duration must be greater than 0")
        return found

    def _signed_duration(self) -> int:
        sign = -1 if self._took("-") else 1
        word = self._next()
        if word.kind is not Kind.DURATION:
            self._at -= 1
            raise self._unexpected("where a duration is expected", "duration")
        return sign * duration_ms(word.text)

    def _instant(self) -> int | Anchor:
        for anchor in Anchor:
            if self._took(anchor.value):
                self._expect("(", f"after {anchor.value}")
                self._expect(")", f"after {anchor.value}(")
                return anchor
        sign = -1.0 if self._took("-") else 1.0
        self._took("+")
        word = self._next()
        if word.kind is not Kind.NUMBER:
            self._at -= 1
            raise self._unexpected("after @", "timestamp")
        seconds = sign * number_of(word.text)
        if not math.isfinite(seconds) or abs(seconds) > 2**50:
            raise BadData(f"parse error: timestamp out of bounds for @ modifier: {word.text}")
        return round(seconds * 1000)
