"""The series of several blocks, put together for one new block."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from tsdb.columns.frame import EVER, Frame, FrameRows, assemble, compact
from tsdb.columns.labels import Key, metric_of
from tsdb.storage.block import Block

ROWS_PER_STRIP = 256
ROWS_PER_PAUSE = 2048


def merged(blocks: Sequence[Block]) -> Iterator[tuple[list[Key], Frame] | None]:
    """Yield groups of series with all of their samples; earlier blocks win where two overlap.

    None is a pause.
    """
    rows_of_key: dict[Key, list[tuple[int, int]]] = {}
    for number, block in enumerate(blocks):
        for row in range(block.footer.series):
            (key,) = block.index.keys_of([row])
            rows_of_key.setdefault(key, []).append((number, row))
            if row % ROWS_PER_PAUSE == 0:
                yield None
    keys = sorted(rows_of_key, key=lambda key: (metric_of(key), key))
    for start in range(0, len(keys), ROWS_PER_STRIP):
        group = keys[start : start + ROWS_PER_STRIP]
        places: list[list[tuple[int, int]]] = [[] for _ in blocks]
        for place, key in enumerate(group):
            for number, row in rows_of_key[key]:
                places[number].append((row, place))
        found = (_parts(block, at) for block, at in zip(blocks, places, strict=True))
        kept, frame = compact(assemble(len(group), list(chain.from_iterable(found))))
        if len(kept):
            yield [group[row] for row in kept.tolist()], frame


def _parts(block: Block, pairs: list[tuple[int, int]]) -> Iterator[FrameRows]:
    """Yield all samples of some rows of a block, given as (row, place in the group)."""
    ordered = np.array(sorted(pairs), np.intp).reshape(-1, 2)
    for part in block.parts(ordered[:, 0], -EVER, EVER):
        yield FrameRows(ordered[part.rows, 1], part.frame)
