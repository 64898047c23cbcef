"""Label and field selectors: `app=web,tier in (a,b),!old` and `spec.nodeName=n1`."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import BadRequest, Problem
from cubernetes.api.meta import Labels, Model

TERM_MAX = 100
VALUE_COUNT_MAX = 1000


class Term(NamedTuple):
    """One condition on a key: `in`, `notin`, `exists` or `absent`."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Labels) -> bool:
        match self.operator:
            case "in":
                return self.key in labels and labels[self.key] in self.values
            case "notin":
                # As in Kubernetes, an object without the key passes.
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case _:
                return self.key not in labels


class Selector(NamedTuple):
    """All of its terms must hold; without terms it matches everything."""

    terms: tuple[Term, ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(term.holds(labels) for term in self.terms)


EVERYTHING = Selector()
# The set form, `key in (a, b)`; everything else has at most one operator. A term comes without
# blanks around it, and no two parts of a pattern can take the same blank: matching is linear.
_SET = re.compile(r"([^\s=!,()]+)\s+(in|notin)\s*\(([^()]*)\)\Z")
_PAIR = re.compile(r"([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)\Z")
_KEY = re.compile(r"(!?)\s*([^\s=!,()]+)\Z")
_FIELD = re.compile(r"([^=!]+)(==|=|!=)(.*)\Z")


def equal_to(labels: Labels) -> Selector:
    """Return the selector of exactly these pairs."""
    return Selector(tuple(Term(k, "in", frozenset((v,))) for k, v in sorted(labels.items())))


def parse(text: str) -> Selector:
    """Read a label selector in Kubernetes' query form.

    Raises:
        BadRequest: says which term is not understood.
    """
    if not text.strip():
        return EVERYTHING
    terms = tuple(_term(part.strip()) for part in _split(text))
    if len(terms) > TERM_MAX:
        raise BadRequest(f"labelSelector: {len(terms)} terms, at most {TERM_MAX}")
    return Selector(terms)


def _split(text: str) -> Iterator[str]:
    """Split at the commas that stand outside parentheses; one pass."""
    depth, begin = 0, 0
    for index, letter in enumerate(text):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[begin:index]
            begin = index + 1
    yield text[begin:]


def _term(part: str) -> Term:
    if form := _SET.match(part):
        key, operator, listed = form.groups()
        term = Term(key, operator, frozenset(value.strip() for value in listed.split(",")))
    elif form := _PAIR.match(part):
        key, sign, value = form.groups()
        term = Term(key, "notin" if sign == "!=" else "in", frozenset((value,)))
    elif form := _KEY.match(part):
        negated, key = form.groups()
        term = Term(key, "absent" if negated else "exists")
    else:
        raise BadRequest(f"labelSelector: {part[:100]!r} is not understood")
    if not names.is_label_key(term.key) or not all(map(names.is_label_value, term.values)):
        raise BadRequest(f"labelSelector: {part[:100]!r} has an illegal key or value")
    return term


class FieldTerm(NamedTuple):
    field: str
    equal: bool
    value: str


def parse_fields(text: str, known: Mapping[str, Callable[[Any], str]]) -> tuple[FieldTerm, ...]:
    """Read a field selector (`a=b,c!=d`) over the fields of one kind.

    Raises:
        BadRequest: a term is malformed, or names a field that the kind does not offer.
    """
    terms = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        form = _FIELD.match(part)
        if not form:
            raise BadRequest(f"fieldSelector: {part[:100]!r} is not understood")
        field, sign, value = (piece.strip() for piece in form.groups())
        if field not in known and field not in ("metadata.name", "metadata.namespace"):
            offered = ", ".join(sorted({"metadata.name", "metadata.namespace", *known}))
            raise BadRequest(f"field label not supported: {field[:100]} (use one of {offered})")
        terms.append(FieldTerm(field, sign != "!=", value))
    if len(terms) > TERM_MAX:
        raise BadRequest(f"fieldSelector: {len(terms)} terms, at most {TERM_MAX}")
    return tuple(terms)


class Requirement(Model):
    """One condition on a label.

    key: the label's key.
    operator: In, NotIn: the value is, or is not, one of `values`; Exists, DoesNotExist: the key is,
        or is not, there. An object without the key passes NotIn.
    values: for In and NotIn at least one, for the others none.
    """

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class LabelSelector(Model):
    """A selector as it stands inside an object's spec: all of it must hold.

    match_labels: labels that must be there, with exactly these values.
    match_expressions: further conditions on labels.
    """

    match_labels: Labels = msgspec.field(default_factory=dict)
    match_expressions: Annotated[tuple[Requirement, ...], msgspec.Meta(max_length=TERM_MAX)] = ()

    @property
    def is_empty(self) -> bool:
        return not self.match_labels and not self.match_expressions

    @property
    def selector(self) -> Selector:
        words = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
        expressions = tuple(
            Term(one.key, words[one.operator], frozenset(one.values))
            for one in self.match_expressions
        )
        return Selector(equal_to(self.match_labels).terms + expressions)

    def problems(self, field: str) -> Iterator[Problem]:
        yield from names.label_problems(self.match_labels, f"{field}.matchLabels")
        for index, one in enumerate(self.match_expressions):
            where = f"{field}.matchExpressions[{index}]"
            if not names.is_label_key(one.key):
                yield Problem(f"{where}.key", names.LABEL_KEY_RULE)
            if len(one.values) > VALUE_COUNT_MAX:
                message = f"too many: {len(one.values)}, at most {VALUE_COUNT_MAX}"
                yield Problem(f"{where}.values", message)
            if one.operator in ("In", "NotIn") and not one.values:
                yield Problem(f"{where}.values", f"is required for {one.operator}")
            if one.operator in ("Exists", "DoesNotExist") and one.values:
                yield Problem(f"{where}.values", f"must be empty for {one.operator}")


def selector_text(labels: Labels) -> str:
    """Return labels in the query form that parse reads: `a=b,c=d`, in the order of the keys."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
