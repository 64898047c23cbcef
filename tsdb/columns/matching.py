"""Which series a selector means: matchers, and their answer from any index of postings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import re2

from tsdb.columns.codec import Rows
from tsdb.errors import BadData
from tsdb.steps import Steps

PATTERN_BYTES_MAX = 4096
# Bounds the program and the tables of a pattern: the largest takes some 20 ms to compile.
PATTERN_MEMORY_BYTES_MAX = 2 * 2**20
# A value of the longest kind against the largest pattern takes a millisecond.
VALUES_PER_PAUSE = 16


class Groups(Protocol):
    """What the groups of a pattern matched, by number or name; None for one that did not."""

    def group(self, name: int | str) -> str | None: ...


class Pattern(Protocol):
    """What we use of RE2, which has no types."""

    def fullmatch(self, text: str) -> Groups | None: ...


class Op(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LIKE = "=~"
    UNLIKE = "!~"


@dataclass(frozen=True)
class Matcher:
    """One condition on a label. A label that a series does not have counts as empty."""

    name: str
    op: Op
    value: str
    _pattern: Pattern | None = field(init=False, compare=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.op in (Op.LIKE, Op.UNLIKE):
            object.__setattr__(self, "_pattern", _compiled(self.value))

    def accepts(self, value: str) -> bool:
        match self.op:
            case Op.EQUAL:
                return value == self.value
            case Op.NOT_EQUAL:
                return value != self.value
            case Op.LIKE:
                return self._fits(value)
            case Op.UNLIKE:
                return not self._fits(value)

    def _fits(self, value: str) -> bool:
        return self._pattern is not None and self._pattern.fullmatch(value) is not None

    def __str__(self) -> str:
        return f"{self.name}{self.op}{self.value!r}"


def _compiled(pattern: str) -> Pattern:
    return _checked(pattern, _options(never_capture=True))


def compiled_groups(pattern: str) -> Pattern:
    """Return a pattern that also says what its groups matched; slower than without."""
    return _checked(pattern, _options(never_capture=False))


def _options(*, never_capture: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    options.never_capture = never_capture
    return options


def _checked(pattern: str, options: re2.Options) -> Pattern:
    """Return the pattern, in RE2's syntax: what Prometheus accepts, and no pattern can hang it."""
    if len(pattern.encode(errors="replace")) > PATTERN_BYTES_MAX:
        raise BadData(f"a regular expression has more than {PATTERN_BYTES_MAX} bytes")
    try:
        # Bare first: `a)(b` is no pattern, though parentheses around it make it one.
        re2.compile(pattern, options=options)
        # The dot matches line breaks too, as in Prometheus 3.
        compiled: Pattern = re2.compile(f"(?s:{pattern})", options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise BadData(f"error parsing regexp {pattern!r}: {error}") from error
    return compiled


class Index(Protocol):
    """What matching needs to know: rows are numbers of series, always ascending in an answer."""

    def all_rows(self) -> Rows: ...

    def label_names(self) -> Iterable[str]: ...

    def label_values(self, name: str) -> Iterable[str]: ...

    def postings(self, name: str, value: str) -> Rows: ...


_NO_ROWS = np.empty(0, np.intp)


def matching_rows(index: Index, matchers: Sequence[Matcher]) -> Steps[Rows]:
    """Return the rows whose series satisfy every matcher, in ascending order.

    It pauses while it looks at values, and looks up their rows after the last pause: series may
    come and go, and rows get other series meanwhile.
    """
    accepted: list[tuple[Matcher, list[str]]] = []
    for matcher in sorted(matchers, key=lambda m: (m.op is not Op.EQUAL, m.name)):
        values = yield from _values(index, matcher)
        accepted.append((matcher, values))
    rows: Rows | None = None
    for matcher, values in accepted:
        if matcher.accepts(""):
            continue
        found = _rows_with(index, matcher.name, values)
        rows = found if rows is None else np.intersect1d(rows, found, assume_unique=True)
        if not len(rows):
            return _NO_ROWS
    if rows is None:
        rows = index.all_rows()
    for matcher, values in accepted:
        if matcher.accepts(""):
            # A series without the label passes, so only what has a refused value goes.
            refused = _rows_with(index, matcher.name, values)
            rows = np.setdiff1d(rows, refused, assume_unique=True)
    return rows


def _values(index: Index, matcher: Matcher) -> Steps[list[str]]:
    """Return the values that decide: those accepted, or refused where most others are accepted."""
    wanted = not matcher.accepts("")
    if matcher.op is Op.EQUAL and wanted:
        return [matcher.value]
    found = []
    for number, value in enumerate(list(index.label_values(matcher.name))):
        if number % VALUES_PER_PAUSE == 0:
            yield
        if matcher.accepts(value) is wanted:
            found.append(value)
    return found


def _rows_with(index: Index, name: str, values: Sequence[str]) -> Rows:
    if len(values) == 1:
        return index.postings(name, values[0])
    lists = [index.postings(name, value) for value in values]
    if not lists:
        return _NO_ROWS
    # A series has one value for a name: these lists have no row in common.
    return np.sort(np.concatenate(lists))
