"""Work as a count, not a time: operations of our Python code, and letters that it copies or scans.

A time says how busy the machine was. These counts are the same on every machine and every run, so
that a law may bound how they grow with an input.
"""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

from tsdb.errors import TsdbError

HOUSE = Path(__file__).resolve().parents[3]
TOOL = 4
INSTRUCTION = sys.monitoring.events.INSTRUCTION
# Doubling the input may double the work; the rest is what each call costs anyway.
RATIO_MAX = 2.2


class Work:
    """Counts while it is entered: everything of our own code, or some files of it."""

    letters = 0

    def __init__(self, *parts: str) -> None:
        self._parts = tuple(str(HOUSE / part) for part in parts or ("tsdb", "cubernetes"))
        self.operations = 0

    def __enter__(self) -> "Work":
        Work.letters = 0
        sys.monitoring.use_tool_id(TOOL, "work")
        sys.monitoring.register_callback(TOOL, INSTRUCTION, self._stepped)
        sys.monitoring.restart_events()
        sys.monitoring.set_events(TOOL, INSTRUCTION)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.monitoring.set_events(TOOL, 0)
        sys.monitoring.register_callback(TOOL, INSTRUCTION, None)
        sys.monitoring.free_tool_id(TOOL)

    @property
    def total(self) -> int:
        return self.operations + Work.letters

    def _stepped(self, code: CodeType, _offset: int) -> object:
        if not code.co_filename.startswith(self._parts):
            return sys.monitoring.DISABLE
        self.operations += 1
        return None


class Text(str):
    """A text that counts the letters which are copied out of it, or looked through."""

    def __getitem__(self, place: Any) -> "Text":
        found = Text(super().__getitem__(place))
        Work.letters += len(found)
        return found

    def __iter__(self) -> Iterator[str]:
        Work.letters += len(self)
        return super().__iter__()

    def find(self, part: str, *span: Any) -> int:
        found = super().find(part, *span)
        begin = span[0] if span else 0
        Work.letters += (found if found >= 0 else len(self)) - begin
        return found

    def rfind(self, part: str, *span: Any) -> int:
        found = super().rfind(part, *span)
        Work.letters += len(self) - max(found, 0)
        return found


def _scanning(name: str) -> Callable[..., Any]:
    def method(self: str, *arguments: Any, **named: Any) -> Any:
        Work.letters += len(self)
        found = getattr(str, name)(self, *arguments, **named)
        return Text(found) if isinstance(found, str) else found

    return method


for _name in ("split", "splitlines", "strip", "lstrip", "rstrip", "partition", "replace", "lower"):
    setattr(Text, _name, _scanning(_name))


class Bytes(bytes):
    """Bytes that count what is copied out of them; as text, they go on counting."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        if isinstance(found, int):
            return found
        Work.letters += len(found)
        return Bytes(found)

    def decode(self, *arguments: Any, **named: Any) -> Text:
        Work.letters += len(self)
        return Text(super().decode(*arguments, **named))


def work_of(act: Callable[[], object]) -> int:
    """Return what an act costs, whether it is refused or not."""
    with Work() as work, suppress(TsdbError):
        act()
    return work.total


def must_grow_no_faster(acts: Callable[[int], Callable[[], object]], size: int) -> None:
    """Fail where four times the input costs more than four times the work.

    Not from each doubling to the next: what is done once, from some length on, is a step there.
    """
    works = [work_of(acts(size * factor)) for factor in (1, 2, 4)]
    assert works[-1] <= RATIO_MAX**2 * works[0], f"work grows as {works}"


def must_grow_no_faster_at_last(acts: Callable[[int], Callable[[], object]], size: int) -> None:
    """Fail where four times the input costs more than four times the work, and goes on doing so.

    For inputs made at random: a length among their first bytes may have the rest of a small input
    skipped, unread. Behind what is skipped, twice as much more costs twice as much more.
    """
    try:
        must_grow_no_faster(acts, size)
    except AssertionError:
        works = [work_of(acts(size * factor)) for factor in (4, 8, 16)]
        steps = [later - earlier for earlier, later in pairwise(works)]
        assert steps[-1] <= RATIO_MAX * steps[0], f"work goes on to grow as {works}"


def longest_turn(steps: Generator[object, None, object], *parts: str) -> int:
    """Return the most operations that a piece of work does between two pauses."""
    longest = before = 0
    with Work(*parts) as work, suppress(TsdbError):
        for _ in steps:
            longest, before = max(longest, work.operations - before), work.operations
    return max(longest, work.operations - before)
