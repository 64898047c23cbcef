"""A range of ports, such as `30000-32767`. Pure."""

from typing import NamedTuple


class PortRange(NamedTuple):
    """Both ends belong to it."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def range_of(text: str) -> PortRange:
    """Read `30000-32767`.

    Raises: ValueError.
    """
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"must be a range of ports such as 30000-32767, not {text[:40]!r}")
    if int(last) > 65535:
        raise ValueError(f"must end at 65535 or below, not {text[:40]!r}")
    return PortRange(int(first), int(last))
