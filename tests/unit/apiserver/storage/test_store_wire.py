"""Our words in etcd's messages: ranges and sizes."""

from hypothesis import given
from hypothesis import strategies as st

from apiserver.storage.etcd.wire import range_of, transaction
from apiserver.storage.limits import request_bytes
from apiserver.storage.store import Compare, Delete, Put

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def is_in(key: str, begin: bytes, end: bytes) -> bool:
    # A zero as the end is etcd's way to say that there is none.
    return begin <= key.encode() and (end == b"\0" or key.encode() < end)


@given(text, text, text.filter(bool))
def test_a_range_holds_what_begins_with_the_prefix_and_lies_behind_after(
    prefix: str, after: str, key: str
) -> None:
    begin, end = range_of(prefix, after)

    assert is_in(key, begin, end) == (key.startswith(prefix) and (not after or key > after))


@given(text, text)
def test_keys_sort_alike_as_text_and_as_bytes(one: str, other: str) -> None:
    assert (one < other) == (one.encode() < other.encode())


keys = st.text(st.characters(max_codepoint=127), min_size=1, max_size=200)


@given(
    st.lists(st.builds(Compare, keys, st.integers(0, 1 << 60)), max_size=5),
    st.lists(
        st.one_of(
            st.builds(Delete, keys),
            st.builds(Put, keys, st.binary(max_size=300), st.integers(0, 1 << 62)),
        ),
        max_size=5,
    ),
)
def test_the_estimate_of_a_size_is_never_below_it(
    compares: list[Compare], ops: list[Put | Delete]
) -> None:
    message = transaction(compares, ops, tells_found=True)

    assert len(message.SerializeToString()) <= request_bytes(compares, ops)
