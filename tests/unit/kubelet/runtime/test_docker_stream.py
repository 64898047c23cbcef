"""Docker's streams, cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.runtime.docker_stream import LINE_BYTES_MAX, Frames, Lines, LineTooLong


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(ends)]


@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=40))), st.lists(st.integers(0)))
def test_frames_give_back_what_was_framed(
    frames: list[tuple[int, bytes]], places: list[int]
) -> None:
    whole = b"".join(
        bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload
        for stream, payload in frames
    )
    decoder = Frames()
    found = b"".join(p for piece in cut(whole, places) for p in decoder.feed(piece))
    assert found == b"".join(payload for _, payload in frames)


@given(st.lists(st.text("ab{}", min_size=1)), st.lists(st.integers(0)))
def test_lines_come_whole(lines: list[str], places: list[int]) -> None:
    whole = "".join(f"{line}\r\n\n" for line in lines).encode()
    decoder = Lines()
    found = [line.strip() for piece in cut(whole, places) for line in decoder.feed(piece)]
    assert found == [line.encode() for line in lines]


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(LineTooLong):
        list(Lines().feed(b"x" * (LINE_BYTES_MAX + 1)))
