"""From the text of a query to its words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from tsdb.errors import BadData


class Kind(Enum):
    NUMBER = auto()
    DURATION = auto()
    STRING = auto()
    NAME = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True)
class Word:
    kind: Kind
    text: str
    at: int


_UNIT = r"(?:ms|[smhdwy])"
_WORDS = re.compile(
    rf"""
    (?P<space>[\s]+|\#[^\n]*)
  | (?P<duration>[0-9]+{_UNIT}(?:[0-9]+{_UNIT})*(?![a-zA-Z0-9_]))
  | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
  | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){{}}\[\],:@])
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "duration": Kind.DURATION,
    "number": Kind.NUMBER,
    "name": Kind.NAME,
    "string": Kind.STRING,
    "sign": Kind.SIGN,
}
_UNITS_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_DURATION_PARTS = re.compile(r"([0-9]+)(ms|[smhdwy])")
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
OCTAL_DIGITS, BYTE_VALUES = 3, 256
DURATION_MS_MAX = 1000 * _UNITS_MS["y"]


def words_of(text: str) -> Iterator[Word]:
    """Yield the words of a query, the last one of kind END.

    Raises:
        BadData: a character that begins no word; says where.
    """
    at = 0
    in_brackets = False
    while at < len(text):
        in_brackets = text[at] == "[" or (in_brackets and text[at] != "]")
        if in_brackets and text[at] == ":":
            # In a range a colon stands alone; elsewhere a name may begin with it.
            yield Word(Kind.SIGN, ":", at)
            at += 1
            continue
        match = _WORDS.match(text, at)
        if match is None or match.lastgroup is None:
            raise BadData(f"parse error: unexpected character {text[at]!r} at position {at + 1}")
        if match.lastgroup != "space":
            yield Word(_KINDS[match.lastgroup], match.group(), at)
        at = match.end()
    yield Word(Kind.END, "", at)


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration: units from large to small, each once, as 1h30m.

    Raises:
        BadData: it is none, or longer than a thousand years.
    """
    total, before = 0, DURATION_MS_MAX
    parts = _DURATION_PARTS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadData(f"not a valid duration string: {text!r}")
    for number, unit in parts:
        if _UNITS_MS[unit] >= before or len(number) > 15:
            raise BadData(f"not a valid duration string: {text!r}")
        before = _UNITS_MS[unit]
        total += int(number) * before
    if total > DURATION_MS_MAX:
        raise BadData(f"duration out of range: {text!r}")
    return total


def number_of(text: str) -> float:
    if text[:2] in ("0x", "0X"):
        return float(int(text, 16)) if len(text) < 250 else float("inf")
    return float(text)


def string_of(text: str) -> str:
    """Return what a quoted string means; back quotes take everything as it stands.

    \\x and octal escapes are bytes, of which several may make a letter, as in Go. Bytes that are no
    UTF-8 fit no label, and are shown as U+FFFD.
    """
    if text[0] == "`":
        return text[1:-1]
    if "\\" not in text:
        return text[1:-1]
    return b"".join(_parts(text)).decode(errors="replace")


def _parts(text: str) -> Iterator[bytes]:
    at, end = 1, len(text) - 1
    for match in _ESCAPE.finditer(text, at, end):
        yield text[at : match.start()].encode(errors="replace")
        yield _unescaped(match.group(1), text[0])
        at = match.end()
    yield text[at:end].encode(errors="replace")


def _unescaped(code: str, quote: str) -> bytes:
    if code in _ESCAPES and (code not in "'\"" or code == quote):
        return _ESCAPES[code].encode()
    number = -1
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
    elif len(code) == OCTAL_DIGITS:
        number = int(code, 8)
    if code[0] not in "uU" and 0 <= number < BYTE_VALUES:
        return bytes([number])
    if code[0] not in "uU" or not 0 <= number <= 0x10FFFF or 0xD800 <= number < 0xE000:
        raise BadData(f"parse error: unknown escape sequence \\{code}")
    return chr(number).encode()
