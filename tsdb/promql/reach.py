"""How far back the samples are that a query reads. Pure."""

from tsdb.promql.tree import Anchor, Node, Selector, Shift, Subquery, children


def earliest_ms(node: Node, first_ms: int, last_ms: int, lookback_ms: int) -> int:
    """Return the time of the oldest sample that a query from first_ms to last_ms may need."""
    earliest, waiting = first_ms, [(node, first_ms)]
    while waiting:
        at, begin_ms = waiting.pop()
        match at:
            case Selector():
                back_ms = lookback_ms if at.range_ms is None else at.range_ms
                earliest = min(earliest, _moved(at.shift, begin_ms, first_ms, last_ms) - back_ms)
            case Subquery():
                moved_ms = _moved(at.shift, begin_ms, first_ms, last_ms) - at.range_ms
                waiting.append((at.inner, moved_ms))
            case _:
                waiting += [(child, begin_ms) for child in children(at)]
    return earliest


def _moved(shift: Shift, begin_ms: int, first_ms: int, last_ms: int) -> int:
    match shift.at_ms:
        case None:
            moment_ms = begin_ms
        case Anchor.START:
            moment_ms = first_ms
        case Anchor.END:
            moment_ms = last_ms
        case fixed_ms:
            moment_ms = fixed_ms
    return moment_ms - shift.offset_ms
