"""`python -m bench.tsdb.codings`: the codings that were weighed, on the data sets, as a table.

All of them get the same matrices of 256 series by 480 samples (two hours at 15 s), and give every
bit back. Bytes count values only; Gorilla's timestamps cost each series a bit a sample besides.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from bench.tsdb.datasets import DATASETS, Floats, dataset
from tsdb.columns.codec import FAST, SMALL, decode_floats, encode_floats, pack, unpack

type Words = NDArray[np.uint64]
type Ints = NDArray[np.int64]

ROWS, WIDTH = 256, 480
ONE = np.uint64(1)


@dataclass(frozen=True)
class Coding:
    name: str
    encode: Callable[[Floats], bytes]
    decode: Callable[[bytes], Floats]


def _counts() -> Ints:
    return np.full(ROWS, WIDTH, np.int64)


def _zstd_encode(matrix: Floats) -> bytes:
    """Delta of integers (else of bits) in columns of bytes, under zstd 3."""
    scale = next((s for s in (1, 100) if (np.rint(matrix * s) / s == matrix).all()), 0)
    numbers = np.rint(matrix * scale).astype(np.int64) if scale else matrix.view(np.int64)
    steps = np.diff(numbers, axis=1, prepend=0)
    zigzag = (steps << 1) ^ (steps >> 63)
    columns = zigzag.reshape(-1).view(np.uint8).reshape(-1, 8).T
    return bytes([scale]) + zstandard.ZstdCompressor(level=3).compress(columns.tobytes())


def _zstd_decode(blob: bytes) -> Floats:
    data = zstandard.ZstdDecompressor().decompress(blob[1:])
    columns = np.frombuffer(data, np.uint8).reshape(8, -1)
    zigzag = np.ascontiguousarray(columns.T).view(np.int64).reshape(ROWS, WIDTH)
    steps = (zigzag >> 1 & np.int64(2**63 - 1)) ^ -(zigzag & 1)
    numbers = np.cumsum(steps, axis=1)
    return numbers / blob[0] if blob[0] else numbers.view(np.float64)


def _bit_length(words: Words) -> Ints:
    """Return how many bits each number needs: floats are exact for either half."""
    high = (words >> np.uint64(32)).astype(np.float64)
    low = (words & np.uint64(0xFFFFFFFF)).astype(np.float64)
    return np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1]).astype(np.int64)


def _trailing(words: Words) -> Ints:
    lowest = words & (~words + ONE)
    return np.where(words == 0, 64, _bit_length(lowest) - 1)


def _gorilla_encode(matrix: Floats) -> bytes:
    """XOR with the value before, as the paper has it; all rows at once, column after column."""
    words = matrix.view(np.uint64)
    changes = words[:, 1:] ^ words[:, :-1]
    leading = np.minimum(64 - _bit_length(changes), 31)
    trailing = np.minimum(_trailing(changes), 63)
    codes = np.zeros((ROWS, WIDTH - 1, 2), np.uint64)
    lengths = np.zeros((ROWS, WIDTH - 1, 2), np.int64)
    lead, trail = np.full(ROWS, 64), np.full(ROWS, 64)
    for at in range(WIDTH - 1):
        change, ahead, behind = changes[:, at], leading[:, at], trailing[:, at]
        same = change == 0
        reuse = ~same & (ahead >= lead) & (behind >= trail) & (lead + trail < 64)
        fresh = ~same & ~reuse
        lead, trail = np.where(fresh, ahead, lead), np.where(fresh, behind, trail)
        size = np.where(same, 0, 64 - lead - trail)
        header = (ONE * 3 << np.uint64(11)) | (lead << 6).astype(np.uint64)
        header |= (size & 63).astype(np.uint64)
        codes[:, at, 0] = np.where(same, 0, np.where(reuse, 2, header))
        lengths[:, at, 0] = np.where(same, 1, np.where(reuse, 2, 13))
        codes[:, at, 1] = np.where(same, 0, change >> np.minimum(trail, 63).astype(np.uint64))
        lengths[:, at, 1] = size
    flat, sizes = codes.reshape(ROWS, -1), lengths.reshape(ROWS, -1)
    totals = sizes.sum(axis=1)
    bits = np.zeros(int(totals.sum()), np.uint8)
    starts = (np.cumsum(sizes.reshape(-1)) - sizes.reshape(-1)).reshape(sizes.shape)
    for bit in range(64):
        here = sizes > bit
        bits[starts[here] + sizes[here] - 1 - bit] = flat[here] >> np.uint64(bit) & ONE
    timestamps = bytes(ROWS * WIDTH // 8)
    head = totals.astype(np.int64).tobytes() + np.ascontiguousarray(words[:, 0]).tobytes()
    return head + np.packbits(bits).tobytes() + timestamps


def _gorilla_decode(blob: bytes) -> Floats:
    totals = np.frombuffer(blob, np.int64, ROWS)
    now = np.frombuffer(blob, np.uint64, ROWS, 8 * ROWS).copy()
    data = np.frombuffer(blob + bytes(16), np.uint8, offset=16 * ROWS)
    at = np.cumsum(totals) - totals
    lead, size = np.zeros(ROWS, np.int64), np.zeros(ROWS, np.int64)
    out = np.empty((ROWS, WIDTH), np.uint64)
    out[:, 0] = now

    def read(count: Ints) -> Words:
        place = at[:, None] // 8 + np.arange(9)
        chunk = data[place]
        high = np.ascontiguousarray(chunk[:, :8]).view(">u8")[:, 0].astype(np.uint64)
        shift = (at % 8).astype(np.uint64)
        word = (high << shift) | (chunk[:, 8].astype(np.uint64) >> (np.uint64(8) - shift))
        found = word >> (np.uint64(64) - np.maximum(count, 1).astype(np.uint64))
        return np.where(count > 0, found, 0)

    two, eleven = np.full(ROWS, 2), np.full(ROWS, 11)
    for column in range(1, WIDTH):
        control = read(two)
        same, fresh = control < 2, control == 3
        at = at + np.where(same, 1, 2)
        header = read(eleven).astype(np.int64)
        lead = np.where(fresh, header >> 6, lead)
        size = np.where(fresh, np.where(header & 63, header & 63, 64), size)
        at = at + np.where(fresh, 11, 0)
        width = np.where(same, 0, size)
        change = read(width) << np.clip(64 - lead - size, 0, 63).astype(np.uint64)
        at = at + width
        now = now ^ np.where(same, np.uint64(0), change)
        out[:, column] = now
    return out.view(np.float64)


CODINGS = (
    Coding(
        "strips of pcodec, small",
        lambda matrix: encode_floats(matrix, _counts(), SMALL),
        lambda blob: decode_floats(blob, _counts()),
    ),
    Coding(
        "strips of pcodec, fast",
        lambda matrix: encode_floats(matrix, _counts(), FAST),
        lambda blob: decode_floats(blob, _counts()),
    ),
    Coding(
        "pcodec alone",
        lambda matrix: pack(matrix),
        lambda blob: unpack(blob, np.float64, ROWS * WIDTH).view(np.float64).reshape(ROWS, WIDTH),
    ),
    Coding("delta columns, zstd 3", _zstd_encode, _zstd_decode),
    Coding("Gorilla, numpy", _gorilla_encode, _gorilla_decode),
)


def measured(coding: Coding, matrix: Floats, repeats: int) -> tuple[float, float, float]:
    """Return bytes a sample, and the best encode and decode speed in samples a second of CPU."""
    encode_s, decode_s = [], []
    blob = b""
    for _ in range(repeats):
        began_s = time.process_time()
        blob = coding.encode(matrix)
        encode_s.append(time.process_time() - began_s)
        began_s = time.process_time()
        decoded = coding.decode(blob)
        decode_s.append(time.process_time() - began_s)
        assert decoded.tobytes() == matrix.tobytes(), coding.name
    return len(blob) / matrix.size, matrix.size / min(encode_s), matrix.size / min(decode_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print("| data set | coding | bytes a sample | encode M/s | decode M/s |")
    print("|---|---|---|---|---|")
    for name in DATASETS:
        matrix = dataset(name, ROWS, WIDTH)
        for coding in CODINGS:
            size, encode, decode = measured(coding, matrix, repeats)
            print(
                f"| {name} | {coding.name} | {size:.3f} | {encode / 1e6:.1f} | {decode / 1e6:.1f} |"
            )


if __name__ == "__main__":
    main()
