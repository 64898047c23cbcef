"""YAML behind a guard: events are checked one by one before anything is built.

PyYAML's own loaders are not used: the fast one dies of deep nesting, the safe one takes seconds for
a long list, and both follow YAML 1.1, where `no` is false, `010` is eight and `12:30` is 750. Here
a plain scalar is what YAML 1.2's core schema says; the permission bits of a file alone may be octal
numbers of either version (`0400`, `0o400`), as every manifest has them. Anchors, aliases, tags and
merge keys are refused: no manifest needs them, and a small text can grow to gigabytes by them.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import BODY_BYTES_MAX, DEPTH_MAX, Tree

NODE_MAX = 100_000
# Only its parser is used: libyaml's, where the wheel has it, is ten times as fast.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DOCUMENT_MAX = 1000
DUPLICATES_TOLD_MAX = 16
DIGIT_MAX = 18

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
# Fields of a file's permission bits: there a leading zero means octal, as in YAML 1.1.
_MODES = frozenset({"mode", "defaultMode"})
_OCTAL = re.compile(r"0o?([0-7]{1,4})\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
# What YAML 1.1, YAML 1.2 or both would read as a number: quoted, so that a text stays one.
_NUMBER_LIKE = re.compile(r"[-+]?[.0-9][0-9_.:]*([eE][-+]?[0-9]+)?\Z")


class Document(NamedTuple):
    """One document of a file; line is where it begins, counted from 1.

    duplicates: the fields that stand twice, of which the last was taken; each as a sentence.
    """

    tree: Tree
    line: int
    duplicates: tuple[str, ...] = ()


def tree_of(body: bytes) -> Tree:
    """Return the one object of a YAML body.

    Raises: BadRequest, with line and column.
    """
    tree, duplicates = lenient_tree_of(body)
    if duplicates:
        raise BadRequest(duplicates[0])
    return tree


def lenient_tree_of(body: bytes) -> tuple[Tree, tuple[str, ...]]:
    """Return the one object of a YAML body; of a field that stands twice the last, and a sentence.

    Raises: BadRequest, with line and column.
    """
    found = documents(body)
    if len(found) != 1:
        raise BadRequest(f"expected one YAML document, found {len(found)}")
    return found[0].tree, found[0].duplicates


def documents(content: bytes | str) -> list[Document]:
    """Return every document of a file that is an object; empty documents are left out.

    Of a field that stands twice the last is taken, as kubectl takes it.

    Raises: BadRequest, with line and column.
    """
    if len(content) > BODY_BYTES_MAX:
        raise BadRequest(f"over {BODY_BYTES_MAX} bytes of YAML")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return list(_Builder(text).documents())
    except UnicodeDecodeError as error:
        raise BadRequest(f"the YAML is not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise BadRequest(f"not valid YAML: {_told(error)}") from error


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NUMBER_LIKE.match(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def text_of(tree: Any) -> str:
    """Return YAML that reads back as the same tree, by version 1.1 and by 1.2."""
    dumped: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=100)
    return dumped


def _told(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} at {_place(error.problem_mark)}"
    return " ".join(str(error).split())[:200]


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class _Open:
    """A list or an object that is being read; key is the one whose value comes next."""

    __slots__ = ("key", "value")

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self.value = value
        self.key: str | None = None


class _Builder:
    """Builds documents from events with a stack of its own: depth costs nobody's recursion."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_PARSER)
        self._node_count = 0
        self._stack: list[_Open] = []
        self._root: Any = None
        self._duplicates: list[str] = []

    def documents(self) -> Iterator[Document]:
        line, count = 1, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                count += 1
                if count > DOCUMENT_MAX:
                    raise BadRequest(f"over {DOCUMENT_MAX} YAML documents")
                line, self._root, self._duplicates = _line_of(event), None, []
                # An explicit `---` stands on a line of its own, before the document.
                line += 1 if event.explicit else 0
            elif isinstance(event, DocumentEndEvent):
                if isinstance(self._root, dict):
                    yield Document(self._root, line, tuple(self._duplicates))
                elif self._root is not None:
                    raise BadRequest(f"expected an object at line {line}")
            else:
                self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case AliasEvent():
                raise _refused("anchors and aliases are not accepted", event)
            case MappingStartEvent() | SequenceStartEvent():
                self._check_node(event)
                self._begin(event)
            case ScalarEvent():
                self._check_node(event)
                self._scalar(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._stack.pop()
            case _:
                return

    def _check_node(self, event: MappingStartEvent | SequenceStartEvent | ScalarEvent) -> None:
        self._node_count += 1
        if self._node_count > NODE_MAX:
            raise _refused(f"more than {NODE_MAX} nodes", event)
        if event.anchor is not None:
            raise _refused("anchors and aliases are not accepted", event)
        if event.tag is not None:
            raise _refused("tags are not accepted", event)

    def _begin(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        if len(self._stack) >= DEPTH_MAX:
            raise _refused(f"nesting deeper than {DEPTH_MAX}", event)
        value: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        self._put(value, event)
        self._stack.append(_Open(value))

    def _scalar(self, event: ScalarEvent) -> None:
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            self._key(event)
        else:
            is_mode = bool(self._stack) and self._stack[-1].key in _MODES
            octal = _OCTAL.match(event.value) if is_mode and event.implicit[0] else None
            self._put(int(octal[1], 8) if octal else _value_of(event), event)

    def _key(self, event: ScalarEvent) -> None:
        top = self._stack[-1]
        key = str(event.value)
        if key == "<<" and event.implicit[0]:
            raise _refused("merge keys are not accepted", event)
        if key in top.value and len(self._duplicates) < DUPLICATES_TOLD_MAX:
            told = f'duplicate field "{key[:100]}" at {_place(event.start_mark)}'
            self._duplicates.append(told)
        top.key = key

    def _put(self, value: Any, event: Event) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            raise _refused("a key must be a plain text", event)
        else:
            top.value[top.key] = value
            top.key = None


def _line_of(event: Event) -> int:
    mark: Any = event.start_mark
    return int(mark.line) + 1


def _value_of(event: ScalarEvent) -> Any:
    """Return what a scalar is: quoted is text; plain follows the core schema of YAML 1.2.

    Where 1.1 and 1.2 differ about a number (`010`), it stays a text: the field's type will say
    what it wants.
    """
    text = str(event.value)
    if not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _LEADING_ZERO.match(text):
        return text
    return _number_or_text(text, event)


def _number_or_text(text: str, event: ScalarEvent) -> int | float | str:
    is_integer = _INTEGER.match(text) is not None
    if not is_integer and not _FLOAT.match(text):
        return text
    if is_integer and len(text) <= DIGIT_MAX:
        return int(text)
    number = float(text)
    if is_integer or not math.isfinite(number):
        raise _refused("number out of range", event)
    return number


def _refused(why: str, event: Event) -> BadRequest:
    mark: Any = event.start_mark
    return BadRequest(f"YAML: {why} at {_place(mark)}")
