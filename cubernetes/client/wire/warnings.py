"""What a server tells beside an answer: its Warning headers (RFC 7234, code 299). Pure."""

import re

WARNING_COUNT_MAX = 100
_WARNING = re.compile(r'\s*,?\s*[0-9]{3} \S+ "((?:[^"\\]|\\.)*)"(?: "[^"]*")?')
_ESCAPED = re.compile(r"\\(.)")


def warnings_in(header: str) -> tuple[str, ...]:
    """Return the texts of a Warning header; what is behind a malformed one is left out."""
    found: list[str] = []
    at = 0
    while len(found) < WARNING_COUNT_MAX and (match := _WARNING.match(header, at)):
        found.append(_ESCAPED.sub(r"\1", match[1]))
        at = match.end()
    return tuple(found)
