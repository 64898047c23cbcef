"""Numbers in few bytes: matrices of integers and of floats, coded row by row, restored bit by bit.

A matrix holds a series in each row and its samples in the order of time; rows may be shorter than
the matrix is wide. The way of a row of integers: take away a straight line (its first value and its
mean slope), keep what remains of each step; rows with remainders of like size share one pcodec
chunk. Floats become integers where a power of ten makes them so and division gives the same bits
back; others stay floats. The reasons and the figures: docs/decisions/0100-tsdb-coding.md.
"""

import struct
from collections.abc import Sequence

import numpy as np
import pcodec
from numpy.typing import NDArray
from pcodec import standalone

from tsdb.errors import Corrupt

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Rows = NDArray[np.intp]

# A chunk needs some thousand numbers to earn back its tables, and rows of like size to be small.
NUMBERS_PER_CHUNK = 10_000
ROWS_PER_CHUNK_MIN, ROWS_PER_CHUNK_MAX = 16, 128
FAST, SMALL = 4, 8
EXPONENTS = (0, 1, 2, 3, 6, 9)
NOT_DECIMAL = 255
EXACT = 2.0**53


def join(pieces: Sequence[bytes]) -> bytes:
    """Return byte strings as one: their count, their lengths (all u32), then the strings."""
    return struct.pack(f"<{len(pieces) + 1}I", len(pieces), *map(len, pieces)) + b"".join(pieces)


def split(blob: bytes | memoryview) -> list[memoryview]:
    """Return the byte strings that join made one.

    Raises:
        Corrupt: the lengths do not fit the bytes.
    """
    view = memoryview(blob)
    if len(view) < 4:
        raise Corrupt("a list of pieces is shorter than its count")
    (count,) = struct.unpack_from("<I", view)
    if len(view) < 4 + 4 * count:
        raise Corrupt("a list of pieces is shorter than its lengths")
    lengths = struct.unpack_from(f"<{count}I", view, 4)
    at = 4 + 4 * count
    if at + sum(lengths) != len(view):
        raise Corrupt("a list of pieces has another length than it says")
    pieces = []
    for length in lengths:
        pieces.append(view[at : at + length])
        at += length
    return pieces


def pack(numbers: NDArray[np.generic], level: int = SMALL) -> bytes:
    """Return one array under pcodec: a whole standalone file, of the array's own type."""
    config = pcodec.ChunkConfig(compression_level=level)
    packed: bytes = standalone.simple_compress(np.ascontiguousarray(numbers).reshape(-1), config)
    return packed


def pack_steps(numbers: Ints | Floats, level: int) -> bytes:
    """As pack, told that neighbours have nothing in common: it need not look for it."""
    config = pcodec.ChunkConfig(compression_level=level, delta_spec=pcodec.DeltaSpec.no_op())
    packed: bytes = standalone.simple_compress(numbers.reshape(-1), config)
    return packed


def unpack(blob: bytes | memoryview, kind: type[np.generic], count: int) -> NDArray[np.generic]:
    """Return the array of pack.

    Raises:
        Corrupt: these are not its bytes. (Checksums are read before; this is the second guard.)
    """
    if not count:
        return np.empty(0, kind)
    try:
        numbers = standalone.simple_decompress(bytes(blob))
    except (RuntimeError, TypeError) as error:
        raise Corrupt(f"a chunk of numbers cannot be read: {error}") from error
    if numbers is None or len(numbers) != count or numbers.dtype != kind:
        raise Corrupt(f"a chunk holds other numbers than {count} of {kind.__name__}")
    found: NDArray[np.generic] = numbers
    return found


def unpack_ints(blob: bytes | memoryview, count: int) -> Ints:
    return unpack(blob, np.int64, count).view(np.int64)


def unpack_floats(blob: memoryview, rows: int) -> Floats:
    """Return a chunk of whole rows that stayed floats."""
    try:
        numbers = standalone.simple_decompress(bytes(blob))
    except (RuntimeError, TypeError) as error:
        raise Corrupt(f"a chunk of numbers cannot be read: {error}") from error
    if numbers is None or numbers.dtype != np.float64 or len(numbers) % rows:
        raise Corrupt(f"a chunk holds other numbers than {rows} rows of floats")
    matrix: Floats = numbers.reshape(rows, -1)
    return matrix


def chunk_rows(width: int) -> int:
    """Return how many rows of this width share a chunk."""
    return max(ROWS_PER_CHUNK_MIN, min(ROWS_PER_CHUNK_MAX, NUMBERS_PER_CHUNK // max(1, width)))


def encode_ints(matrix: Ints, counts: Ints, level: int = SMALL) -> bytes:
    """Return a matrix of integers, whose row i holds counts[i] numbers (at least one), as bytes.

    What stands behind a row's end is not kept. Differences wrap around at 2**64, and so back.
    """
    rows, width = len(matrix), int(counts.max())
    firsts = matrix[:, 0]
    if width == 1:
        return join([pack(firsts)])
    steps = matrix[:, 1:width] - matrix[:, : width - 1]
    slopes = _slopes(steps, counts)
    steps -= slopes[:, None]
    if counts.min() < width:
        steps[np.arange(1, width)[None, :] >= counts[:, None]] = 0
    head = [pack(firsts), pack(slopes)]
    if not steps.any():
        return join(head)
    order = np.argsort(np.abs(steps).astype(np.float64).sum(axis=1), kind="stable")
    head.append(pack(order.astype(np.uint32)))
    size = chunk_rows(width)
    chunks = (steps[order[at : at + size]] for at in range(0, rows, size))
    return join(head + [pack_steps(chunk, level) for chunk in chunks])


def _slopes(steps: Ints, counts: Ints) -> Ints:
    """Return the middle step of each row: unlike a mean, it keeps a common factor of the steps."""
    width = steps.shape[1]
    if counts.min() > width:
        middle: Ints = np.partition(steps, width // 2, axis=1)[:, width // 2]
        return middle
    behind = np.arange(1, width + 1)[None, :] >= counts[:, None]
    ordered = np.sort(np.where(behind, np.iinfo(np.int64).max, steps), axis=1)
    slopes: Ints = ordered[np.arange(len(steps)), np.maximum(counts - 1, 0) // 2]
    return np.where(counts > 1, slopes, 0)


def decode_ints(blob: bytes | memoryview, counts: Ints, wanted: Rows | None = None) -> Ints:
    """Return the matrix of encode_ints, or of it the wanted rows, in their order.

    Behind the end of a row stand numbers without meaning.
    """
    pieces = split(blob)
    rows, width = len(counts), int(counts.max())
    firsts = unpack_ints(pieces[0], rows)
    pick = np.arange(rows) if wanted is None else wanted
    if width == 1:
        return firsts[pick][:, None]
    slopes = unpack_ints(pieces[1], rows)
    out = np.empty((len(pick), width), np.int64)
    out[:, 0] = firsts[pick]
    out[:, 1:] = slopes[pick][:, None]
    if len(pieces) > 2:
        _add_steps(out, pieces, rows, pick)
    np.cumsum(out, axis=1, out=out)
    return out


def _add_steps(out: Ints, pieces: list[memoryview], rows: int, pick: Rows) -> None:
    """Add to every row of out what its chunk says, reading only chunks that hold a wanted row."""
    order = unpack(pieces[2], np.uint32, rows).astype(np.intp)
    width = out.shape[1]
    size = chunk_rows(width)
    place_of = np.full(rows, -1, np.intp)
    place_of[pick] = np.arange(len(pick))
    for index, chunk in enumerate(pieces[3:]):
        members = order[index * size : (index + 1) * size]
        places = place_of[members]
        here = places >= 0
        if here.any():
            steps = unpack_ints(chunk, len(members) * (width - 1)).reshape(len(members), -1)
            if here.all():
                out[places, 1:] += steps
            else:
                out[places[here], 1:] += steps[here]


def encode_floats(matrix: Floats, counts: Ints, level: int = SMALL) -> bytes:
    """Return a matrix of floats as bytes: every bit comes back, of NaNs and of -0.0 too."""
    width = int(counts.max())
    matrix = matrix[:, :width]
    odd_at, odd_bits, plain = _set_apart(matrix, counts)
    exponents = _exponents(plain)
    classes = np.unique(exponents).tolist()
    pieces = [
        struct.pack("<BI", len(classes), len(odd_at)),
        pack(odd_at) if len(odd_at) else b"",
        pack(odd_bits) if len(odd_at) else b"",
        bytes(classes),
        pack(exponents.astype(np.uint16)) if len(classes) > 1 else b"",
    ]
    for exponent in classes:
        among = exponents == exponent
        part = plain if len(classes) == 1 else plain[among]
        if exponent == NOT_DECIMAL:
            wide = int(counts[among].max())
            pieces.append(_encode_plain(part[:, :wide], level))
        else:
            scaled = np.rint(part * 10.0**exponent).astype(np.int64)
            pieces.append(encode_ints(scaled, counts[among], level))
    return join(pieces)


def _encode_plain(matrix: Floats, level: int) -> bytes:
    size = chunk_rows(matrix.shape[1])
    return join([pack(matrix[at : at + size], level) for at in range(0, len(matrix), size)])


def decode_floats(blob: bytes | memoryview, counts: Ints, wanted: Rows | None = None) -> Floats:
    """Return the matrix of encode_floats, or of it the wanted rows, in their order."""
    head, odd_at, odd_bits, classes, exponents_blob, *parts = split(blob)
    class_count, odd_count = struct.unpack("<BI", head)
    rows, width = len(counts), int(counts.max())
    pick = np.arange(rows) if wanted is None else wanted
    if len(classes) != class_count or len(parts) != class_count:
        raise Corrupt("a matrix says another number of classes than it has")
    if class_count == 1:
        out = _decode_class(parts[0], classes[0], counts, wanted)
    else:
        exponents = unpack(exponents_blob, np.uint16, rows)
        out = np.empty((len(pick), width))
        for part, exponent in zip(parts, classes, strict=True):
            among = exponents == exponent
            places = np.flatnonzero(among[pick])
            if len(places):
                inner = (np.cumsum(among) - 1)[pick[places]]
                values = _decode_class(part, exponent, counts[among], inner)
                out[places, : values.shape[1]] = values
    if odd_count:
        _put_back(out, (odd_at, odd_bits, odd_count), rows, pick)
    return out


def _decode_class(blob: memoryview, exponent: int, counts: Ints, wanted: Rows | None) -> Floats:
    if exponent != NOT_DECIMAL:
        out: Floats = decode_ints(blob, counts, wanted) / 10.0**exponent
        return out
    rows, chunks = len(counts), split(blob)
    pick = np.arange(rows) if wanted is None else wanted
    size = chunk_rows(int(counts.max()))
    place_of = np.full(rows, -1, np.intp)
    place_of[pick] = np.arange(len(pick))
    out = np.empty((len(pick), 0))
    for index, chunk in enumerate(chunks):
        places = place_of[index * size : (index + 1) * size]
        here = places >= 0
        if here.any():
            values = unpack_floats(chunk, len(places))
            if not out.shape[1]:
                out = np.zeros((len(pick), values.shape[1]))
            out[places[here]] = values[here]
    return out


def _set_apart(matrix: Floats, counts: Ints) -> tuple[Ints, NDArray[np.uint64], Floats]:
    """Return places (row * width + column) and bits of odd numbers, and the matrix without them.

    Odd is what no integer can stand for: NaN, infinities and -0.0. The number before takes its
    place, so that a stale marker costs no step.
    """
    width = matrix.shape[1]
    odd = ~np.isfinite(matrix) | ((matrix == 0) & np.signbit(matrix))
    short = bool(counts.min() < width)
    if not short and not odd.any():
        return np.empty(0, np.int64), np.empty(0, np.uint64), matrix
    valid = np.arange(width)[None, :] < counts[:, None]
    hole = (odd | ~valid).reshape(-1)
    at = np.flatnonzero(odd & valid)
    bits = matrix.reshape(-1)[at].view(np.uint64)
    before = np.where(hole, 0, np.arange(hole.size))
    np.maximum.accumulate(before, out=before)
    flat = matrix.reshape(-1)[before]
    if hole[0]:
        flat[before == 0] = 0.0
    return at, bits, flat.reshape(matrix.shape)


def _exponents(matrix: Floats) -> Ints:
    """Return for each row the least exponent that makes it integers, or NOT_DECIMAL.

    It does so only where dividing gives back the same float in every column.
    """
    exponents = np.full(len(matrix), NOT_DECIMAL, np.int64)
    open_rows = np.arange(len(matrix))
    for exponent in EXPONENTS:
        # The first columns decide for most rows: look at a whole row only when they agree.
        likely = open_rows[_same(matrix[open_rows, :2], exponent)]
        if len(likely):
            exponents[likely[_same(matrix[likely], exponent)]] = exponent
            open_rows = open_rows[exponents[open_rows] == NOT_DECIMAL]
        if not len(open_rows):
            break
    return exponents


def _same(matrix: Floats, exponent: int) -> NDArray[np.bool_]:
    power = 10.0**exponent
    with np.errstate(over="ignore"):
        scaled = np.rint(matrix * power)
        same = (scaled / power == matrix) & (np.abs(scaled) < EXACT)
    verdict: NDArray[np.bool_] = same.all(axis=1)
    return verdict


def _put_back(out: Floats, odd: tuple[memoryview, memoryview, int], rows: int, pick: Rows) -> None:
    at_blob, bits_blob, count = odd
    width = out.shape[1]
    at = unpack_ints(at_blob, count)
    bits = unpack(bits_blob, np.uint64, count).view(np.float64)
    place_of = np.full(rows, -1, np.intp)
    place_of[pick] = np.arange(len(pick))
    places = place_of[at // width]
    here = places >= 0
    out[places[here], at[here] % width] = bits[here]
