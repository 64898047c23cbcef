"""JSON behind a guard: limited depth, finite numbers, text that is text, no duplicate fields.

Nothing here knows a model: what only passes trees on (the command line) pays for nothing else.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

from cubernetes.api.errors import BadRequest

DEPTH_MAX = 64
BODY_BYTES_MAX = 3 * 1024 * 1024
INTEGER_MAX = 2**63
INTEGER_CHARS_MAX = 20

type Tree = dict[str, Any]  # a JSON object


class DuplicateField(BadRequest):
    """A field stands twice in one object."""


def tree_of(body: bytes, *, duplicates_refused: bool = True) -> Tree:
    """Parse JSON strictly: UTF-8, an object at the top, finite numbers, depth at most 64.

    Raises: BadRequest, with what is wrong.
    """
    try:
        text = body.decode("utf-8")
        is_checked = _has_large_numbers(body)
        tree = plain_tree_of(body) if duplicates_refused and not is_checked else None
        if tree is None:
            tree = _DECODERS[duplicates_refused, is_checked].decode(text)
            # A lone surrogate is valid to Python's parser and to nobody else.
            if "\\ud" in text.lower():
                json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except (RecursionError, ValueError) as error:
        raise _refusal(error) from error
    return _shallow_object(tree, text)


def is_modest(body: bytes) -> bool:
    """Whether a JSON text has neither depth nor numbers that are to be looked at."""
    is_shallow = body.count(b"{") + body.count(b"[") <= DEPTH_MAX
    return is_shallow and not _has_large_numbers(body)


def _has_large_numbers(body: bytes) -> bool:
    """Whether a number may be too large: 19 digits in a row, or an exponent of three.

    All digits are made one, so that a plain search finds them: an expression takes five times as
    long. Text that only looks so is suspect, too.
    """
    alike = body.translate(_ALIKE, b"+")
    return any(one in alike for one in _LARGE)


def plain_tree_of(body: bytes) -> Any:
    """Return what is read and written back as the same bytes; None where that is not so.

    Such a body has no duplicate field, no constant beside those of JSON and no lone surrogate: none
    of them would be written again. Most clients send such bodies, and they cost a sixth.
    """
    import msgspec  # not for command lines, which do not ask about duplicates

    try:
        tree = msgspec.json.decode(body)
        return tree if msgspec.json.encode(tree) == body.rstrip(b"\n") else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def lenient_tree_of(body: bytes) -> tuple[Tree, tuple[str, ...]]:
    """Parse JSON as tree_of does; of a field that stands twice the last is taken, and told of.

    Raises: BadRequest.
    """
    try:
        return tree_of(body), ()
    except DuplicateField as error:
        return tree_of(body, duplicates_refused=False), (error.message,)


def trees_of(body: bytes) -> Iterator[tuple[Tree, int]]:
    """Yield the JSON objects that follow one another in a file, each with its first line.

    Of a field that stands twice the last is taken, as kubectl takes it.

    Raises: BadRequest, as tree_of.
    """
    decoder = _DECODERS[False, True]
    try:
        text = body.decode("utf-8")
        at, line, counted = 0, 1, 0
        while (begin := _behind_gap(text, at)) < len(text):
            tree, at = decoder.raw_decode(text, begin)
            json.dumps(tree, ensure_ascii=False).encode("utf-8")
            line, counted = line + text.count("\n", counted, begin), begin
            yield _shallow_object(tree, text[begin:at]), line
    except (RecursionError, ValueError) as error:
        raise _refusal(error) from error


def _refusal(error: RecursionError | ValueError) -> BadRequest:
    """Return what Python's parser found, in the words of the API."""
    match error:
        case UnicodeDecodeError():
            return BadRequest(f"the body is not UTF-8 at byte {error.start}")
        case UnicodeEncodeError():
            return BadRequest("the body holds a lone surrogate, which is not text")
        case RecursionError():
            return BadRequest(f"nesting deeper than {DEPTH_MAX}")
        case _:
            return BadRequest(f"the body is not valid JSON: {error}")


def _behind_gap(text: str, at: int) -> int:
    found = _GAP.match(text, at)
    return found.end() if found else at


def _shallow_object(tree: Any, text: str) -> Tree:
    if not isinstance(tree, dict):
        raise BadRequest("expected a JSON object")
    is_suspect = text.count("{") + text.count("[") > DEPTH_MAX
    if is_suspect and deeper_than(tree, DEPTH_MAX):
        raise BadRequest(f"nesting deeper than {DEPTH_MAX}")
    return cast(Tree, tree)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counted.items() if count > 1)
        raise DuplicateField(f'duplicate field "{twice[:100]}"')
    return tree


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _integer(word: str) -> int:
    """Every number here is of 64 bits, as it is for every other client."""
    number = int(word) if len(word) <= INTEGER_CHARS_MAX else INTEGER_MAX
    if not -INTEGER_MAX <= number < INTEGER_MAX:
        raise ValueError("number out of range")
    return number


def _finite(word: str) -> float:
    number = float(word)
    if math.isinf(number):
        raise ValueError("number out of range")
    return number


# Between two objects: blanks, and the line that parts documents in YAML.
_GAP = re.compile(r"(?:\s|^---[ \t]*$)*", re.MULTILINE)
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE = (b"0" * 19, b"0e000")
_CHECKS: Any = {"parse_constant": _refuse_constant}
_NUMBERS: Any = {**_CHECKS, "parse_int": _integer, "parse_float": _finite}
# By whether duplicates are refused and numbers looked at. Made once: json.loads makes one a call.
_DECODERS: Mapping[tuple[bool, bool], json.JSONDecoder] = {
    (False, False): json.JSONDecoder(**_CHECKS),
    (False, True): json.JSONDecoder(**_NUMBERS),
    (True, False): json.JSONDecoder(object_pairs_hook=_refuse_duplicates, **_CHECKS),
    (True, True): json.JSONDecoder(object_pairs_hook=_refuse_duplicates, **_NUMBERS),
}


def deeper_than(tree: object, limit: int) -> bool:
    """Tell whether lists and objects stand inside one another beyond limit.

    Level by level, without recursion: a hostile depth must not cost our stack.
    """
    level: list[Any] = [tree]
    for _ in range(limit + 1):
        if not level:
            return False
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return bool(level)


def without_nulls(tree: Any) -> Any:
    """Return the tree without fields that are null: Kubernetes' clients mean «absent» by them."""
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_nulls(value) for value in tree]
    return tree
