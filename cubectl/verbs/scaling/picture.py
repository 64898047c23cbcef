"""Replicas and loads over time, drawn of characters. Pure."""

from collections.abc import Sequence
from datetime import datetime

WIDTH, HEIGHT = 64, 8
BARS = " ▁▂▃▄▅▆▇█"
# What a load of exactly its goal looks like: the middle of the bars; twice the goal is the top.
GOAL_BAR = 4


def drawn(times: Sequence[datetime], counts: Sequence[int], width: int = WIDTH) -> list[str]:
    """Return a picture of counts over time, the most in each piece of it."""
    if not times:
        return []
    values = [round(one) for one in spread(times, counts, width)]
    most = max(*values, 1)
    step = -(-most // HEIGHT)
    lines = []
    for level in range(-(-most // step), 0, -1):
        row = "".join("█" if one > (level - 1) * step else " " for one in values)
        lines.append(f"{level * step:>5} │{row}".rstrip())
    first, last = (f"{one:%m-%d %H:%M:%S}" for one in (times[0], times[-1]))
    lines.append(f"{'':>5} └{'─' * len(values)}")
    return [*lines, f"{'':>7}{first}{last.rjust(len(values) - len(first))}"]


def sparks(times: Sequence[datetime], ratios: Sequence[float | None], width: int = WIDTH) -> str:
    """Return a load beside its goal as one line; what is not known is a blank."""
    known = [0.0 if one is None else one for one in ratios]
    values = spread(times, known, width)
    highest = len(BARS) - 1
    return "".join(BARS[max(0, min(highest, round(one * GOAL_BAR)))] for one in values)


def spread(times: Sequence[datetime], values: Sequence[float], width: int) -> list[float]:
    """Return the most of each of `width` pieces of time; an empty piece has what was before."""
    span_s = max(1.0, (times[-1] - times[0]).total_seconds())
    pieces: list[float | None] = [None] * width
    for at, value in zip(times, values, strict=True):
        index = min(width - 1, int((at - times[0]).total_seconds() / span_s * width))
        known = pieces[index]
        pieces[index] = value if known is None else max(known, value)
    found: list[float] = []
    for piece in pieces:
        # The first piece has the first value.
        found.append(found[-1] if piece is None else piece)
    return found
