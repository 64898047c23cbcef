"""Laws of the coding: what goes in comes out, bit by bit, whatever it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsdb.columns.codec import (
    FAST,
    SMALL,
    Floats,
    Ints,
    decode_floats,
    decode_ints,
    encode_floats,
    encode_ints,
    join,
    split,
)
from tsdb.errors import Corrupt

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 40))
BITS = st.integers(0, 2**64 - 1)
ODD_BITS = st.sampled_from(
    [
        0x7FF0000000000002,  # a stale marker
        0x7FF8000000000001,  # an ordinary NaN
        0xFFF8000000000123,  # a NaN with a payload
        0x7FF0000000000000,
        0xFFF0000000000000,
        0x8000000000000000,  # -0.0
        0x0000000000000001,  # the smallest denormal
        0x7FEFFFFFFFFFFFFF,
        0x4340000000000000,  # 2**53
        0x43E0000000000000,  # 2**63
    ]
)
DECIMALS = (
    st.integers(-(10**12), 10**12)
    .map(lambda n: n / 1000)
    .map(lambda value: int(np.float64(value).view(np.uint64)))
)


@st.composite
def float_matrices(draw: st.DrawFn) -> Floats:
    shape = draw(SHAPES)
    kinds = draw(st.sampled_from([BITS, ODD_BITS, DECIMALS, DECIMALS | ODD_BITS, BITS | DECIMALS]))
    bits = draw(hnp.arrays(np.uint64, shape, elements=kinds))
    return bits.view(np.float64)


@st.composite
def counts_for(draw: st.DrawFn, shape: tuple[int, int]) -> Ints:
    rows, width = shape
    counts = draw(hnp.arrays(np.int64, rows, elements=st.integers(1, width)))
    return np.asarray(counts)


@settings(max_examples=50)
@given(matrix=float_matrices(), data=st.data(), level=st.sampled_from([FAST, SMALL]))
def test_every_float_comes_back_bit_by_bit(matrix: Floats, data: st.DataObject, level: int) -> None:
    counts = data.draw(counts_for(matrix.shape))

    decoded = decode_floats(encode_floats(matrix, counts, level), counts)

    for row, count in enumerate(counts.tolist()):
        wanted = matrix[row, :count].view(np.int64)
        assert decoded[row, :count].view(np.int64).tolist() == wanted.tolist()


@given(
    matrix=hnp.arrays(
        np.int64, SHAPES, elements=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 99)
    ),
    data=st.data(),
)
def test_every_integer_comes_back_also_where_differences_overflow(
    matrix: Ints, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(matrix.shape))

    decoded = decode_ints(encode_ints(matrix, counts), counts)

    for row, count in enumerate(counts.tolist()):
        assert decoded[row, :count].tolist() == matrix[row, :count].tolist()


@settings(max_examples=50)
@given(matrix=float_matrices(), data=st.data())
def test_some_rows_read_alone_are_as_among_all(matrix: Floats, data: st.DataObject) -> None:
    counts = data.draw(counts_for(matrix.shape))
    rows = st.integers(0, len(matrix) - 1)
    wanted = np.array(data.draw(st.lists(rows, min_size=1, unique=True)), np.intp)
    blob = encode_floats(matrix, counts)

    everything, some = decode_floats(blob, counts), decode_floats(blob, counts, wanted)

    for place, row in enumerate(wanted.tolist()):
        count = int(counts[row])
        expected = everything[row, :count].view(np.int64).tolist()
        assert some[place, :count].view(np.int64).tolist() == expected


@settings(max_examples=50)
@given(matrix=float_matrices())
def test_the_same_numbers_give_the_same_bytes(matrix: Floats) -> None:
    counts = np.full(len(matrix), matrix.shape[1])

    assert encode_floats(matrix, counts) == encode_floats(matrix.copy(), counts.copy())


@given(pieces=st.lists(st.binary(max_size=20), max_size=8))
def test_joined_pieces_can_be_split(pieces: list[bytes]) -> None:
    assert [bytes(piece) for piece in split(join(pieces))] == pieces


@given(blob=st.binary(max_size=64))
def test_splitting_arbitrary_bytes_gives_pieces_or_says_corrupt(blob: bytes) -> None:
    try:
        pieces = split(blob)
    except Corrupt:
        return
    assert join([bytes(piece) for piece in pieces]) == blob


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_damaged_matrix_says_corrupt_or_gives_numbers(at: int) -> None:
    counts = np.full(8, 30)
    blob = bytearray(encode_floats(np.arange(240.0).reshape(8, 30) ** 2, counts))
    if at < len(blob):
        blob[at] ^= 0x55

    # Checksums are read before, so wrong numbers cannot get here unseen; a crash must not either.
    try:
        decode_floats(bytes(blob), counts)
    except (Corrupt, ValueError, IndexError, OverflowError):
        return


def test_a_counter_of_requests_costs_less_than_a_byte_a_sample() -> None:
    rng = np.random.default_rng(1)
    counters = np.cumsum(rng.poisson(20, (256, 480)), axis=1).astype(np.float64)

    assert len(encode_floats(counters, np.full(256, 480))) < 0.75 * counters.size
