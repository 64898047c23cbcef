"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, read once, carried out often. Pure.

Of kubectl's form (kubernetes.io/docs/reference/kubectl/jsonpath): fields, `['field']`, wildcards,
indexes, slices, unions, `..` for every depth, filters `[?(@.a=="b")]`, `range` and `end`, and text
in quotes. A path that leads nowhere is empty.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

TEMPLATE_CHARS_MAX = 10_000
RESULTS_MAX = 100_000


class Malformed(ValueError):
    """A template cannot be read; the sentence says where."""


class Field(NamedTuple):
    name: str


class Every(NamedTuple):
    """`*` and `[*]`; is_deep: `..`, what is found at every depth."""

    is_deep: bool = False


class Part(NamedTuple):
    """`[n]` and `[from:to:step]`."""

    indexes: slice


class Union(NamedTuple):
    """`[0,2]` and `['a','b']`: what each of them finds."""

    steps: "tuple[Field | Part | Every, ...]"


class Filter(NamedTuple):
    """`[?(@.left==right)]`; without an operator it asks whether there is something."""

    left: "Path | Constant"
    sign: str
    right: "Path | Constant"


class Constant(NamedTuple):
    value: str | float | bool


class Path(NamedTuple):
    """is_whole: from the whole tree (`$`), not from what a range or a filter looks at."""

    steps: "tuple[Field | Every | Part | Union | Filter, ...]"
    is_whole: bool = False


class Range(NamedTuple):
    """`{range .items[*]}` to `{end}`: the template for each of them."""

    path: Path
    body: "Template"


type Template = tuple[str | Path | Range, ...]

_TEXT = r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' """
_NAME = r""" (?: \\. | [^\\.\[\]{}()\s"'|,:=<>!*] )+ """
_ACTION = re.compile(rf"\{{ ( (?: [^{{}}\"'] | {_TEXT} )* ) \}}", re.VERBOSE)
_QUOTED = re.compile(_TEXT, re.VERBOSE)
_STEP = re.compile(
    rf"""
    \.\.                    (?P<deep>)
    | \.? \[ \? \( (?P<filter> (?: [^"'()] | {_TEXT} )* ) \) \]
    | \.? \[ (?P<inner> (?: [^\]"'] | {_TEXT} )* ) \]
    | \.? (?P<name> \* | {_NAME} )
    """,
    re.VERBOSE,
)
_WORD = re.compile(rf"(?: {_TEXT} | \[ (?: [^\]\"'] | {_TEXT} )* \] | [^\s\"'\[] )+", re.VERBOSE)
_PART = re.compile(r"(-?\d+)?(?:(:)(-?\d+)?(?::(-?\d+)?)?)?", re.ASCII)
_COMPARED = re.compile(rf"( (?: {_TEXT} | [^\"'=!<>] )* ) (==|!=|<=|>=|<|>) (.*)", re.VERBOSE)
SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def template_of(text: str) -> Template:
    """Read a template. Raises: Malformed."""
    if len(text) > TEMPLATE_CHARS_MAX:
        raise Malformed(f"it has over {TEMPLATE_CHARS_MAX} characters")
    open_ranges: list[Path] = []
    bodies: list[list[str | Path | Range]] = [[]]
    at = 0
    for found in _ACTION.finditer(text):
        bodies[-1] += _literal(text[at : found.start()])
        at, action = found.end(), found[1].strip()
        if action == "end":
            if not open_ranges:
                raise Malformed("not in range, nothing to end")
            body = tuple(bodies.pop())
            bodies[-1].append(Range(open_ranges.pop(), body))
        elif action.startswith("range "):
            open_ranges.append(path_of(action.removeprefix("range ").strip()))
            bodies.append([])
        else:
            bodies[-1] += _parts_of(action)
    bodies[-1] += _literal(text[at:])
    if open_ranges:
        raise Malformed("unexpected end of range: {end} is missing")
    return tuple(bodies[0])


def _literal(text: str) -> list[str]:
    if "{" in text or "}" in text:
        raise Malformed(f"unclosed action in {text[:40]!r}")
    return [text] if text else []


def _parts_of(action: str) -> Iterator[str | Path]:
    """Yield what stands between braces: quoted text, and paths; nothing is the whole tree.

    Raises: Malformed.
    """
    if not action:
        yield Path(())
    rest = _WORD.sub("", action).strip()
    if rest:
        raise Malformed(f"unterminated array or text in {action[:40]!r}")
    for word in _WORD.findall(action):
        yield _plain(word) if _QUOTED.fullmatch(word) else path_of(word)


def _plain(quoted: str) -> str:
    text = quoted[1:-1]
    text = text if quoted[0] == '"' else text.replace("\\'", "'").replace('"', '\\"')
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError as error:
        raise Malformed(f"the text {quoted[:40]} cannot be read") from error


def path_of(text: str) -> Path:
    """Read a path, such as `.metadata.name`. Raises: Malformed."""
    steps: list[Field | Every | Part | Union | Filter] = []
    is_whole = text[:1] == "$"
    at = 1 if text[:1] in ("$", "@") else 0
    if text[at:] == ".":
        return Path((), is_whole)
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise Malformed(f"unrecognized character in {text[at : at + 40]!r}")
        at = found.end()
        if found["deep"] is not None:
            steps.append(Every(is_deep=True))
        elif found["filter"] is not None:
            steps.append(_filter_of(found["filter"]))
        elif found["inner"] is not None:
            steps.append(_union_of(found["inner"]))
        else:
            name = re.sub(r"\\(.)", r"\1", found["name"])
            steps.append(Every() if name == "*" else Field(name))
    return Path(tuple(steps), is_whole)


def _union_of(text: str) -> Union:
    """Raises: Malformed."""
    words = re.split(rf",(?=(?:[^\"']|{_TEXT.strip()})*$)", text, flags=re.VERBOSE)
    return Union(tuple(_element_of(word.strip()) for word in words))


def _element_of(word: str) -> Field | Part | Every:
    """Raises: Malformed."""
    if _QUOTED.fullmatch(word):
        # A dot may be escaped here too, as in a name without quotes.
        return Field(_plain(word.replace("\\.", ".")))
    if word == "*":
        return Every()
    found = _PART.fullmatch(word)
    if found is None or not word:
        raise Malformed(f"invalid array index {word[:40]!r}")
    start, colon, end, step = found.groups()
    if not colon:
        index = int(start)
        return Part(slice(index, index + 1 or None))
    if step is not None and int(step) < 1:
        raise Malformed("a step must be 1 or more")
    whole = [int(one) if one else None for one in (start, end, step)]
    return Part(slice(*whole))


def _filter_of(text: str) -> Filter:
    """Raises: Malformed."""
    found = _COMPARED.fullmatch(text.strip())
    if found is None:
        return Filter(_operand_of(text.strip()), "", Constant(value=True))
    return Filter(_operand_of(found[1].strip()), found[2], _operand_of(found[3].strip()))


def _operand_of(text: str) -> Path | Constant:
    """Raises: Malformed."""
    if not text:
        raise Malformed("a filter compares with nothing")
    if _QUOTED.fullmatch(text):
        return Constant(_plain(text))
    if text in ("true", "false"):
        return Constant(text == "true")
    try:
        return Constant(float(text))
    except ValueError:
        return path_of(text)


def values_at(path: Path, tree: Any, whole: Any = None) -> list[Any]:
    """Return everything that a path leads to, in order."""
    found = [whole if path.is_whole and whole is not None else tree]
    for step in path.steps:
        found = [value for one in found for value in _stepped(step, one, whole)][:RESULTS_MAX]
    return found


def _stepped(step: Any, one: Any, whole: Any) -> Iterator[Any]:
    match step:
        case Field(name) if isinstance(one, dict):
            yield from [one[name]] if name in one else ()
        case Every(is_deep):
            yield from _everything_in(one) if is_deep else _children(one)
        case Part(indexes) if isinstance(one, list):
            yield from one[indexes]
        case Union(steps):
            for each in steps:
                yield from _stepped(each, one, whole)
        case Filter() if isinstance(one, list):
            yield from (value for value in one if _holds(step, value, whole))


def _children(one: Any) -> Sequence[Any]:
    if isinstance(one, dict):
        return list(one.values())
    return one if isinstance(one, list) else ()


def _everything_in(one: Any) -> Iterator[Any]:
    """Yield a value and all that is in it, each before what it holds."""
    waiting = [one]
    while waiting:
        value = waiting.pop()
        yield value
        waiting += reversed(_children(value))


def _holds(step: Filter, value: Any, whole: Any) -> bool:
    lefts, rights = (_operands(side, value, whole) for side in (step.left, step.right))
    if not step.sign:
        return bool(lefts)
    if not lefts or not rights:
        return False
    try:
        return SIGNS[step.sign](lefts[0], rights[0])
    except TypeError:  # a text and a number are in no order
        return False


def _operands(side: Path | Constant, value: Any, whole: Any) -> list[Any]:
    return [side.value] if isinstance(side, Constant) else values_at(side, value, whole)


def text_for(template: Template, tree: Any, whole: Any = None) -> str:
    """Carry a template out on a tree."""
    whole = tree if whole is None else whole
    pieces = []
    for part in template:
        match part:
            case str():
                pieces.append(part)
            case Path():
                pieces.append(" ".join(shown(value) for value in values_at(part, tree, whole)))
            case Range(path, body):
                pieces += [text_for(body, one, whole) for one in values_at(path, tree, whole)]
    return "".join(pieces)


def shown(value: Any) -> str:
    """Return a value as text: what is no text as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
