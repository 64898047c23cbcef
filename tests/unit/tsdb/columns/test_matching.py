"""Laws of the indexes: both answer as looking at every series would, and agree on labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsdb.columns.labels import Key, key_of_dict, pairs_of
from tsdb.columns.matching import Matcher, Op, matching_rows
from tsdb.errors import BadData
from tsdb.head.memindex import MemoryIndex
from tsdb.steps import finished
from tsdb.storage.blockindex import BlockIndex, index_sections

NAMES = st.sampled_from(["__name__", "job", "pod"])
VALUES = st.sampled_from(["a", "b", "ab", "abc"])
LABELS = st.dictionaries(NAMES, VALUES)
MATCHERS = st.builds(
    Matcher,
    NAMES | st.just("absent"),
    st.sampled_from(list(Op)),
    st.sampled_from(["", "a", "b", "a.*", "a|b", ".*", ".+", "(ab)?"]),
)


def block_index(keys: list[Key]) -> BlockIndex:
    sections = finished(index_sections(keys))
    names = [name.removeprefix("label/") for name in sections if name.startswith("label/")]
    return BlockIndex(len(keys), names, lambda name: sections[name])


def memory_index(keys: list[Key]) -> MemoryIndex:
    index = MemoryIndex()
    for row, key in enumerate(keys):
        index.add(row, pairs_of(key))
    return index


@given(
    series=st.lists(LABELS, unique_by=lambda labels: tuple(sorted(labels.items())), max_size=12),
    matchers=st.lists(MATCHERS, min_size=1, max_size=3),
)
def test_an_index_finds_what_looking_at_every_series_finds(
    series: list[dict[str, str]], matchers: list[Matcher]
) -> None:
    keys = [key_of_dict(labels) for labels in series]
    expected = [
        row
        for row, labels in enumerate(series)
        if all(matcher.accepts(labels.get(matcher.name, "")) for matcher in matchers)
    ]

    assert finished(matching_rows(memory_index(keys), matchers)).tolist() == expected
    assert finished(matching_rows(block_index(keys), matchers)).tolist() == expected


@given(
    series=st.lists(LABELS, unique_by=lambda labels: tuple(sorted(labels.items())), max_size=12),
    data=st.data(),
)
def test_a_series_that_goes_leaves_no_trace(
    series: list[dict[str, str]], data: st.DataObject
) -> None:
    keys = [key_of_dict(labels) for labels in series]
    gone = data.draw(st.sets(st.sampled_from(range(len(keys)))) if keys else st.just(set()))
    index = memory_index(keys)
    for row in sorted(gone):
        index.remove(row, pairs_of(keys[row]))
    left = [row for row in range(len(keys)) if row not in gone]

    assert index.all_rows().tolist() == left
    assert sorted(index.label_names()) == sorted({n for row in left for n in series[row]})
    for name in index.label_names():
        for value in index.label_values(name):
            expected = [row for row in left if series[row].get(name) == value]
            assert index.postings(name, value).tolist() == expected


def test_a_row_that_another_series_gets_is_in_no_posting_of_the_first() -> None:
    index = memory_index([key_of_dict({"a": "x", "b": "y"})] * 3)
    index.remove(1, (("a", "x"), ("b", "y")))
    index.add(1, (("a", "z"),))

    assert index.postings("a", "x").tolist() == [0, 2]
    assert index.postings("a", "z").tolist() == [1]
    index.remove(1, (("a", "z"),))
    assert list(index.label_values("a")) == ["x"]


@given(labels=st.dictionaries(st.text("abc_", min_size=1), st.text(), max_size=5))
def test_a_key_tells_its_labels_in_order(labels: dict[str, str]) -> None:
    try:
        key = key_of_dict(labels)
    except UnicodeEncodeError:
        return
    assert list(pairs_of(key)) == sorted((n, v) for n, v in labels.items() if v)


@pytest.mark.parametrize("size", [1, 126, 127, 128, 129, 4096, 20_000])
def test_labels_of_any_length_come_back_from_a_key(size: int) -> None:
    labels = (("__name__", "m"), ("a", "x" * size), ("n" * min(size, 300), "y"))

    assert pairs_of(key_of_dict(dict(labels))) == tuple(sorted(labels))


@pytest.mark.parametrize("pattern", ["(", "a{99999}", "(?=a)", "\\1", "x" * 5000])
def test_a_pattern_that_re2_refuses_is_a_clear_error(pattern: str) -> None:
    with pytest.raises(BadData):
        Matcher("job", Op.LIKE, pattern)


def test_a_pattern_made_to_hang_a_backtracker_does_not() -> None:
    assert not Matcher("job", Op.LIKE, "(a+)+b").accepts("a" * 5000)
