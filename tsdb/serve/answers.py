"""The JSON of Prometheus' API. Numbers are text in it, the shortest that reads back the same.

A result may have some hundred thousand points, so texts are made for whole rows at once by msgspec
and then put together; only odd numbers are written one by one.
"""

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from cubernetes.host.web.messages import Response
from tsdb.columns.codec import Floats, Ints
from tsdb.columns.labels import Pairs
from tsdb.errors import TsdbError
from tsdb.query import Line, Result

PART_BYTES = 2**18
_encode = msgspec.json.encode
# Between these, msgspec and Prometheus both write a float as plain digits.
PLAIN_LEAST, PLAIN_MOST = 1e-4, 1e15
# What a point has in front of it to close the one before: "],
OPENING = 3
NUMBERS_AT_ONCE = 8192
# Writing one number takes 0.7 us; for all at once, numpy wants 6 us before it begins.
FEW_NUMBERS = 8


def success_pieces(data: Sequence[bytes], warnings: Sequence[str] = ()) -> list[bytes]:
    """Return an answer around its data, in pieces: megabytes are not copied to make them one."""
    told = b',"warnings":' + _encode(list(warnings)) if warnings else b""
    return [b'{"status":"success","data":', *data, told, b"}"]


def success(found: object) -> Response:
    """Return the answer whose data is what was found."""
    return response_of(success_pieces([_encode(found)]))


def response_of(pieces: Sequence[bytes]) -> Response:
    """Return an answer of JSON; a long one is a stream, so that no buffer holds all of it again."""
    size = sum(map(len, pieces))
    if size <= PART_BYTES:
        return Response(200, b"".join(pieces))
    return Response(200, _parts_of(pieces), {"Content-Length": str(size)})


async def _parts_of(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces put together to some size: never all of them, nor each of thousands alone."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= PART_BYTES:
            yield b"".join(part)
            part, size = [], 0
    if part:
        yield b"".join(part)


def failure(error: TsdbError) -> bytes:
    return _encode({"status": "error", "errorType": error.kind, "error": str(error)})


def number_json(value: float) -> bytes:
    """Return one number as Prometheus writes it in JSON, without quotes."""
    if math.isnan(value):
        return b"NaN"
    if math.isinf(value):
        return b"+Inf" if value > 0 else b"-Inf"
    text = repr(value)
    size = abs(value)
    if "e" not in text or (size and (size < 1e-6 or size >= 1e21)):
        return text.removesuffix(".0").encode()
    return np.format_float_positional(value, trim="-").encode()


def _is_plain(values: Floats) -> bool:
    """Say whether msgspec writes all of these as Prometheus does, but for a `.0` behind some."""
    sizes = np.abs(values)
    zero = values == 0
    plain = (sizes < PLAIN_MOST) & ((sizes >= PLAIN_LEAST) | zero)
    return bool(plain.all()) and not (zero & np.signbit(values)).any()


def number_texts(values: Floats) -> list[bytes]:
    """Return number_json of every number."""
    if len(values) <= FEW_NUMBERS or not _is_plain(values):
        return [number_json(value) for value in values.tolist()]
    whole = np.rint(values)
    if (whole == values).all():
        return _encode(whole.astype(np.int64).tolist())[1:-1].split(b",")
    joined = _encode(values.tolist())[1:-1] + b","
    return joined.replace(b".0,", b",")[:-1].split(b",")


def time_text(at_ms: int) -> bytes:
    """Return seconds since 1970, with as many digits as are needed."""
    seconds, rest = divmod(abs(at_ms), 1000)
    sign = b"-" if at_ms < 0 else b""
    if not rest:
        return sign + str(seconds).encode()
    return sign + f"{seconds}.{rest:03}".rstrip("0").encode()


def labels_json(pairs: Pairs) -> bytes:
    return _encode(dict(pairs))


def result_json(result: Result) -> list[bytes]:
    """Return the data of an answer to a query, in pieces."""
    match result.kind:
        case "matrix":
            body = _matrix(result.lines)
        case "vector":
            body = [_vector(result.lines)]
        case "scalar":
            line = result.lines[0]
            value = number_texts(line.values)[0]
            body = [b"[", time_text(int(line.times_ms[0])), b',"', value, b'"]']
        case _:
            body = [b"[0,", _encode(result.text), b"]"]
    return [b'{"resultType":"', result.kind.encode(), b'","result":', *body, b"}"]


def _vector(lines: Sequence[Line]) -> bytes:
    if not lines:
        return b"[]"
    texts = number_texts(np.concatenate([line.values for line in lines]))
    before = b',"value":[' + time_text(int(lines[0].times_ms[0])) + b',"'
    return (
        b"["
        + b",".join(
            b'{"metric":' + labels_json(line.pairs) + before + text + b'"]}'
            for line, text in zip(lines, texts, strict=True)
        )
        + b"]"
    )


def _matrix(lines: Sequence[Line]) -> list[bytes]:
    prefixes: dict[int, list[bytes]] = {}
    pieces = [b"["]
    for line, texts in zip(lines, _texts(lines), strict=True):
        # Most lines share the array of the query's steps.
        before = prefixes.get(id(line.times_ms))
        if before is None:
            before = prefixes[id(line.times_ms)] = _prefixes(line.times_ms)
        # Times and numbers take turns; each time closes the point before it, the first too much.
        points: list[bytes] = [b""] * (2 * len(before))
        points[0::2] = before
        points[1::2] = texts
        points[0] = points[0][OPENING:]
        opening = b'{"metric":' if len(pieces) == 1 else b',{"metric":'
        pieces += (opening, labels_json(line.pairs), b',"values":[', b"".join(points), b'"]]}')
    pieces.append(b"]")
    return pieces


def _texts(lines: Sequence[Line]) -> Iterator[list[bytes]]:
    """Yield the numbers of each line as texts: some thousand at once, if none of them is odd."""
    at = 0
    while at < len(lines):
        per_group = max(1, NUMBERS_AT_ONCE // max(1, len(lines[at].values)))
        group = lines[at : at + per_group]
        at += len(group)
        values = np.concatenate([line.values for line in group])
        if not _is_plain(values):
            yield from (number_texts(line.values) for line in group)
            continue
        texts = number_texts(values)
        start = 0
        for line in group:
            yield texts[start : start + len(line.values)]
            start += len(line.values)


def _prefixes(times_ms: Ints) -> list[bytes]:
    return [b'"],[' + time_text(at_ms) + b',"' for at_ms in times_ms.tolist()]
