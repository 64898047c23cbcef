"""Docker's `local` log files: records out of bytes, lines out of records. Pure.

A record is its length (four bytes, big-endian), a protobuf message, and the length again, so that
a file can be read from both ends. A line beyond 16 KiB is several records with ordinals. Source:
daemon/logger/local and api/types/plugins/logdriver/entry.proto of moby, the same since 18.09.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cubernetes.host.protowire import ProtobufBroken, fields, signed

LENGTH_BYTES = 4
# What Docker itself calls too long is 20 kB.
RECORD_BYTES_MAX = 64 << 10
# A line is held back until it is whole, so that stdout and stderr do not mix within it; a longer
# one goes on in pieces.
LINE_HELD_BYTES_MAX = 256 << 10
# Two writers note their times before they take turns: the order of times is that of records,
# but for so much.
DISORDER_NS = 1_000_000_000

_BEGINNINGS = (b"\x0a\x06stdout", b"\x0a\x06stderr")
_BEGINNING_BYTES = 8


class Record(NamedTuple):
    """A line, or the part-th piece of one; the piece that is last has the end of the line."""

    source: str  # stdout, stderr
    at_ns: int  # since 1970
    content: bytes  # without the end of the line
    part: int = 0  # 0 is a whole line, pieces count from 1
    is_last: bool = True


def record_of(message: bytes) -> Record:
    """Raises: ProtobufBroken: it is no record."""
    source, at_ns, content, part, is_last = "", 0, b"", 0, True
    for field, _, start, stop in fields(message):
        if field == 1:
            source = message[start:stop].decode(errors="replace")
        elif field == 2:
            at_ns = signed(start)
        elif field == 3:
            content = message[start:stop]
        elif field == 5:
            piece = {one: value for one, _, value, _ in fields(message, start, stop)}
            part, is_last = piece.get(3, 0), bool(piece.get(1, 0))
    return Record(source, at_ns, content, part, is_last)


class Records:
    """Takes records out of a file's bytes in pieces that begin and end anywhere.

    A disk that was full leaves the beginning of a record; what came later follows it directly.
    Such a beginning is skipped, up to the next record that is whole.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Record]:
        """Yield each record that piece completes."""
        data, at = self._rest + piece, 0
        while len(data) - at >= LENGTH_BYTES + _BEGINNING_BYTES:
            length = _length(data, at)
            if not _may_begin(data, at, length):
                at += 1
                continue
            end = at + 2 * LENGTH_BYTES + length
            if end > len(data):
                # Where a whole record ends these bytes, the one before it is cut off.
                if last_record(data, len(data)) is None:
                    break
                at += 1
                continue
            found = _record(data, at, length)
            if found is None:
                at += 1
            else:
                yield found
                at = end
        self._rest = data[at:]


def last_record(data: bytes, end: int) -> tuple[Record, int] | None:
    """Return the record of data that ends at end, and its size; None where none does."""
    if end < 2 * LENGTH_BYTES:
        return None
    length = _length(data, end - LENGTH_BYTES)
    size = length + 2 * LENGTH_BYTES
    at = end - size
    if at < 0 or _length(data, at) != length or not _may_begin(data, at, length):
        return None
    found = _record(data, at, length)
    return None if found is None else (found, size)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + LENGTH_BYTES], "big")


def _may_begin(data: bytes, at: int, length: int) -> bool:
    begun = at + LENGTH_BYTES
    is_ours = data[begun : begun + _BEGINNING_BYTES] in _BEGINNINGS
    return is_ours and _BEGINNING_BYTES <= length <= RECORD_BYTES_MAX


def _record(data: bytes, at: int, length: int) -> Record | None:
    begun, ended = at + LENGTH_BYTES, at + LENGTH_BYTES + length
    if _length(data, ended) != length:
        return None
    after = ended + LENGTH_BYTES
    if data[after : after + _BEGINNING_BYTES] in _BEGINNINGS:
        return None  # that length is the next record's: this one's own was cut off
    try:
        return record_of(data[begun:ended])
    except ProtobufBroken:
        return None


class Backwards:
    """Told of records from the newest on, says which are needed for so many last lines.

    Lines count in the order in which they end. The first pieces of a long line may lie before the
    ends of others: those are read too, and `surplus_count` lines are then to be left out.

    source: only its lines count; empty: all do.
    """

    def __init__(self, line_count: int | None, since_ns: int, source: str = "") -> None:
        self._line_count, self._since_ns, self._source = line_count, since_ns, source
        self._ended_count = 0
        self._is_cut: dict[str, bool] = {}  # by source: a piece before the oldest seen is missing

    @property
    def surplus_count(self) -> int:
        return 0 if self._line_count is None else max(0, self._ended_count - self._line_count)

    def needs(self, record: Record) -> bool:
        """Take the next older record where it is needed; else it and all before it are not."""
        is_enough = self._line_count is not None and self._ended_count >= self._line_count
        if is_enough and not any(self._is_cut.values()):
            return False
        if record.at_ns < self._since_ns - DISORDER_NS:
            return False
        if self._source not in ("", record.source):
            return True
        # A line whose end was lost, or has not come yet, ends where nothing goes on with it.
        if record.is_last or not self._is_cut.get(record.source, False):
            self._ended_count += 1
        self._is_cut[record.source] = record.part > 1
        return True


class LogText:
    """Makes of records what a reader sees: whole lines, each with one stamp where they are asked.

    since_ns: older lines are left out. surplus_count: so many first lines are. source: lines of
    another one are; empty: of none.
    """

    def __init__(
        self, *, timestamps: bool, since_ns: int = 0, surplus_count: int = 0, source: str = ""
    ) -> None:
        self._timestamps, self._since_ns, self._surplus = timestamps, since_ns, surplus_count
        self._source = source
        self._held: dict[str, list[bytes]] = {}
        self._held_bytes: dict[str, int] = {}
        self._left_out: set[str] = set()  # sources whose line is too old

    def take(self, record: Record) -> bytes:
        """Return what can be given now."""
        source, before = record.source, b""
        if self._source not in ("", source):
            return b""
        if source in self._held and record.part <= 1:
            # The disk was full when the line before was to end.
            self._held[source].append(b"\n")
            before = self._ended(source)
        if source not in self._held:
            self._begin(record)
        if source not in self._left_out:
            self._held[source].append(record.content)
            self._held_bytes[source] += len(record.content)
        if record.is_last:
            self._held[source].append(b"\n")
            return before + self._ended(source)
        if self._surplus or self._held_bytes[source] <= LINE_HELD_BYTES_MAX:
            return before
        return before + self._given(source)

    def rest(self) -> bytes:
        """Return what stands without its end where the log ends."""
        return b"".join(self._ended(source) for source in sorted(self._held))

    def _begin(self, record: Record) -> None:
        stamp = stamp_of(record.at_ns) if self._timestamps else b""
        self._held[record.source], self._held_bytes[record.source] = [stamp], len(stamp)
        if record.at_ns < self._since_ns:
            self._left_out.add(record.source)

    def _given(self, source: str) -> bytes:
        pieces = self._held[source]
        self._held[source], self._held_bytes[source] = [], 0
        return b"".join(pieces)

    def _ended(self, source: str) -> bytes:
        given = self._given(source)
        del self._held[source], self._held_bytes[source]
        is_wanted = source not in self._left_out
        self._left_out.discard(source)
        if self._surplus:
            self._surplus -= 1
            return b""
        return given if is_wanted else b""


def stamp_of(at_ns: int) -> bytes:
    """Return a time as it stands before a line: `2026-11-28T15:53:06.985815062Z `."""
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    return b"%s.%09dZ " % (_second(seconds), rest_ns)


@lru_cache(maxsize=64)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
