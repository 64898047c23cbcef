"""Functions of Go's templates, and kubectl's `exists` and `base64decode`; text as Go's. Pure."""

import json
import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

NO_VALUE = "<no value>"
WIDTH_MAX = 1000
_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d*))?([a-zA-Z%])")


class Failed(ValueError):
    """A template cannot be carried out on what there is; the sentence says why."""


def shown(value: Any, *, is_inner: bool = False) -> str:
    """Return a value as Go prints it."""
    match value:
        case None:
            return "<nil>" if is_inner else NO_VALUE
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case dict():
            pairs = (f"{key}:{shown(one, is_inner=True)}" for key, one in sorted(value.items()))
            return f"map[{' '.join(pairs)}]"
        case list():
            return f"[{' '.join(shown(one, is_inner=True) for one in value)}]"
    return str(value)


def _float(value: float) -> str:
    if abs(value) < 1e21 and value == int(value):
        return str(int(value))
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", repr(value))


def is_true(value: Any) -> bool:
    """Return whether `if` takes it: nothing, zero and what is empty are not."""
    return bool(value)


def _decided(values: Iterable[Any], *, by: bool) -> Any:
    """Return the first value that decides, or the last; those behind it are not worked out."""
    value: Any = None
    for value in values:
        if is_true(value) is by:
            break
    return value


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if not isinstance(value, dict | list):
        raise Failed(f"len of {shown(value)[:40]}")
    return len(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        match value:
            case dict():
                if not isinstance(key, str):
                    raise Failed(f"cannot index with {shown(key)[:40]}: an object takes a text")
                value = value.get(key)
            case list() | str():
                if type(key) is not int:
                    raise Failed(f"cannot index with {shown(key)[:40]}: a list takes a number")
                if not 0 <= key < len(value):
                    raise Failed(f"index out of range: {key}")
                value = ord(value[key]) if isinstance(value, str) else value[key]
            case None:
                raise Failed("index of untyped nil")
            case _:
                raise Failed(f"can't index item of {shown(value)[:40]}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list) or not all(type(one) is int for one in bounds):
        raise Failed(f"cannot slice {shown(value)[:40]}")
    start, end = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise Failed(f"index out of range: {start}:{end}")
    return value[start:end]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _comparable(left: Any, right: Any) -> None:
    are_numbers = _is_number(left) and _is_number(right)
    if not are_numbers and type(left) is not type(right) and None not in (left, right):
        raise Failed("incompatible types for comparison")
    if isinstance(left, dict | list):
        raise Failed("non-comparable type: a list or an object")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise Failed("missing argument for comparison")
    for one in others:
        _comparable(first, one)
        if first == one:
            return True
    return False


def _lt(left: Any, right: Any) -> bool:
    _comparable(left, right)
    if left is None or right is None or isinstance(left, bool):
        raise Failed("invalid type for comparison")
    return bool(left < right)


def _le(left: Any, right: Any) -> bool:
    return _lt(left, right) or _eq(left, right)


def _print(*values: Any) -> str:
    """Return the values, with a blank between two of which neither is a text."""
    text, before = "", ""
    for at, one in enumerate(values):
        gap = " " if at and not isinstance(one, str) and not isinstance(before, str) else ""
        text, before = text + gap + shown(one, is_inner=True), one
    return text


def _println(*values: Any) -> str:
    return " ".join(shown(one, is_inner=True) for one in values) + "\n"


def _printf(form: Any, *values: Any) -> str:
    if not isinstance(form, str):
        raise Failed("printf: the format must be a text")
    rest = list(values)

    def told(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        if int(width or 0) > WIDTH_MAX or int(precision or 0) > WIDTH_MAX:
            raise Failed(f"printf: a width of over {WIDTH_MAX}")
        text = _formatted(rest.pop(0), verb, flags, precision)
        if "-" in flags:
            return text.ljust(int(width or 0))
        is_padded = "0" in flags and verb != "s"
        return text.zfill(int(width or 0)) if is_padded else text.rjust(int(width or 0))

    text = _VERB.sub(told, form)
    extra = ", ".join(f"{_type(one)}={shown(one, is_inner=True)}" for one in rest)
    return text + (f"%!(EXTRA {extra})" if rest else "")


def _formatted(value: Any, verb: str, flags: str, precision: str | None) -> str:
    plain = shown(value, is_inner=True)
    if verb in ("v", "T"):
        return plain if verb == "v" else _type(value)
    takes = VERBS.get((verb, type(value)))
    if takes is not None:
        return takes(value, "+" if "+" in flags else "", precision)
    return f"%!{verb}({_type(value)}={plain})" if value is not None else f"%!{verb}(<nil>)"


def _cut(value: Any, _: str, precision: str | None) -> str:
    return shown(value)[: None if precision is None else int(precision or 0)]


# What of printf takes values of which type; %v and %T take all.
VERBS: Mapping[tuple[str, type], Callable[[Any, str, str | None], str]] = {
    ("s", str): _cut,
    ("s", list): _cut,
    ("s", dict): _cut,
    ("q", str): lambda value, _, __: json.dumps(value, ensure_ascii=False),
    ("d", int): lambda value, sign, _: format(value, f"{sign}d"),
    ("x", int): lambda value, _, __: format(value, "x"),
    ("x", str): lambda value, _, __: value.encode().hex(),
    ("t", bool): lambda value, _, __: shown(value),
    ("f", float): lambda value, sign, precision: format(value, f"{sign}.{precision or 6}f"),
}


def _type(value: Any) -> str:
    if value is None:
        return "<nil>"
    names: Mapping[type, str] = {
        bool: "bool", int: "int64", float: "float64", str: "string",
        dict: "map[string]interface {}", list: "[]interface {}",
    }  # fmt: skip
    return names[type(value)]


def _exists(value: Any, *keys: Any) -> bool:
    """kubectl's: whether a path of keys and indexes leads to something."""
    try:
        return _index(value, *keys) is not None
    except Failed:
        return False


def _base64decode(text: Any) -> str:
    """kubectl's, for Secrets."""
    try:
        return a2b_base64(str(text), strict_mode=True).decode()
    except (NotBase64, UnicodeDecodeError) as error:
        raise Failed(f"base64 decode: {error}") from error


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "not": lambda value: not is_true(value),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "eq": _eq,
    "ne": lambda left, right: not _eq(left, right),
    "lt": _lt,
    "le": _le,
    "gt": lambda left, right: not _le(left, right),
    "ge": lambda left, right: not _lt(left, right),
    "print": _print,
    "printf": _printf,
    "println": _println,
    "exists": _exists,
    "base64decode": _base64decode,
}
# Which truth of an argument decides what they give.
DECIDED_BY: Mapping[str, bool] = {"and": False, "or": True}
NAMES = frozenset((*FUNCTIONS, *DECIDED_BY))
COUNTS: Mapping[str, Sequence[int]] = {
    "not": (1, 1), "len": (1, 1), "ne": (2, 2), "lt": (2, 2), "le": (2, 2), "gt": (2, 2),
    "ge": (2, 2), "base64decode": (1, 1), "eq": (2, 100), "index": (1, 100), "slice": (1, 3),
    "printf": (1, 100), "exists": (1, 100), "and": (1, 100), "or": (1, 100),
}  # fmt: skip


def called(name: str, arguments: Iterable[Any], count: int) -> Any:
    """Call a function with so many arguments, worked out as it takes them. Raises: Failed."""
    least, most = COUNTS.get(name, (0, 100))
    if not least <= count <= most:
        raise Failed(f"wrong number of args for {name}: want {least} got {count}")
    if name in DECIDED_BY:
        return _decided(arguments, by=DECIDED_BY[name])
    return FUNCTIONS[name](*arguments)
