"""A watch stream is cut anywhere by the network; its lines come out whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.client.wire.frames import Lines, LineTooLong

lines_of_text = st.lists(st.binary(min_size=1, max_size=20).filter(lambda one: b"\n" not in one))


@given(wanted=lines_of_text, cuts=st.lists(st.integers(0, 400)))
def test_lines_come_out_whole_wherever_the_stream_is_cut(
    wanted: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(one + b"\n" for one in wanted)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    lines = Lines()

    found = [one for begin, end in pairwise(places) for one in lines.feed(stream[begin:end])]

    assert found == wanted
    assert lines.is_whole


def test_what_is_left_over_is_not_whole() -> None:
    lines = Lines()

    assert lines.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert not lines.is_whole


def test_empty_lines_are_left_out() -> None:
    assert Lines().feed(b"\n\na\n\n") == [b"a"]


def test_a_line_over_the_limit_is_refused_before_its_end() -> None:
    lines = Lines(limit_bytes=10)
    lines.feed(b"12345678")

    with pytest.raises(LineTooLong):
        lines.feed(b"901")
