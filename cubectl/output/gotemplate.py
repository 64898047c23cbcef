"""`-o go-template`: templates as kubectl takes them, read once and carried out on a tree. Pure.

Of Go's text/template: fields, variables, pipelines, `if`, `with`, `range` with their `else`, trim
markers, comments and the functions below; `define`, `template` and `block` are refused by name.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from math import isinf
from typing import Any, NamedTuple

from cubectl.output.gofunctions import NAMES, Failed, called, is_true, shown

TEMPLATE_CHARS_MAX = 100_000
DEPTH_MAX = 50
OUTPUT_CHARS_MAX = 64 * 1024 * 1024
BLOCKS = ("if", "with", "range")
REFUSED = ("define", "template", "block", "break", "continue")

# What stands behind `{{`. Whatever it has read it keeps: no template makes it try a second time.
ACTION = re.compile(
    r"""(?P<trims_before>-\s)?+
    (?: (?P<comment> (?>/\*.*?\*/) (?>\s(?=-\}\}))?+ ) (?=-?+\}\}) | (?P<inner>
      (?> "(?>\\.|[^"\\\n])*+" | `[^`]*+` | '(?>\\.|[^'\\\n])++'
        | (?!\}\}|(?<=\s)-\}\})[^"'`] )*+ ) )
    (?P<trims_after>(?<=\s)-)?+\}\}""",
    re.VERBOSE | re.DOTALL,
)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text> "(?:\\.|[^"\\])*" | `[^`]*` )
    | (?P<char> '(?:\\.|[^'\\])+' )
    | (?P<number> [+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?) )
    | (?P<variable> \$\w* )
    | (?P<field> \.\w+ )
    | (?P<dot> \. )
    | (?P<word> \w+ )
    | (?P<sign> :=|=|\||,|\(|\) )
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "0": "\0"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)


class Malformed(ValueError):
    """A template cannot be read; the sentence says where."""


class Token(NamedTuple):
    kind: str
    text: str
    # Whether nothing stands between it and the one before: `.a.b` is a chain, `.a .b` is two words.
    is_close: bool


class Constant(NamedTuple):
    value: Any


class Function(NamedTuple):
    name: str


class Chain(NamedTuple):
    """Fields of the dot (base is None), of a variable, or of what a pipeline gives."""

    base: "str | Pipeline | None"
    names: tuple[str, ...]


type Operand = Constant | Function | Chain
type Command = tuple[Operand, ...]


class Pipeline(NamedTuple):
    """variables are set to what the last command gives; is_new: they begin here."""

    variables: tuple[str, ...]
    is_new: bool
    commands: tuple[Command, ...]


class Block(NamedTuple):
    """`if`, `with` or `range`; without a pipeline it is the branch of an `else`."""

    word: str
    pipeline: Pipeline
    body: "Template"
    other: "Template"


type Template = tuple[str | Pipeline | Block, ...]


def template_of(text: str) -> Template:
    """Read a template. Raises: Malformed."""
    if len(text) > TEMPLATE_CHARS_MAX:
        raise Malformed(f"it has over {TEMPLATE_CHARS_MAX} characters")
    reader = _Reader(list(_pieces_of(text)))
    template, end = reader.template(0)
    if end:
        raise Malformed(f"unexpected {{{{{end}}}}}")
    return template


def _pieces_of(text: str) -> Iterator[str | list[Token]]:
    """Yield plain text, and the tokens of each action. Raises: Malformed."""
    at, is_trimmed = 0, False
    while (start := text.find("{{", at)) >= 0:
        found = ACTION.match(text, start + 2)
        if found is None:
            raise Malformed(f"unclosed action in {text[start : start + 40]!r}")
        plain = _plain(text[at:start], is_trimmed)
        yield plain.rstrip() if found["trims_before"] else plain
        at, is_trimmed = found.end(), bool(found["trims_after"])
        if not found["comment"]:
            yield _tokens_of(found["inner"].strip())
    yield _plain(text[at:], is_trimmed)


def _plain(text: str, is_trimmed: bool) -> str:
    return text.lstrip() if is_trimmed else text


def _tokens_of(inner: str) -> list[Token]:
    """Return the tokens of an action, which no blanks end. Raises: Malformed."""
    tokens: list[Token] = []
    at = 0
    while at < len(inner):
        found = _TOKEN.match(inner, at)
        if found is None or found.lastgroup is None:
            raise Malformed(f"unexpected {inner[at : at + 20].strip()!r} in {inner[:40]!r}")
        word = found[found.lastgroup]
        tokens.append(Token(found.lastgroup, word, not found[0][:1].isspace() and at > 0))
        at = found.end()
    return tokens


class _Reader:
    """Makes blocks of pieces."""

    def __init__(self, pieces: list[str | list[Token]]) -> None:
        self._pieces, self._at = pieces, 0

    def template(self, depth: int) -> tuple[Template, str]:
        """Return what stands to the next `end` or `else`, and that word. Raises: Malformed."""
        if depth > DEPTH_MAX:
            raise Malformed(f"blocks stand over {DEPTH_MAX} deep in each other")
        parts: list[str | Pipeline | Block] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if isinstance(piece, str):
                parts += [piece] if piece else []
                continue
            word = piece[0].text if piece and piece[0].kind == "word" else ""
            if word in REFUSED:
                raise Malformed(f"{{{{{word}}}}} is not supported")
            if word in ("end", "else"):
                return tuple(parts), " ".join(token.text for token in piece)
            if word in BLOCKS:
                parts.append(self._block(word, piece[1:], depth))
            else:
                parts.append(_Pipelines(piece).whole())
        return tuple(parts), ""

    def _block(self, word: str, tokens: list[Token], depth: int) -> Block:
        pipeline = _Pipelines(tokens).whole()
        mark = self._at
        body, end = self.template(depth + 1)
        other: Template = ()
        if end.startswith("else "):
            # `else if` is an `if` within the `else`, which ends with it.
            piece = self._pieces[self._at - 1]
            assert isinstance(piece, list)  # noqa: S101  an action brought us here
            if piece[1].text not in ("if", "with"):
                raise Malformed(f"unexpected {{{{{end}}}}}")
            return Block(word, pipeline, body, (self._block(piece[1].text, piece[2:], depth + 1),))
        if end == "else":
            other, end = self.template(depth + 1)
        if end != "end":
            raise Malformed(f"{{{{{word}}}}} has no {{{{end}}}} (action {mark})")
        return Block(word, pipeline, body, other)


class _Pipelines:
    """Makes a pipeline of the tokens of an action."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def whole(self) -> Pipeline:
        """Raises: Malformed."""
        variables, is_new = self._variables()
        commands = self._commands()
        if self._at < len(self._tokens):
            raise Malformed(f"unexpected {self._tokens[self._at].text!r}")
        return Pipeline(variables, is_new, commands)

    def _variables(self) -> tuple[tuple[str, ...], bool]:
        signs = [one.text for one in self._tokens]
        count = next((at for at, one in enumerate(signs) if one in (":=", "=")), -1)
        if count < 0:
            return (), False
        names = self._tokens[:count:2]
        commas = signs[1:count:2]
        is_list = all(one.kind == "variable" for one in names) and set(commas) <= {","}
        if not is_list or len(names) > 2 or count % 2 == 0:
            raise Malformed(f"unexpected {signs[count]!r}: write $name := value")
        self._at = count + 1
        return tuple(one.text for one in names), signs[count] == ":="

    def _commands(self) -> tuple[Command, ...]:
        commands, command = list[Command](), list[Operand]()
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.text == ")" and token.kind == "sign":
                break
            self._at += 1
            if token.text == "|" and token.kind == "sign":
                commands.append(_command(command))
                command = []
            else:
                command.append(self._operand(token))
        return (*commands, _command(command))

    def _operand(self, token: Token) -> Operand:
        match token.kind:
            case "text" | "char" | "number":
                return Constant(_value_of(token))
            case "variable":
                return Chain(token.text, self._fields())
            case "dot":
                return Chain(None, self._fields())
            case "field":
                return Chain(None, (token.text[1:], *self._fields()))
            case "word":
                return _word(token.text)
            case _ if token.text == "(":
                return Chain(self._inner(), self._fields())
        raise Malformed(f"unexpected {token.text!r}")

    def _inner(self) -> Pipeline:
        """Return what stands in parentheses, of which the first is read."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Malformed(f"parentheses stand over {DEPTH_MAX} deep in each other")
        inner = Pipeline((), False, self._commands())
        if self._at >= len(self._tokens):
            raise Malformed("unclosed left paren")
        self._depth -= 1
        self._at += 1
        return inner

    def _fields(self) -> tuple[str, ...]:
        names: list[str] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind != "field" or not token.is_close:
                break
            names.append(token.text[1:])
            self._at += 1
        return tuple(names)


def _command(operands: list[Operand]) -> Command:
    if not operands:
        raise Malformed("missing value for command")
    if len(operands) > 1 and not isinstance(operands[0], Function):
        raise Malformed("can't give argument to what is no function")
    return tuple(operands)


def _word(word: str) -> Operand:
    if word in ("true", "false", "nil"):
        return Constant({"true": True, "false": False, "nil": None}[word])
    if word not in NAMES:
        raise Malformed(f"function {word[:40]!r} not defined: {', '.join(sorted(NAMES))}")
    return Function(word)


def _value_of(token: Token) -> Any:
    text = token.text
    if token.kind == "number":
        return _number_of(text.lower())
    if text[0] == "`":
        return text[1:-1]
    plain = _ESCAPE.sub(_unescaped, text[1:-1])
    return ord(plain) if token.kind == "char" and len(plain) == 1 else plain


def _number_of(plain: str) -> int | float:
    """Raises: Malformed: no number of 64 bits holds it."""
    is_whole = "x" in plain or plain.lstrip("+-").isdecimal()
    # No more digits are read than are enough to tell that they are too many.
    number = int(plain[:40], 16 if "x" in plain else 10) if is_whole else float(plain)
    if isinf(number) or (is_whole and not -(2**63) <= number < 2**63):
        raise Malformed(f"the number {plain[:40]} is too large")
    return number


def _unescaped(found: re.Match[str]) -> str:
    word = found[1]
    if word[0] in "ux" and len(word) > 1:
        letter = chr(int(word[1:], 16))
        if "\ud800" <= letter <= "\udfff":
            raise Malformed(f"the escape \\{word} is no character")
        return letter
    if word not in _ESCAPES:
        raise Malformed(f"the escape \\{word} is not known")
    return _ESCAPES[word]


def text_for(template: Template, tree: Any) -> str:
    """Carry a template out. Raises: Failed: a function cannot take what it is given."""
    run = _Run()
    run.carry_out(template, tree, {"$": tree})
    return "".join(run.pieces)


class _Run:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._chars = 0

    def carry_out(self, template: Template, dot: Any, variables: dict[str, Any]) -> None:
        for part in template:
            match part:
                case str():
                    self._say(part)
                case Pipeline():
                    value = _valued(part, dot, variables)
                    if not part.variables:
                        self._say(shown(value))
                case Block():
                    self._enter(part, dot, variables)

    def _say(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > OUTPUT_CHARS_MAX:
            raise Failed(f"it makes over {OUTPUT_CHARS_MAX} characters")
        self.pieces.append(text)

    def _enter(self, block: Block, dot: Any, outer: dict[str, Any]) -> None:
        # A variable that begins here is forgotten at the end; one from outside keeps its value.
        scope = _Scope(outer)
        if block.word == "range":
            self._range(block, dot, scope)
            return
        value = _valued(block.pipeline, dot, scope)
        if is_true(value):
            self.carry_out(block.body, value if block.word == "with" else dot, _Scope(scope))
        else:
            self.carry_out(block.other, dot, _Scope(scope))

    def _range(self, block: Block, dot: Any, scope: dict[str, Any]) -> None:
        names = block.pipeline.variables
        value = _valued(block.pipeline._replace(variables=()), dot, scope)
        pairs: Sequence[tuple[Any, Any]]
        match value:
            case dict():
                pairs = sorted(value.items())
            case list():
                pairs = list(enumerate(value))
            case None:
                pairs = ()
            case _:
                raise Failed(f"range can't iterate over {shown(value)[:40]}")
        for key, one in pairs:
            inner = _Scope(scope)
            for name, bound in zip(names, (one,) if len(names) == 1 else (key, one), strict=False):
                inner.begin(name, bound)
            self.carry_out(block.body, one, inner)
        if not pairs:
            self.carry_out(block.other, dot, _Scope(scope))


class _Scope(dict[str, Any]):
    """Variables of a block, and those of the blocks around it."""

    def __init__(self, outer: dict[str, Any]) -> None:
        super().__init__(outer)
        self._outer, self._own = outer, set[str]()

    def begin(self, name: str, value: Any) -> None:
        self._own.add(name)
        self[name] = value

    def assign(self, name: str, value: Any) -> None:
        self[name] = value
        if name not in self._own:
            if isinstance(self._outer, _Scope):
                self._outer.assign(name, value)
            else:
                self._outer[name] = value


def _valued(pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
    value: Any = None
    for at, command in enumerate(pipeline.commands):
        value = _commanded(command, dot, variables, [value] if at else [])
    for name in pipeline.variables:
        if pipeline.is_new:
            variables[name] = value
            if isinstance(variables, _Scope):
                variables.begin(name, value)
        elif name not in variables:
            raise Failed(f"undefined variable {name}")
        elif isinstance(variables, _Scope):
            variables.assign(name, value)
        else:
            variables[name] = value
    return value


def _commanded(command: Command, dot: Any, variables: dict[str, Any], last: list[Any]) -> Any:
    first, *rest = command
    if not isinstance(first, Function):
        if last:
            raise Failed("what stands behind | must be a function")
        return _operand(first, dot, variables)
    arguments = chain((_operand(one, dot, variables) for one in rest), last)
    return called(first.name, arguments, len(rest) + len(last))


def _operand(operand: Operand, dot: Any, variables: dict[str, Any]) -> Any:
    match operand:
        case Constant(value):
            return value
        case Function(name):
            return called(name, (), 0)
        case Chain(base, names):
            return _found(_base(base, dot, variables), names)


def _base(base: "str | Pipeline | None", dot: Any, variables: dict[str, Any]) -> Any:
    if base is None:
        return dot
    if isinstance(base, Pipeline):
        return _valued(base, dot, variables)
    if base not in variables:
        raise Failed(f"undefined variable {base}")
    return variables[base]


def _found(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Failed(f"can't evaluate field {name} in {shown(value)[:40]}")
        value = value.get(name)
    return value
