"""Which blocks merge and which go: laws of the plan."""

from hypothesis import given
from hypothesis import strategies as st

from tsdb.storage.compaction import BlockFacts, expired, merge_plan

SPAN = 100


def block(number: int, level: int = 0, spans: int = 1, size: int = 10) -> BlockFacts:
    first = number * SPAN
    return BlockFacts(f"b{number}-{level}", level, first, first + spans * SPAN - 1, size, 10, 1)


def test_a_window_that_is_full_and_not_the_newest_is_merged() -> None:
    assert merge_plan([block(n) for n in range(4)], SPAN, 9 * SPAN) == ["b0-0", "b1-0", "b2-0"]
    assert merge_plan([block(n) for n in range(3)], SPAN, 9 * SPAN) == []


@given(numbers=st.sets(st.integers(0, 60), max_size=40), limit=st.sampled_from([3, 9, 27]))
def test_merging_ends_and_no_block_outgrows_the_limit(numbers: set[int], limit: int) -> None:
    blocks = [block(number) for number in sorted(numbers)]
    for _ in range(len(blocks) + 1):
        names = merge_plan(blocks, SPAN, limit * SPAN)
        if not names:
            break
        chosen = [one for one in blocks if one.name in names]
        first = min(one.first_ms for one in chosen)
        last = max(one.last_ms for one in chosen)
        assert last - first < limit * SPAN
        level = max(one.level for one in chosen) + 1
        merged = BlockFacts(f"m{first}-{level}", level, first, last, 30, 30, 1)
        blocks = [one for one in blocks if one not in chosen] + [merged]
    assert merge_plan(blocks, SPAN, limit * SPAN) == []


def test_blocks_that_overlap_are_merged() -> None:
    twin = BlockFacts("twin", 0, 50, 149, 10, 10, 1)

    assert merge_plan([block(0), twin], SPAN, 3 * SPAN) == ["b0-0", "twin"]


def test_series_that_are_long_already_are_not_made_longer() -> None:
    long = [BlockFacts(f"l{n}", 0, n * SPAN, n * SPAN + 99, 10, 10_000, 1) for n in range(6)]

    assert merge_plan(long, SPAN, 9 * SPAN) == []


@given(
    numbers=st.sets(st.integers(0, 30)),
    retention=st.integers(0, 3000),
    limit=st.integers(0, 200),
)
def test_what_goes_is_older_than_all_that_stays(
    numbers: set[int], retention: int, limit: int
) -> None:
    blocks = [block(number) for number in sorted(numbers)]
    gone = expired(blocks, 3100, retention, limit)
    stays = [one for one in blocks if one.name not in gone]

    assert gone == [one.name for one in blocks[: len(gone)]]
    assert all(one.last_ms >= 3100 - retention for one in stays)
    assert not limit or sum(one.size_bytes for one in stays) <= limit
