"""Shares of a number of pods: counts, or percentages such as `25%`."""

import re

PERCENT = re.compile(r"[0-9]{1,9}%", re.ASCII)
PERCENT_RULE = "must be a count, or a percentage such as '25%'"


def share_of(share: int | str | None, total: int, *, rounded_up: bool) -> int:
    """Return how many of total a count or a percentage means; one that is absent means none."""
    if share is None or isinstance(share, int):
        return share or 0
    hundredths = int(share.removesuffix("%")) * total
    return -(-hundredths // 100) if rounded_up else hundredths // 100


def is_share(share: int | str | None) -> bool:
    return not isinstance(share, str) or PERCENT.fullmatch(share) is not None
