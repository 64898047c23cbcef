"""Which blocks to merge and which to let go: decisions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# A strip holds the whole span of its block: merged series must stay short enough to decode at once.
SAMPLES_PER_SERIES_MAX = 16_384
FACTOR = 3


@dataclass(frozen=True)
class BlockFacts:
    """What deciding needs of a block. Times in milliseconds, last_ms included."""

    name: str
    level: int
    first_ms: int
    last_ms: int
    size_bytes: int
    samples: int
    series: int


def merge_plan(blocks: Sequence[BlockFacts], span_ms: int, span_limit_ms: int) -> list[str]:
    """Return the names of blocks to merge into one, or none.

    Blocks merge when they fill, or will not fill any further, one aligned window of FACTOR times
    the span of the level before; the newest window of every level stays as it is.
    """
    ordered = sorted(blocks, key=lambda block: block.first_ms)
    window_ms = span_ms * FACTOR
    while ordered and window_ms <= span_limit_ms:
        newest = ordered[-1].last_ms // window_ms
        groups: dict[int, list[BlockFacts]] = {}
        for block in ordered:
            if block.first_ms // window_ms == block.last_ms // window_ms:
                groups.setdefault(block.first_ms // window_ms, []).append(block)
        for window, group in sorted(groups.items()):
            if window < newest and len(group) > 1 and _fits(group):
                return [block.name for block in group]
        window_ms *= FACTOR
    overlapping = next(
        ([a.name, b.name] for a, b in pairwise(ordered) if b.first_ms <= a.last_ms), []
    )
    return overlapping


def _fits(group: Sequence[BlockFacts]) -> bool:
    samples = sum(block.samples for block in group)
    return samples <= SAMPLES_PER_SERIES_MAX * max(1, *(block.series for block in group))


def expired(
    blocks: Sequence[BlockFacts], newest_ms: int, retention_ms: int, limit_bytes: int
) -> list[str]:
    """Return the names of blocks to delete: wholly too old, or the oldest over the size limit.

    limit_bytes 0 means no limit.
    """
    ordered = sorted(blocks, key=lambda block: block.last_ms)
    gone = [block for block in ordered if block.last_ms < newest_ms - retention_ms]
    left = ordered[len(gone) :]
    total = sum(block.size_bytes for block in left)
    while limit_bytes and left and total > limit_bytes:
        total -= left[0].size_bytes
        gone.append(left.pop(0))
    return [block.name for block in gone]
