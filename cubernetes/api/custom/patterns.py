"""Patterns of schemas: Go's syntax, matched in time that grows with the text alone. Pure."""

from functools import lru_cache

import re2

PATTERNS_MAX = 1024


class Malformed(ValueError):
    """A pattern cannot be read; the sentence says why."""


@lru_cache(maxsize=PATTERNS_MAX)
def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise Malformed(said.decode() if isinstance(said, bytes) else str(said)) from error


def check(pattern: str) -> None:
    """Raises: Malformed."""
    _compiled(pattern)


def is_matched(pattern: str, text: str) -> bool:
    """Whether a text has the pattern somewhere. Raises: Malformed."""
    return _compiled(pattern).search(text) is not None
