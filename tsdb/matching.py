"""Which series a selector means: matchers, and their answer from any index of postings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import re2

from tsdb.codec import Rows
from tsdb.errors import BadData

PATTERN_BYTES_MAX = 4096
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 * 2**20


class Pattern(Protocol):
    """What we use of RE2, which has no types."""

    def fullmatch(self, text: str) -> object | None: ...


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
    """Return the pattern, in RE2's syntax: what Prometheus accepts, and no pattern can hang it."""
    if len(pattern.encode(errors="replace")) > PATTERN_BYTES_MAX:
        raise BadData(f"a regular expression has more than {PATTERN_BYTES_MAX} bytes")
    try:
        # The dot matches line breaks too, as in Prometheus 3.
        compiled: Pattern = re2.compile(f"(?s:{pattern})", options=_OPTIONS)
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


def matching_rows(index: Index, matchers: Sequence[Matcher]) -> Rows:
    """Return the rows whose series satisfy every matcher, in ascending order."""
    rows: Rows | None = None
    minus: list[Matcher] = []
    for matcher in sorted(matchers, key=lambda m: (m.op is not Op.EQUAL, m.name)):
        if matcher.accepts(""):
            minus.append(matcher)
            continue
        found = _rows_with(index, matcher, wanted=True)
        rows = found if rows is None else np.intersect1d(rows, found, assume_unique=True)
        if not len(rows):
            return _NO_ROWS
    if rows is None:
        rows = index.all_rows()
    for matcher in minus:
        # A series without the label passes, so only what has a refused value goes.
        rows = np.setdiff1d(rows, _rows_with(index, matcher, wanted=False), assume_unique=True)
    return rows


def _rows_with(index: Index, matcher: Matcher, *, wanted: bool) -> Rows:
    if matcher.op is Op.EQUAL and wanted:
        return index.postings(matcher.name, matcher.value)
    lists = [
        index.postings(matcher.name, value)
        for value in index.label_values(matcher.name)
        if matcher.accepts(value) is wanted
    ]
    if not lists:
        return _NO_ROWS
    # A series has one value for a name: these lists have no row in common.
    return np.sort(np.concatenate(lists))
