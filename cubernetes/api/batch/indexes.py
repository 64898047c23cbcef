"""Sets of completion indexes as a Job's status writes them: `1,3-5,7`."""

from collections.abc import Iterable, Iterator

INDEX_MAX = 2**31 - 1
CHARS_MAX = 64 * 1024  # as in Kubernetes, for the text of a success policy


class NotIndexes(ValueError):
    """The text is no list of rising indexes and ranges."""


def intervals_in(text: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of each part of a text, in rising order.

    Raises: NotIndexes.
    """
    before = -1
    for part in text.split(",") if text else ():
        first_text, dash, last_text = part.partition("-")
        first = _index(first_text, part)
        last = _index(last_text, part) if dash else first
        if (dash and first >= last) or first <= before:
            raise NotIndexes(f"non-increasing order at {part[:20]!r}")
        before = last
        yield first, last


def indexes_in(text: str) -> frozenset[int]:
    """Return the indexes of a text that the cluster wrote; of one that is none, nothing."""
    try:
        return frozenset(
            index for first, last in intervals_in(text) for index in range(first, last + 1)
        )
    except NotIndexes:
        return frozenset()


def text_of(indexes: Iterable[int]) -> str:
    """Return indexes as text: three and more that follow one another are a range."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(_part(first, last) for first, last in parts)


def _part(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def _index(text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(INDEX_MAX))):
        raise NotIndexes(f"cannot convert {part[:20]!r} to an index")
    return int(text)
